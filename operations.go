package daap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Operations are the use cases of operations.
type Operations struct {
	store     operationStore
	decisions decisions
	engine    engine
	starter   operationStarter
}

// operationStore reads operations; one that does not exist or whose database is out of scope is NotFound.
type operationStore interface {
	// Operation returns the operation with its steps.
	Operation(ctx context.Context, scope Scope, id uuid.UUID) (Operation, error)
	// OperationState returns the state alone, which waiting polls.
	OperationState(ctx context.Context, scope Scope, id uuid.UUID) (OperationState, error)
	Operations(ctx context.Context, scope Scope, filter OperationFilter) ([]Operation, error)
}

// decisions records decisions about operations without a workflow.
type decisions interface {
	// CancelPending cancels the operation if it has not begun, and reports whether it did.
	CancelPending(ctx context.Context, scope Scope, id uuid.UUID, d Decision) (bool, error)
	// RestartOperation makes an operation that needs attention pending again, to be restarted: forward for a retry,
	// backward for an abort. Refused if it no longer needs attention.
	RestartOperation(ctx context.Context, scope Scope, id uuid.UUID, d Decision) (Operation, error)
	// Remembered returns the stored answer of the request and whether there is one; if so, the audit log gets an entry.
	Remembered(ctx context.Context, by Grant) (Operation, bool, error)
	// Remember stores the answer of the request.
	Remember(ctx context.Context, by Grant, answer Operation) error
}

// engine runs the workflows of operations.
type engine interface {
	// Decide sends the decision to the operation's workflow and returns when it is carried out: Refused if it cannot be
	// taken, ErrNoWorkflow if there is no workflow, Unavailable if the workflow did not answer. The same id twice is one
	// decision.
	Decide(ctx context.Context, op Operation, d Decision, id string) error
}

// NewOperations returns the use cases on the given store.
func NewOperations(
	store operationStore, decisions decisions, engine engine, starter operationStarter,
) *Operations {
	return &Operations{store: store, decisions: decisions, engine: engine, starter: starter}
}

// Decide carries out a person's decision about an operation and returns the operation afterwards. Errors:
// CodeUnauthenticated, CodeForbidden, CodeValidationFailed, CodeNotFound, CodeDecisionRefused, CodeUnavailable, and
// those of once.
func (o *Operations) Decide(ctx context.Context, req Request, id uuid.UUID, d Decision) (Operation, error) {
	by, err := req.authorize(mayDecide[d.Action])
	if err != nil {
		return Operation{}, err
	}
	if err := d.Validate(); err != nil {
		return Operation{}, err
	}
	d.Origin = by.Origin()
	answer, found, err := o.decisions.Remembered(ctx, by)
	if err != nil || found {
		return answer, err
	}
	op, err := o.store.Operation(ctx, by.Scope, id)
	if err != nil {
		return Operation{}, err
	}
	if err := o.decide(ctx, by, op, d); err != nil {
		return Operation{}, fmt.Errorf("%s operation %s: %w", d.Action, id, err)
	}
	if op, err = o.store.Operation(ctx, by.Scope, id); err != nil {
		return Operation{}, err
	}
	if err := o.decisions.Remember(ctx, by, op); err != nil {
		return Operation{}, fmt.Errorf("save the answer for %s of operation %s: %w", d.Action, id, err)
	}
	return op, nil
}

func (o *Operations) decide(ctx context.Context, by Grant, op Operation, d Decision) error {
	if !op.State.Open() {
		return Refused(fmt.Sprintf("The operation is over: %s.", op.State))
	}
	if d.Action.Undoes() {
		if why := op.CancelRefusal(); why != "" {
			return Refused(why)
		}
	}
	if op.State == OperationPending {
		if d.Action != ActionCancel {
			return Refused("The operation has not begun; it can only be cancelled.")
		}
		if cancelled, err := o.decisions.CancelPending(ctx, by.Scope, op.ID, d); err != nil || cancelled {
			return err
		} // otherwise it began in the meantime, and its workflow decides
	}
	err := o.engine.Decide(ctx, op, d, by.decisionID())
	if errors.Is(err, ErrNoWorkflow) {
		return o.decideWithoutWorkflow(ctx, by, op, d)
	}
	return err
}

// decideWithoutWorkflow decides about an operation whose workflow is lost; it must have been detected and parked.
func (o *Operations) decideWithoutWorkflow(ctx context.Context, by Grant, op Operation, d Decision) error {
	at := Position{
		Kind: op.Kind, Step: op.Step,
		Parked: op.State == OperationNeedsAttention, Cancelling: op.CancelledBy != "",
	}
	if !at.Parked {
		return Unavailable("The operation's workflow is gone. DAAP detects this within two minutes; try again then.")
	}
	if why := at.Refusal(d); why != "" {
		return Refused(why)
	}
	if d.Action == ActionSkip {
		return Refused("The operation's workflow is gone: retry, which repeats nothing that is done, or abort.")
	}
	restarted, err := o.decisions.RestartOperation(ctx, by.Scope, op.ID, d)
	if err != nil {
		return err
	}
	_ = o.starter.Start(ctx, restarted) // the Dispatcher repeats a lost start
	return nil
}

// waitInterval is how often a waiting request polls: a point read, cheap enough for a few hundred waiters.
const waitInterval = 250 * time.Millisecond

// Get returns the operation with its steps once it is settled or wait has passed, whichever comes first. Errors:
// CodeUnauthenticated, CodeForbidden, CodeNotFound.
func (o *Operations) Get(ctx context.Context, req Request, id uuid.UUID, wait time.Duration) (Operation, error) {
	by, err := req.authorize(MayGetOperation)
	if err != nil {
		return Operation{}, err
	}
	if err := o.untilSettled(ctx, by.Scope, id, wait); err != nil {
		return Operation{}, fmt.Errorf("wait for operation %s: %w", id, err)
	}
	return o.store.Operation(ctx, by.Scope, id)
}

func (o *Operations) untilSettled(ctx context.Context, scope Scope, id uuid.UUID, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	over := time.NewTimer(wait)
	defer over.Stop()
	look := time.NewTicker(waitInterval)
	defer look.Stop()
	for {
		state, err := o.store.OperationState(ctx, scope, id)
		if err != nil || state.Settled() {
			return err
		}
		select {
		case <-look.C:
		case <-over.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// List returns one page of operations without their steps, newest first, and the cursor of the next page:
// empty on the last. Errors: CodeUnauthenticated, CodeForbidden.
func (o *Operations) List(ctx context.Context, req Request, filter OperationFilter) ([]Operation, string, error) {
	by, err := req.authorize(MayListOperations)
	if err != nil {
		return nil, "", err
	}
	return onePage("list operations", &filter.Page,
		func() ([]Operation, error) { return o.store.Operations(ctx, by.Scope, filter) },
		func(op Operation) uuid.UUID { return op.ID })
}
