//go:build chaos

package chaos

import (
	"context"
	"testing"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/chaos/fault"
	"github.com/daap-dev/daap/dev/local"
)

// abortedUnderFault gives a parked operation up, and kills the worker while it takes back what it did to the Cluster.
func abortedUnderFault(ctx context.Context, t *testing.T, c cell) {
	x := begin(ctx, t, c.kind, c.place().at(func(fault.At) fault.Verdict {
		return fault.Verdict{Fail: "this goes on until it is out of time"}
	}))
	op := x.parked(ctx, t, daap.CauseDeadline)
	s := newStrike(victimOf("worker"))
	points.plan(x.operation, place{step: daap.StepCluster, point: fault.Before, undo: true}.at(s.once))
	abort(ctx, t, op)
	op = x.over(ctx, t)
	s.prove(ctx, t)
	if op.State != oas.OperationStateCancelled || op.CancelledBy.Value != local.Actor {
		t.Fatalf("operation is %s by %q, want cancelled by %s; steps: %s", op.State, op.CancelledBy.Value, local.Actor, describe(op))
	}
	want := oas.DatabaseStatusReady
	if c.kind == daap.ProvisionDatabase {
		want = oas.DatabaseStatusDeleted
	}
	db := getDatabase(ctx, t, x.database)
	if db.Status != want || db.Tier == op.Tier.Value {
		t.Errorf("database is %s with tier %s, want %s as before", db.Status, db.Tier, want)
	}
	x.holds(ctx, t, op)
	if db.Status == oas.DatabaseStatusReady {
		ready.put(ctx, t, x.database)
	}
}
