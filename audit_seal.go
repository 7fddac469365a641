package daap

import (
	"context"
	"fmt"
	"time"
)

// Sealer seals the entries of the audit log into the chain, gives the head of the chain away to where whoever
// writes the database cannot change it, and lets go of entries that were kept for their time. Every worker
// process runs one; one at a time does the work.
type Sealer struct {
	store  sealStore
	heads  headStore
	report func(error)
	given  int64
	// next is when the head is given away again, forget when old entries are let go of again.
	next, forget time.Time
}

type sealStore interface {
	// SealAudit seals at most limit entries, oldest first, and says how many; none while another does.
	SealAudit(ctx context.Context, limit int) (int, error)
	// AuditHead is the last seal; the zero Seal before the first.
	AuditHead(ctx context.Context) (Seal, error)
	// ForgetAudit removes some of the entries that were kept for their time, and says how many.
	ForgetAudit(ctx context.Context) (int, error)
}

// headStore keeps heads of the chain.
type headStore interface {
	// PutHead keeps the head; safe to repeat.
	PutHead(ctx context.Context, head Seal) error
}

const (
	sealInterval   = time.Second
	sealLimit      = 1000
	sealTimeout    = 30 * time.Second
	headInterval   = 10 * time.Second
	forgetInterval = 10 * time.Minute
)

// NewSealer returns a Sealer that gives what goes wrong to report, and tries again. heads may be nil where there
// is no place to keep them: a tail that is cut off does not show then.
func NewSealer(store sealStore, heads headStore, report func(error)) *Sealer {
	return &Sealer{store: store, heads: heads, report: report}
}

// Run seals until ctx is done.
func (s *Sealer) Run(ctx context.Context) { Every(ctx, sealInterval, s.Work, s.report) }

// Work seals what there is, and does what else is due.
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

// giveHead keeps the head of the chain where it is safe, if it is another one than the last time.
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
