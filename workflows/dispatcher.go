package workflows

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/daap-dev/daap"
)

// Dispatcher starts the workflows of operations, records each start and logs failures. It also starts operations whose
// start was lost because the process ended between commit and start, or because Temporal was down. Every api process
// runs one; they share the work through the outbox.
type Dispatcher struct {
	Engine starter
	Outbox outbox
	Log    *zap.Logger
}

// starter starts the workflow of an operation; safe to repeat. Its method has a name of its own, so that no use case
// can be given a starter that does not record.
type starter interface {
	StartWorkflow(ctx context.Context, op daap.Operation) error
}

// outbox holds the recorded operations that have not begun.
type outbox interface {
	// ClaimPending returns at most limit operations whose start is due and postpones their next start, so that no other
	// process claims them at the same time.
	ClaimPending(ctx context.Context, limit int) ([]daap.Operation, error)
	// Dispatched records that the operation's start was accepted.
	Dispatched(ctx context.Context, id uuid.UUID) error
}

// The bounds of one sweep, so that a backlog does not crowd out requests.
const (
	sweepInterval = 2 * time.Second
	sweepLimit    = 50
	sweepTimeout  = 30 * time.Second
)

// Run sweeps until ctx is done.
func (d Dispatcher) Run(ctx context.Context) {
	daap.Every(ctx, sweepInterval, d.Sweep, func(err error) {
		d.Log.Warn("Pending operations are not started; the next sweep tries again.", zap.Error(err))
	})
}

// Sweep starts the operations that are due. It stops at the first failed start: Temporal is down, and the others will
// be due again.
func (d Dispatcher) Sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	ops, err := d.Outbox.ClaimPending(ctx, sweepLimit)
	if err != nil {
		return fmt.Errorf("claim pending operations: %w", err)
	}
	for _, op := range ops {
		if err := d.start(ctx, op); err != nil {
			return err
		}
	}
	return nil
}

// Start starts the operation's workflow and records the start. A failure is logged and returned; the next sweep
// retries. Safe to repeat.
func (d Dispatcher) Start(ctx context.Context, op daap.Operation) error {
	err := d.start(ctx, op)
	if err != nil {
		d.Log.Warn("An accepted operation could not be started; the dispatcher will retry.",
			zap.Stringer("operation_id", op.ID), zap.Stringer("database_id", op.DatabaseID), zap.Error(err))
	}
	return err
}

func (d Dispatcher) start(ctx context.Context, op daap.Operation) error {
	if err := d.Engine.StartWorkflow(ctx, op); err != nil {
		return fmt.Errorf("start operation %s: %w", op.ID, err)
	}
	if err := d.Outbox.Dispatched(ctx, op.ID); err != nil {
		return fmt.Errorf("record start of operation %s: %w", op.ID, err)
	}
	return nil
}
