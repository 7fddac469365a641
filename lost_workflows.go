package daap

import (
	"context"
	"fmt"
	"time"
)

// LostWorkflows finds operations whose workflow was lost, purged or ended by hand, so that no operation hangs on a
// workflow that is not there. Every worker process runs one; they share the work through the store.
type LostWorkflows struct {
	store  lostStore
	engine workflowLooker
	report func(error)
}

// lostStore holds the operations that are open.
type lostStore interface {
	// ClaimUnchecked returns at most limit open operations that have not been looked at for a while, and
	// puts off their next look. Those that start anew are among them once that was tried often.
	ClaimUnchecked(ctx context.Context, limit int) ([]Operation, error)
	// ParkLost parks the operation if it is still as given; it does nothing to another one.
	ParkLost(ctx context.Context, op Operation, cause Cause) error
	// RestartLost makes the operation pending again if it is still as given.
	RestartLost(ctx context.Context, op Operation) error
	// ForgetAnswers removes answers that were kept for their time.
	ForgetAnswers(ctx context.Context) error
}

// workflowLooker looks at the workflow of an operation.
type workflowLooker interface {
	Look(ctx context.Context, workflowID string) (WorkflowLook, error)
}

// WorkflowLook is what was seen of an operation's workflow.
type WorkflowLook struct {
	// Found says that the engine knows it, Open that it goes on.
	Found, Open bool
	// End says for people how it ended, such as "terminated by alice: wrong database".
	End string
}

// Bounds of the search.
const (
	lostInterval = 30 * time.Second
	lostLimit    = 200
	lostTimeout  = 30 * time.Second
	// maxRestarts is how often a workflow that the engine lost is started anew before a person is asked.
	maxRestarts = 3
)

// NewLostWorkflows returns the search; it gives what goes wrong to report, and tries again.
func NewLostWorkflows(store lostStore, engine workflowLooker, report func(error)) *LostWorkflows {
	return &LostWorkflows{store: store, engine: engine, report: report}
}

// Run searches until ctx is done.
func (o *LostWorkflows) Run(ctx context.Context) { every(ctx, lostInterval, o.Search, o.report) }

// Search looks at what is due now and repairs what it finds. The first look that fails ends it: the engine
// is down, and the others come up again later.
func (o *LostWorkflows) Search(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lostTimeout)
	defer cancel()
	if err := o.store.ForgetAnswers(ctx); err != nil {
		return fmt.Errorf("forget old answers: %w", err)
	}
	ops, err := o.store.ClaimUnchecked(ctx, lostLimit)
	if err != nil {
		return fmt.Errorf("claim operations to look at: %w", err)
	}
	for _, op := range ops {
		look, err := o.engine.Look(ctx, op.WorkflowID())
		if err != nil {
			return fmt.Errorf("look at the workflow of operation %s: %w", op.ID, err)
		}
		if err := o.repair(ctx, op, look); err != nil {
			return fmt.Errorf("repair operation %s: %w", op.ID, err)
		}
	}
	return nil
}

// repair brings an operation back that its workflow no longer carries. What a person ended waits for a
// person; what the engine lost is started anew, and so is what ended before it began.
func (o *LostWorkflows) repair(ctx context.Context, op Operation, look WorkflowLook) error {
	pending := op.State == OperationPending
	parked := op.State == OperationNeedsAttention
	switch {
	case look.Open, pending && !look.Found:
		return nil // it goes on, or the Dispatcher starts it
	case parked && op.Cause != nil && op.Cause.Code == CauseWorkflowLost:
		return nil // that is known
	case pending, !look.Found && !parked && op.Restarts < maxRestarts:
		return o.store.RestartLost(ctx, op)
	case !look.Found:
		return o.store.ParkLost(ctx, op,
			NewCause(CauseWorkflowLost, "Temporal does not know the operation's workflow any more."))
	default:
		return o.store.ParkLost(ctx, op, NewCause(CauseWorkflowLost, "The operation's workflow was %s.", look.End))
	}
}
