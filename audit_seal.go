package daap

import (
	"context"
	"fmt"
	"time"
)

// Sealer seals audit log entries into the chain, exports the chain's head to a place that writers of the database
// cannot change, and removes expired entries. Every worker process runs one; one at a time does the work.
type Sealer struct {
	store  sealStore
	heads  headStore
	report func(error)
	given  int64
	// next is when the head is exported again, forget when expired entries are removed again.
	next, forget time.Time
}

type sealStore interface {
	// SealAudit seals at most limit entries, oldest first, and returns their number; 0 while another process seals.
	SealAudit(ctx context.Context, limit int) (int, error)
	// AuditHead returns the last seal; the zero Seal before the first.
	AuditHead(ctx context.Context) (Seal, error)
	// ForgetAudit removes some expired entries and returns their number.
	ForgetAudit(ctx context.Context) (int, error)
}

// headStore stores heads of the chain.
type headStore interface {
	// PutHead stores the head; safe to repeat.
	PutHead(ctx context.Context, head Seal) error
}

const (
	sealInterval   = time.Second
	sealLimit      = 1000
	sealTimeout    = 30 * time.Second
	headInterval   = 10 * time.Second
	forgetInterval = 10 * time.Minute
)

// NewSealer returns a Sealer that passes errors to report and retries. heads may be nil; without stored heads the
// removal of the newest entries cannot be detected.
func NewSealer(store sealStore, heads headStore, report func(error)) *Sealer {
	return &Sealer{store: store, heads: heads, report: report}
}

// Run seals until ctx is done.
func (s *Sealer) Run(ctx context.Context) { Every(ctx, sealInterval, s.Work, s.report) }

// Work seals the waiting entries and does the other work that is due.
func (s *Sealer) Work(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sealTimeout)
	defer cancel()
	for {
		sealed, err := s.store.SealAudit(ctx, sealLimit)
		if err != nil {
			return fmt.Errorf("seal the audit log: %w", err)
		}
		if sealed < sealLimit {
			break
		}
	}
	if err := s.giveHead(ctx, time.Now()); err != nil {
		return err
	}
	return s.letGo(ctx, time.Now())
}

// giveHead exports the head of the chain if it changed since the last export.
func (s *Sealer) giveHead(ctx context.Context, now time.Time) error {
	if s.heads == nil || now.Before(s.next) {
		return nil
	}
	s.next = now.Add(headInterval)
	head, err := s.store.AuditHead(ctx)
	if err != nil {
		return fmt.Errorf("read the head of the audit log: %w", err)
	}
	if head.Position == s.given {
		return nil
	}
	if err := s.heads.PutHead(ctx, head); err != nil {
		return fmt.Errorf("export the head of the audit log: %w", err)
	}
	s.given = head.Position
	return nil
}

func (s *Sealer) letGo(ctx context.Context, now time.Time) error {
	if now.Before(s.forget) {
		return nil
	}
	for {
		gone, err := s.store.ForgetAudit(ctx)
		if err != nil {
			return fmt.Errorf("remove expired entries of the audit log: %w", err)
		}
		if gone == 0 {
			s.forget = now.Add(forgetInterval)
			return nil
		}
	}
}
