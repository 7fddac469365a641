//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// experiment is one operation to which harm is done.
type experiment struct {
	database, operation uuid.UUID
	// parks counts how often it was seen to need attention.
	parks int
	// mayBeGivenUp says that CloudNativePG itself may never get on: an operator that is killed after it has made the
	// volume claim and before the Job that fills it waits forever for that Job. Then a person aborts.
	mayBeGivenUp bool
}

// begin asks for an operation of the kind and has v done at its points.
func begin(ctx context.Context, t *testing.T, kind daap.OperationKind, v visit) *experiment {
	t.Helper()
	return ask(ctx, t, requestOf(ctx, t, kind), v)
}

// requestOf returns a request for an operation of the kind, and makes what it is about.
func requestOf(ctx context.Context, t *testing.T, kind daap.OperationKind) request {
	t.Helper()
	switch kind {
	case daap.ProvisionDatabase:
		return createRequest(newName(), t.Name())
	case daap.BackUpDatabase:
		return backUpRequest(source.get(ctx, t))
	case daap.RestoreDatabase:
		return restoreRequest(source.get(ctx, t), newName())
	case daap.UpdateDatabase:
		db := getDatabase(ctx, t, ready.take(ctx, t))
		if db.Tier == wide.Name {
			return updateRequest(db.ID, local.Tier)
		}
		return updateRequest(db.ID, wide.Name)
	case daap.ReconcileDatabase:
		return reconcileRequest(ready.take(ctx, t))
	case daap.FreezeDatabase:
		return destroyRequest(readyKept(ctx, t), oas.DestructionStrategyFreeze)
	case daap.UnfreezeDatabase:
		return unfreezeRequest(frozen(ctx, t))
	case daap.ArchiveDatabase:
		return destroyRequest(readyKept(ctx, t), oas.DestructionStrategyArchive)
	case daap.DeleteDatabase:
		return deleteRequest(ready.take(ctx, t))
	default:
		t.Fatalf("how an operation of kind %s is asked for is not written down here", kind)
		return nil
	}
}

// ask sends the request until it is accepted and has v done at the points of its operation.
func ask(ctx context.Context, t *testing.T, r request, v visit) *experiment {
	t.Helper()
	know := points.expect()
	var x experiment
	defer func() { know(x.operation, v) }()
	accepted := insist(ctx, t, "ask for the operation", r)
	x.database, x.operation = accepted.Response.Data.ID, accepted.Response.Meta.OperationID
	t.Logf("operation %s on database %s", x.operation, x.database)
	return &x
}

// settled waits until the operation is over or needs attention.
func (x *experiment) settled(ctx context.Context, t *testing.T) oas.Operation {
	t.Helper()
	var op oas.Operation
	until(ctx, t, fmt.Sprintf("operation %s is over or needs attention", x.operation),
		func(ctx context.Context) error {
			op = getOperation(ctx, t, x.operation)
			if daap.OperationState(op.State).Settled() {
				return nil
			}
			return fmt.Errorf("it is %s; steps: %s", op.State, describe(op))
		})
	if op.State == oas.OperationStateNeedsAttention {
		x.parks++
		if op.Error.Null || op.Error.Value.Message == "" || op.Error.Value.Remedy == "" {
			t.Errorf("the parked operation %s does not say why: %+v", op.ID, op.Error)
		}
		t.Logf("parked at %s: %s %s", op.Step.Value, op.Error.Value.Code, op.Error.Value.Message)
	}
	return op
}

// parked waits until the operation needs attention for that cause.
func (x *experiment) parked(ctx context.Context, t *testing.T, cause daap.CauseCode) oas.Operation {
	t.Helper()
	op := x.settled(ctx, t)
	if op.State != oas.OperationStateNeedsAttention || op.Error.Value.Code != oas.CauseCode(cause) {
		t.Fatalf("operation is %s for %q (%s), want needs_attention for %s; steps: %s",
			op.State, op.Error.Value.Code, op.Error.Value.Message, cause, describe(op))
	}
	return op
}

// retries is how often a parked operation is retried: harm that others do may park it more than once.
const retries = 4

