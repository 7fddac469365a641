package daap

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// AuditWriter writes the entries of requests that change nothing, in batches and without blocking the requests. A clean
// stop writes the remaining entries; entries that do not fit into memory while PostgreSQL is down are counted.
type AuditWriter struct {
	store  auditAdder
	report func(error)
	mu     sync.Mutex
	// waiting are the entries to write; full signals that they fill a batch.
	waiting []AuditEntry
	dropped int
	full    chan struct{}
}

type auditAdder interface {
	// AddAuditEntries adds all entries or none. An existing entry does not change.
	AddAuditEntries(ctx context.Context, entries []AuditEntry) error
}

const (
	// auditCapacity bounds the entries in memory: about 20 MB, or several minutes of a busy process.
	auditCapacity = 20_000
	auditBatch    = 500
	auditInterval = 250 * time.Millisecond
	auditTimeout  = 10 * time.Second
)

// NewAuditWriter returns a writer that passes errors to report and retries.
func NewAuditWriter(store auditAdder, report func(error)) *AuditWriter {
	return &AuditWriter{store: store, report: report, full: make(chan struct{}, 1)}
}

// Add queues an entry and never blocks. If the queue is full, the entry is dropped and the log records the number of
// dropped entries.
func (w *AuditWriter) Add(e AuditEntry) {
	e, err := newAuditEntry(e)
	if err != nil {
		w.report(err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) >= auditCapacity {
		w.dropped++
		return
	}
	if w.waiting = append(w.waiting, e); len(w.waiting) >= auditBatch {
		select {
		case w.full <- struct{}{}:
		default:
		}
	}
}

// Run writes until ctx is done, and then writes the remaining entries once.
func (w *AuditWriter) Run(ctx context.Context) {
	tick := time.NewTicker(auditInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-w.full:
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
			defer cancel()
			if err := w.writeAll(last); err != nil {
				w.report(fmt.Errorf("entries of the audit log are lost: %w", err))
			}
			return
		}
		if err := w.writeAll(ctx); err != nil && ctx.Err() == nil {
			w.report(err)
		}
	}
}

func (w *AuditWriter) writeAll(ctx context.Context) error {
	for {
		more, err := w.writeBatch(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// writeBatch writes some waiting entries and reports whether there are more. Entries that could not be written stay; a
// repeated write is safe because the store knows their IDs.
func (w *AuditWriter) writeBatch(ctx context.Context) (bool, error) {
	batch, dropped := w.batch()
	if len(batch)+dropped == 0 {
		return false, nil
	}
	written := batch
	if dropped > 0 {
		loss, err := newAuditEntry(AuditEntry{
			Origin: Origin{Actor: "daap"}, Action: "audit.dropped", Outcome: OutcomeFailed,
			After: map[string]any{"entries": dropped},
		})
		if err != nil {
			return false, err
		}
		written = append(slices.Clone(batch), loss)
	}
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	lost, err := w.write(ctx, written)
	if err != nil {
		return false, fmt.Errorf("write %d entries of the audit log: %w", len(written), err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = slices.Clone(w.waiting[len(batch):])
	w.dropped += lost - dropped
	return len(w.waiting) > 0, nil
}

// write writes the entries and returns how many can never be written: only those are lost, and they do not block
// others.
func (w *AuditWriter) write(ctx context.Context, entries []AuditEntry) (lost int, err error) {
	all := w.store.AddAuditEntries(ctx, entries)
	if e := AsError(all); all == nil || e != nil && e.Code == CodeUnavailable || ctx.Err() != nil {
		return 0, all
	}
	for _, e := range entries {
		if err := w.store.AddAuditEntries(ctx, []AuditEntry{e}); ctx.Err() != nil {
			return 0, err // entries that are already written are recognized by their IDs next time
		} else if err != nil {
			w.report(fmt.Errorf("write audit entry %s of %s: %w", e.ID, e.Action, err))
			lost++
		}
	}
	return lost, nil
}

// batch returns some waiting entries, and the number of dropped ones.
func (w *AuditWriter) batch() ([]AuditEntry, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting[:min(len(w.waiting), auditBatch)], w.dropped
}

// newAuditEntry returns the entry with an ID and the current time.
func newAuditEntry(e AuditEntry) (AuditEntry, error) {
	var err error
	if e.ID, err = uuid.NewV7(); err != nil {
		return e, fmt.Errorf("create an audit entry ID: %w", err)
	}
	e.At = time.Now()
	return e, nil
}
