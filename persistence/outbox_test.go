package persistence_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// due lets so much time pass that every pending operation is due.
func (f fixture) due() { f.pass(2*time.Minute + time.Second) }

func (f fixture) claimed(limit int) []daap.Operation {
	f.t.Helper()
	ops, err := f.ClaimPending(f.t.Context(), limit)
	f.must(err)
	return ops
}

// wantDueIn compares when the operation is due with what is wanted, but for the time the test takes.
func (f postgres) wantDueIn(op uuid.UUID, wait time.Duration) {
	f.t.Helper()
	var got time.Duration
	err := f.pool.QueryRow(f.t.Context(),
		`SELECT next_dispatch_at - clock_timestamp() FROM operations WHERE id = $1`, op).Scan(&got)
	f.must(err)
	if got > wait || got < wait-4*time.Second {
		f.t.Errorf("due in %s, want %s", got, wait)
	}
}

func (s suite) ClaimPendingReturnsWhatIsDueOldestFirst(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	_, first := f.created("shop", "orders")
	_, second := f.created("shop", "carts")
	f.running("shop", "stock")
	want(t, "claimed at once", len(f.claimed(10)), 0) // the caller starts it first
	f.pass(6 * time.Second)
	ops := f.claimed(10)
	if len(ops) != 2 {
		t.Fatalf("claimed %d, want 2", len(ops))
	}
	want(t, "first", ops[0].WorkflowID(), first.WorkflowID())
	want(t, "second", ops[1].WorkflowID(), second.WorkflowID())
	want(t, "database", ops[0].DatabaseName+" of "+ops[0].OwnerTeam, "orders of shop")
	want(t, "claimed again", len(f.claimed(10)), 0)
}

func TestClaimPendingWaitsTwiceAsLongEachTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, op := f.created("shop", "orders")
	for _, seconds := range []time.Duration{5, 10, 20, 40, 80, 120, 120} {
		f.due()
		want(t, "claimed", len(f.claimed(10)), 1)
		f.wantDueIn(op.ID, seconds*time.Second)
	}
	f.exec(`UPDATE operations SET dispatch_attempts = 1000000`)
	f.due()
	want(t, "claimed", len(f.claimed(10)), 1)
	f.wantDueIn(op.ID, 2*time.Minute)
}

func (s suite) ClaimPendingAtOnceGivesEachOperationToOne(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	const operations, sweepers = 40, 4
	for i := range operations {
		f.created("shop", fmt.Sprintf("orders-%d", i))
	}
	f.due()
	claims := make([][]daap.Operation, sweepers)
	for _, err := range atOnce(t.Context(), sweepers, func(ctx context.Context, i int) (err error) {
		claims[i], err = f.ClaimPending(ctx, 15)
		return err
	}) {
		f.must(err)
	}
	claims = append(claims, f.claimed(operations)) // what a sweeper skipped because another one had it locked
	claimedBy := map[uuid.UUID]int{}
	for _, ops := range claims[:sweepers] {
		if len(ops) > 15 {
			t.Errorf("claimed %d, want at most 15", len(ops))
		}
	}
	for _, ops := range claims {
		for _, op := range ops {
			claimedBy[op.ID]++
			want(t, "claims of "+op.ID.String(), claimedBy[op.ID], 1)
		}
	}
	want(t, "claimed", len(claimedBy), operations)
}

func TestClaimPendingDoesNotWaitForARowInUse(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, inUse := f.created("shop", "orders")
	_, free := f.created("shop", "carts")
	f.due()
	tx, err := f.pool.Begin(t.Context())
	f.must(err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = tx.Exec(t.Context(), `SELECT id FROM operations WHERE id = $1 FOR UPDATE`, inUse.ID)
	f.must(err)
	ops := f.claimed(10)
	if len(ops) != 1 || ops[0].ID != free.ID {
		t.Errorf("claimed %v, want the free one alone", ops)
	}
}

func (s suite) StartThatWasAcceptedIsDueInTwoMinutesAndOthersLaterEachTime(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	_, op := f.created("shop", "orders")
	for _, wait := range []struct {
		pass    time.Duration
		claimed int
	}{
		{6 * time.Second, 1},
		{6 * time.Second, 1},
		{11 * time.Second, 1},
		{8 * time.Second, 0},
		{13 * time.Second, 1},
		{20 * time.Second, 0},
		{21 * time.Second, 1},
	} {
		f.pass(wait.pass)
		want(t, "claimed", len(f.claimed(10)), wait.claimed)
	}
	f.must(f.Dispatched(t.Context(), op.ID))
	f.pass(time.Minute)
	want(t, "claimed once its start was accepted", len(f.claimed(10)), 0)
	f.pass(61 * time.Second)
	want(t, "claimed when it has not begun then", len(f.claimed(10)), 1)
}

func TestDispatchedPutsOffAnOperationThatHasNotBegun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, op := f.created("shop", "orders")
	f.must(f.Dispatched(t.Context(), op.ID))
	f.wantDueIn(op.ID, 2*time.Minute)
	f.must(f.BeginOperation(t.Context(), op.ID, false))
	f.must(f.Dispatched(t.Context(), op.ID))
	f.must(f.Dispatched(t.Context(), uuid.New()))
	want(t, "state", f.operation(op.ID).State, daap.OperationRunning)
}
