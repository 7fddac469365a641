package persistence_test

import (
	"testing"
	"time"

	"github.com/daap-dev/daap"
)

// lookDue advances the time until the check of every workflow is due.
func (f fixture) lookDue() { f.pass(time.Minute + time.Second) }

func (f fixture) unchecked() []daap.Operation {
	f.t.Helper()
	ops, err := f.ClaimUnchecked(f.t.Context(), 10)
	f.must(err)
	return ops
}

func (s suite) OpenOperationsAreLookedAtInTurn(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.running("shop", "orders")
	_, pending := f.created("shop", "carts")
	f.ready("shop", "stock")
	want(t, "checked too soon", len(f.unchecked()), 0)
	f.lookDue()
	want(t, "checked, including one that has not begun", len(f.unchecked()), 2)
	want(t, "checked again", len(f.unchecked()), 0)
	f.must(f.RestartLost(t.Context(), f.operation(pending.ID)))
	f.lookDue()
	want(t, "checked before the restarted one can exist", len(f.unchecked()), 1)
	for range 3 {
		f.due()
		want(t, "tried to start", len(f.claimed(10)), 1)
	}
	f.lookDue()
	want(t, "checked after many attempts of the restart", len(f.unchecked()), 2)
}

func (s suite) ALostOperationIsParkedOrStartedAnew(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.running("shop", "orders")
	seen := f.operation(op.ID)
	f.must(f.RestartLost(t.Context(), seen))
	again := f.operation(op.ID)
	want(t, "state", again.State, daap.OperationPending)
	want(t, "restarts", again.Restarts, 1)
	want(t, "claimed for its start", len(f.claimed(10)), 1)
	f.must(f.ParkLost(t.Context(), seen, failed)) // it is not what was seen any more
	want(t, "state", f.operation(op.ID).State, daap.OperationPending)

	f.must(f.BeginOperation(t.Context(), op.ID, false))
	lost := daap.NewCause(daap.CauseWorkflowLost, "terminated")
	f.must(f.ParkLost(t.Context(), f.operation(op.ID), lost))
	want(t, "cause", f.operation(op.ID).Cause, &lost)
	want(t, "status", f.database(db.ID).Status, daap.DatabaseError)

	restarted, err := f.RestartOperation(t.Context(), daap.EveryTeam, op.ID, retry)
	f.must(err)
	want(t, "state", restarted.State, daap.OperationPending)
	want(t, "status", f.database(db.ID).Status, daap.DatabaseProvisioning)
	_, err = f.RestartOperation(t.Context(), daap.EveryTeam, op.ID, retry)
	wantCode(t, err, daap.CodeDecisionRefused)
}

func (s suite) ALostOperationThatIsGivenUpStartsBackward(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.running("shop", "orders")
	f.must(f.ParkOperation(t.Context(), op.ID, daap.StepCluster, failed))
	restarted, err := f.RestartOperation(t.Context(), daap.EveryTeam, op.ID, abort)
	f.must(err)
	want(t, "given up by", restarted.CancelledBy, "alice")
	want(t, "status", f.database(db.ID).Status, daap.DatabaseDeleting)
	f.must(f.BeginOperation(t.Context(), op.ID, true))
	want(t, "state", f.operation(op.ID).State, daap.OperationCancelling)
}

func (s suite) BacklogIsWhatWaitsForItsStart(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.created("shop", "orders")
	f.created("shop", "carts")
	f.running("shop", "stock")
	for limit, over := range map[int]bool{1: true, 2: false} {
		got, err := f.Backlogged(t.Context(), limit)
		f.must(err)
		want(t, "over the backlog", got, over)
	}
}
