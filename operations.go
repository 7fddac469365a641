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
}

// operationStore reads operations; one that does not exist is NotFound.
type operationStore interface {
	// Operation returns the operation with its steps.
	Operation(ctx context.Context, id uuid.UUID) (Operation, error)
	// OperationState returns the state alone: what waiting asks for again and again.
	OperationState(ctx context.Context, id uuid.UUID) (OperationState, error)
	Operations(ctx context.Context, filter OperationFilter) ([]Operation, error)
}

// decisions records what people decide where no workflow does.
type decisions interface {
	// CancelPending cancels the operation if it has not begun, and says whether it did.
	CancelPending(ctx context.Context, id uuid.UUID, d Decision) (bool, error)
	// RestartOperation makes a parked operation pending again, to be started anew: forward for a retry,
	// backward for an abort. Refused when it is not parked any more.
	RestartOperation(ctx context.Context, id uuid.UUID, d Decision) (Operation, error)
	// Remembered finds the answer that was kept for once, and says whether there was one.
	Remembered(ctx context.Context, once Once) (Operation, bool, error)
	// Remember keeps the answer for once.
	Remember(ctx context.Context, once Once, answer Operation) error
}

// engine carries operations out.
type engine interface {
	operationStarter
	// Decide gives the decision to the operation's workflow and returns when it is carried out: Refused when
	// it cannot be taken, ErrNoWorkflow when there is none to take it, Unavailable when nobody answered. The
	// same id twice is one decision.
	Decide(ctx context.Context, op Operation, d Decision, id string) error
}

// NewOperations returns the use cases on the given store.
func NewOperations(store operationStore, decisions decisions, engine engine) *Operations {
	return &Operations{store: store, decisions: decisions, engine: engine}
}

// Decide carries out what a person decides about an operation and returns the operation as it then is.
// Errors: CodeValidationFailed, CodeNotFound, CodeDecisionRefused, CodeUnavailable, and those of once.
func (o *Operations) Decide(ctx context.Context, id uuid.UUID, d Decision, once Once) (Operation, error) {
	if err := d.Validate(); err != nil {
		return Operation{}, err
	}
	answer, found, err := o.decisions.Remembered(ctx, once)
	if err != nil || found {
		return answer, err
	}
	op, err := o.store.Operation(ctx, id)
	if err != nil {
		return Operation{}, err
	}
	if err := o.decide(ctx, op, d, once); err != nil {
		return Operation{}, fmt.Errorf("%s operation %s: %w", d.Action, id, err)
	}
	if op, err = o.store.Operation(ctx, id); err != nil {
		return Operation{}, err
	}
	if err := o.decisions.Remember(ctx, once, op); err != nil {
		return Operation{}, fmt.Errorf("keep the answer for %s of operation %s: %w", d.Action, id, err)
	}
	return op, nil
}

func (o *Operations) decide(ctx context.Context, op Operation, d Decision, once Once) error {
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
		if cancelled, err := o.decisions.CancelPending(ctx, op.ID, d); err != nil || cancelled {
			return err
		} // else it has begun meanwhile, and its workflow decides
	}
	err := o.engine.Decide(ctx, op, d, once.decisionID())
	if errors.Is(err, ErrNoWorkflow) {
		return o.decideWithoutWorkflow(ctx, op, d)
	}
	return err
}

// decideWithoutWorkflow takes up an operation whose workflow is lost: only one that was found out and parked.
func (o *Operations) decideWithoutWorkflow(ctx context.Context, op Operation, d Decision) error {
	at := Standing{
		Kind: op.Kind, Step: op.Step,
		Parked: op.State == OperationNeedsAttention, Cancelling: op.CancelledBy != "",
	}
	if !at.Parked {
		return Unavailable("The operation's workflow is gone, which is found out within two minutes; try again then.")
	}
	if why := at.Refusal(d); why != "" {
		return Refused(why)
	}
	if d.Action == ActionSkip {
		return Refused("The operation's workflow is gone: retry, which finds done what is done, or abort.")
	}
	restarted, err := o.decisions.RestartOperation(ctx, op.ID, d)
	if err != nil {
		return err
	}
	_ = o.engine.Start(ctx, restarted) // the Dispatcher makes up for a lost start
	return nil
}

// waitInterval is how often a waiting request looks: a point read, cheap enough for a few hundred waiters.
const waitInterval = 250 * time.Millisecond

// Get returns the operation with its steps, once it is settled or wait has passed, whichever is first.
// Errors: CodeNotFound.
func (o *Operations) Get(ctx context.Context, id uuid.UUID, wait time.Duration) (Operation, error) {
	if err := o.untilSettled(ctx, id, wait); err != nil {
		return Operation{}, fmt.Errorf("wait for operation %s: %w", id, err)
	}
	return o.store.Operation(ctx, id)
}

func (o *Operations) untilSettled(ctx context.Context, id uuid.UUID, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	over := time.NewTimer(wait)
	defer over.Stop()
	look := time.NewTicker(waitInterval)
	defer look.Stop()
	for {
		state, err := o.store.OperationState(ctx, id)
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
// empty on the last.
func (o *Operations) List(ctx context.Context, filter OperationFilter) ([]Operation, string, error) {
	return onePage("list operations", &filter.Page, func() ([]Operation, error) { return o.store.Operations(ctx, filter) },
		func(op Operation) uuid.UUID { return op.ID })
}