// over waits until the operation is over; whenever it is parked, it is retried.
func (x *experiment) over(ctx context.Context, t *testing.T) oas.Operation {
	t.Helper()
	for range retries {
		op := x.settled(ctx, t)
		if op.State != oas.OperationStateNeedsAttention {
			return op
		}
		retry(ctx, t, op)
	}
	op := x.settled(ctx, t)
	if op.State == oas.OperationStateNeedsAttention && x.mayBeGivenUp {
		t.Logf("given up: %s", describe(op))
		abort(ctx, t, op)
		op = x.settled(ctx, t)
	}
	if op.State == oas.OperationStateNeedsAttention {
		t.Fatalf("operation %s needs attention again and again", x.operation)
	}
	return op
}

// succeeds waits until the operation has succeeded and looks at all that must be so then. A database that is ready
// is put on the shelf.
func (x *experiment) succeeds(ctx context.Context, t *testing.T) oas.Operation {
	t.Helper()
	op := x.over(ctx, t)
	if op.State == oas.OperationStateCancelled && x.mayBeGivenUp {
		x.holds(ctx, t, op)
		return op
	}
	if op.State != oas.OperationStateSucceeded {
		t.Fatalf("operation is %s, want succeeded; steps: %s", op.State, describe(op))
	}
	for _, step := range op.Steps {
		if step.State != oas.StepStateDone {
			t.Errorf("step %s is %s after success, want done", step.Name, step.State)
		}
	}
	x.holds(ctx, t, op)
	switch db := getDatabase(ctx, t, x.database); {
	case db.Status == oas.DatabaseStatusDeleted, db.ID == source.id:
	case db.Tier == kept.Name: // what changes and deletes databases is not about those with backups
		remove(ctx, t, x.database)
	default:
		ready.put(ctx, t, x.database)
	}
	return op
}

func describe(op oas.Operation) string {
	var all string
	for _, step := range op.Steps {
		all += fmt.Sprintf("\n  %s: %s, attempt %d, %s %s", step.Name, step.State, step.Attempts, step.Progress, step.LastError)
	}
	return all
}

// remove deletes the database and waits until that is over.
func remove(ctx context.Context, t *testing.T, id uuid.UUID) {
	t.Helper()
	x := ask(ctx, t, deleteRequest(id), nil)
	if op := x.over(ctx, t); op.State != oas.OperationStateSucceeded {
		t.Errorf("the delete of %s is %s, want succeeded", id, op.State)
		return
	}
	x.holds(ctx, t, getOperation(ctx, t, x.operation))
}

// backedUp is the database that is restored from, made when it is first asked for.
type backedUp struct {
	once sync.Once
	id   uuid.UUID
}

var source backedUp

func (b *backedUp) get(ctx context.Context, t *testing.T) uuid.UUID {
	t.Helper()
	b.once.Do(func() {
		x := ask(ctx, t, createRequestOn(kept.Name, newName(), t.Name()), nil)
		if op := x.over(ctx, t); op.State != oas.OperationStateSucceeded {
			t.Fatalf("the provision of a database to restore from is %s; steps: %s", op.State, describe(op))
		}
		b.id = x.database
	})
	until(ctx, t, "the source can be restored", func(ctx context.Context) error {
		if db := getDatabase(ctx, t, b.id); !db.Backup.Value.FirstRecoverableAt.Null {
			return nil
		}
		looked := temporal.ScheduleClient().GetHandle(ctx, "check_backups").Trigger(ctx, client.ScheduleTriggerOptions{})
		return errors.Join(errors.New("its backups were not looked at"), looked)
	})
	return b.id
}

// shelf keeps databases that provisions left ready, for the tests that delete one.
type shelf chan uuid.UUID

// ready is about as large as tests run beside each other; more would only take room.
var ready = make(shelf, 4)

func (s shelf) take(ctx context.Context, t *testing.T) uuid.UUID {
	t.Helper()
	select {
	case id := <-s:
		return id
	default:
	}
	x := ask(ctx, t, createRequest(newName(), t.Name()), nil)
	if op := x.over(ctx, t); op.State != oas.OperationStateSucceeded {
		t.Fatalf("the provision of a database to delete is %s; steps: %s", op.State, describe(op))
	}
	return x.database
}

func (s shelf) put(ctx context.Context, t *testing.T, id uuid.UUID) {
	t.Helper()
	select {
	case s <- id:
	default:
		remove(ctx, t, id)
	}
}
