package daap

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// AuditWriter writes the entries of requests that change nothing, many at once and without letting the requests
// wait. What a clean stop finds unwritten is written; what does not fit while PostgreSQL is away is counted.
type AuditWriter struct {
	store  auditAdder
	report func(error)
	mu     sync.Mutex
	// waiting are entries to be written; full is told that there are enough for a batch.
	waiting []AuditEntry
	dropped int
	full    chan struct{}
}

type auditAdder interface {
	// AddAuditEntries adds the entries, or none. An entry that is there already stays as it is.
	AddAuditEntries(ctx context.Context, entries []AuditEntry) error
}

const (
	// auditCapacity bounds the entries in memory: about 20 MB, and some minutes of a busy process.
	auditCapacity = 20_000
	auditBatch    = 500
	auditInterval = 250 * time.Millisecond
	auditTimeout  = 10 * time.Second
)

// NewAuditWriter returns a writer that gives what goes wrong to report, and tries again.
func NewAuditWriter(store auditAdder, report func(error)) *AuditWriter {
	return &AuditWriter{store: store, report: report, full: make(chan struct{}, 1)}
}

// Add takes an entry, to be written soon. It never waits: an entry for which there is no room is dropped, and
// the log tells how many were.
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

// Run writes until ctx is done, and then what is left, once.
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

// writeBatch writes some of the entries that wait, and says whether there are more. Entries that could not be
// written stay; they may be there already, which the store knows by their IDs.
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

// write writes the entries, and says how many are refused for good: those alone are lost, and keep nobody waiting.
func (w *AuditWriter) write(ctx context.Context, entries []AuditEntry) (lost int, err error) {
	all := w.store.AddAuditEntries(ctx, entries)
	if e := AsError(all); all == nil || e != nil && e.Code == CodeUnavailable || ctx.Err() != nil {
		return 0, all
	}
	for _, e := range entries {
		if err := w.store.AddAuditEntries(ctx, []AuditEntry{e}); ctx.Err() != nil {
			return 0, err // those that are written are known by their IDs the next time
		} else if err != nil {
			w.report(fmt.Errorf("write audit entry %s of %s: %w", e.ID, e.Action, err))
			lost++
		}
	}
	return lost, nil
}

// batch returns some of the entries that wait, and how many were dropped.
func (w *AuditWriter) batch() ([]AuditEntry, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting[:min(len(w.waiting), auditBatch)], w.dropped
}

// newAuditEntry returns the entry with an ID and the present time.
func newAuditEntry(e AuditEntry) (AuditEntry, error) {
	var err error
	if e.ID, err = uuid.NewV7(); err != nil {
		return e, fmt.Errorf("create an audit entry ID: %w", err)
	}
	e.At = time.Now()
	return e, nil
}
