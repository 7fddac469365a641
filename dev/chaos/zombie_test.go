//go:build chaos

package chaos

import (
	"context"
	"sync"
	"testing"

	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/chaos/fault"
)

// zombie holds a worker before the fence of a step while a delete takes the database over and removes all of it. Then
// it is let go, and does not see that its time is over: the fence must stop it, and nothing may come back.
func zombie(ctx context.Context, t *testing.T, c cell) {
	held, letGo, over := make(chan struct{}), make(chan struct{}), make(chan fault.At, 1)
	free := sync.OnceFunc(func() { close(letGo) })
	defer free()
	var first sync.Once
	x := begin(ctx, t, c.kind, func(at fault.At) fault.Verdict {
		if at.Point == fault.Over {
			over <- at
		}
		var verdict fault.Verdict
		if c.place().is(at) {
			first.Do(func() {
				close(held)
				<-letGo
				verdict.Late = true
			})
		}
		return verdict
	})
	receive(ctx, t, "the worker is held", held)
	deletion := ask(ctx, t, deleteRequest(x.database), nil)
	if op := deletion.over(ctx, t); op.State != oas.OperationStateSucceeded {
		t.Fatalf("the delete is %s, want succeeded; steps: %s", op.State, describe(op))
	}
	free()
	if end := receive(ctx, t, "the zombie has ended", over); end.Error == "" {
		t.Error("the zombie did its work on a database that is deleted")
	}
	deletion.holds(ctx, t, getOperation(ctx, t, deletion.operation))
	taken := getOperation(ctx, t, x.operation)
	if taken.State != oas.OperationStateCancelled {
		t.Errorf("the operation is %s, want cancelled", taken.State)
	}
	x.holds(ctx, t, taken)
}

// receive waits for something within patience.
func receive[T any](ctx context.Context, t *testing.T, what string, from <-chan T) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case got := <-from:
		return got
	case <-ctx.Done():
		t.Fatalf("waiting until %s: %v", what, ctx.Err())
		panic("unreachable")
	}
}
