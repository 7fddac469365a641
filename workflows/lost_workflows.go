package workflows

import (
	"context"
	"fmt"
	"time"

	"github.com/daap-dev/daap"
)

// LostWorkflows finds operations whose workflow was lost, purged or ended by hand, so that no operation waits for a
// missing workflow. Every worker process runs one; they share the work through the store.
type LostWorkflows struct {
	Engine     describer
	Operations openOperations
	Report     func(error)
}

// openOperations holds the operations that are open.
type openOperations interface {
	// ClaimUnchecked returns at most limit open operations that have not been checked for a while and postpones their next
	// check. It includes restarted operations after several attempts.
	ClaimUnchecked(ctx context.Context, limit int) ([]daap.Operation, error)
	// ParkLost parks the operation if it is unchanged; otherwise it does nothing.
	ParkLost(ctx context.Context, op daap.Operation, cause daap.Cause) error
	// RestartLost makes the operation pending again if it is unchanged.
	RestartLost(ctx context.Context, op daap.Operation) error
}

// describer reports the state of an operation's workflow.
type describer interface {
	Describe(ctx context.Context, workflowID string) (Execution, error)
}

// Execution is the state of an operation's workflow.
type Execution struct {
	// Found means that Temporal has the workflow, Open that it has not ended.
	Found, Open bool
	// End describes how it ended, such as "terminated by alice: wrong database".
	End string
}

// The bounds of the search.
const (
	lostInterval = 30 * time.Second
	lostLimit    = 200
	lostTimeout  = 30 * time.Second
	// maxRestarts is how often a lost workflow is restarted before a person must decide.
	maxRestarts = 3
)

// Run searches until ctx is done.
func (l LostWorkflows) Run(ctx context.Context) { daap.Every(ctx, lostInterval, l.Search, l.Report) }

// Search checks the operations that are due and repairs those whose workflow is gone. It stops at the first failed
// check: Temporal is down, and the others will be due again.
func (l LostWorkflows) Search(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lostTimeout)
	defer cancel()
	ops, err := l.Operations.ClaimUnchecked(ctx, lostLimit)
	if err != nil {
		return fmt.Errorf("claim operations to check: %w", err)
	}
	for _, op := range ops {
		found, err := l.Engine.Describe(ctx, op.WorkflowID())
		if err != nil {
			return fmt.Errorf("check the workflow of operation %s: %w", op.ID, err)
		}
		if err := l.repair(ctx, op, found); err != nil {
			return fmt.Errorf("repair operation %s: %w", op.ID, err)
		}
	}
	return nil
}

// repair handles an operation whose workflow is gone. A workflow that a person ended needs a person's decision. A
// workflow that Temporal lost is restarted, and so is one that ended before the operation began.
func (l LostWorkflows) repair(ctx context.Context, op daap.Operation, found Execution) error {
	pending := op.State == daap.OperationPending
	parked := op.State == daap.OperationNeedsAttention
	switch {
	case found.Open, pending && !found.Found:
		return nil // it continues, or the Dispatcher starts it
	case parked && op.Cause != nil && op.Cause.Code == daap.CauseWorkflowLost:
		return nil // already recorded
	case pending, !found.Found && !parked && op.Restarts < maxRestarts:
		return l.Operations.RestartLost(ctx, op)
	case !found.Found:
		return l.Operations.ParkLost(ctx, op,
			daap.NewCause(daap.CauseWorkflowLost, "Temporal no longer has the operation's workflow."))
	default:
		return l.Operations.ParkLost(ctx, op,
			daap.NewCause(daap.CauseWorkflowLost, "The operation's workflow was %s.", found.End))
	}
}
