package daap

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Dispatcher starts the operations whose start was lost: the process died between commit and start, or the
// engine was down. Every api process runs one; they share the work through the store.
type Dispatcher struct {
	store   outbox
	starter operationStarter
	report  func(error)
}

// outbox holds the operations that are recorded and not yet begun.
type outbox interface {
	// ClaimPending returns at most limit operations whose start is due, and puts off their next start, so
	// that no other process claims them at the same time.
	ClaimPending(ctx context.Context, limit int) ([]Operation, error)
	// Dispatched records that the operation's start was accepted.
	Dispatched(ctx context.Context, id uuid.UUID) error
}

// Bounds of one sweep, so that a backlog is worked off without crowding out requests.
const (
	sweepInterval = 2 * time.Second
	sweepLimit    = 50
	sweepTimeout  = 30 * time.Second
)

// NewDispatcher returns a Dispatcher that gives what goes wrong to report: a failed sweep ends nothing, the
// next one tries again.
func NewDispatcher(store outbox, starter operationStarter, report func(error)) *Dispatcher {
	return &Dispatcher{store: store, starter: starter, report: report}
}

// Run sweeps until ctx is done.
func (d *Dispatcher) Run(ctx context.Context) { every(ctx, sweepInterval, d.Sweep, d.report) }

// Sweep starts what is due now. The first start that fails ends it: the engine is down, and the others
// come up again later.
func (d *Dispatcher) Sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	ops, err := d.store.ClaimPending(ctx, sweepLimit)
	if err != nil {
		return fmt.Errorf("claim pending operations: %w", err)
	}
	for _, op := range ops {
		if err := d.Start(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

// Start starts the operation's workflow and records that; safe to repeat.
func (d *Dispatcher) Start(ctx context.Context, op Operation) error {
	if err := d.starter.Start(ctx, op); err != nil {
		return fmt.Errorf("start operation %s: %w", op.ID, err)
	}
	if err := d.store.Dispatched(ctx, op.ID); err != nil {
		return fmt.Errorf("record start of operation %s: %w", op.ID, err)
	}
	return nil
}
