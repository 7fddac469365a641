package daap

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Operations are the use cases of operations.
type Operations struct {
	store operationStore
}

// operationStore reads operations; one that does not exist is NotFound.
type operationStore interface {
	// Operation returns the operation with its steps.
	Operation(ctx context.Context, id uuid.UUID) (Operation, error)
	// OperationState returns the state alone: what waiting asks for again and again.
	OperationState(ctx context.Context, id uuid.UUID) (OperationState, error)
	Operations(ctx context.Context, filter OperationFilter) ([]Operation, error)
}

// NewOperations returns the use cases on the given store.
func NewOperations(store operationStore) *Operations { return &Operations{store: store} }

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
	limit := filter.Page.Limit
	filter.Page.Limit++ // one more than asked tells whether there is a next page
	ops, err := o.store.Operations(ctx, filter)
	if err != nil {
		return nil, "", fmt.Errorf("list operations: %w", err)
	}
	ops, next := cut(ops, limit, func(op Operation) uuid.UUID { return op.ID })
	return ops, next, nil
}
