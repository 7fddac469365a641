package persistence_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

func (s suite) AcceptOperationGivesItTheDatabase(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.ready("shop", "orders")
	asked := newOperation(t, daap.DeleteDatabase, db.ID)

	after, op, err := f.AcceptOperation(t.Context(), everyone, asked)
	f.must(err)
	want(t, "database as returned", after, f.database(db.ID))
	want(t, "status", after.Status, daap.DatabaseDeleting)
	want(t, "holder", *after.OperationID, op.ID)
	want(t, "operation as returned", op, f.operation(op.ID))
	want(t, "state", op.State, daap.OperationPending)
	want(t, "database", op.DatabaseName+" of "+op.OwnerTeam, "orders of shop")
	want(t, "steps", op.Steps, asked.Steps)
}

func (s suite) AcceptOperationTakesOverFromAProvision(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(fixture) (daap.Database, daap.Operation){
		"pending": func(f fixture) (daap.Database, daap.Operation) { return f.created("shop", "orders") },
		"running": func(f fixture) (daap.Database, daap.Operation) { return f.running("shop", "orders") },
		"parked": func(f fixture) (daap.Database, daap.Operation) {
			db, op := f.running("shop", "orders")
			f.must(f.ParkOperation(f.t.Context(), op.ID, daap.StepCluster, failed))
			return db, op
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := s.fixture(t)
			db, provision := prepare(f)
			del := f.accepted(daap.DeleteDatabase, db.ID)

			after := f.database(db.ID)
			want(t, "status", after.Status, daap.DatabaseDeleting)
			want(t, "cause", after.Cause, nil)
			want(t, "holder", *after.OperationID, del.ID)
			over := f.operation(provision.ID)
			want(t, "state", over.State, daap.OperationCancelled)
			want(t, "cause", over.Cause, nil)
			if over.FinishedAt == nil {
				t.Error("the cancelled operation has no end")
			}
			superseded, err := f.SupersededOperations(t.Context(), db.ID)
			f.must(err)
			if len(superseded) != 1 {
				t.Fatalf("superseded = %v, want the provision alone", superseded)
			}
			want(t, "workflow", superseded[0].WorkflowID(), provision.WorkflowID())
		})
	}
}

func (s suite) AcceptOperationRefusesABusyDatabaseNamingTheHolder(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.ready("shop", "orders")
	holder := f.accepted(daap.DeleteDatabase, db.ID)
	for _, state := range []string{"pending", "running", "parked"} {
		switch state {
		case "running":
			f.must(f.BeginOperation(t.Context(), holder.ID, false))
		case "parked":
			f.must(f.ParkOperation(t.Context(), holder.ID, daap.StepCluster, failed))
		}
		for _, kind := range []daap.OperationKind{daap.DeleteDatabase, daap.ProvisionDatabase} {
			refused := newOperation(t, kind, db.ID)
			_, _, err := f.AcceptOperation(t.Context(), everyone, refused)
			wantCode(t, err, daap.CodeDatabaseBusy)
			want(t, "holder of "+state, daap.AsError(err).Operation, holder.ID)
			_, err = f.OperationState(t.Context(), daap.EveryTeam, refused.ID)
			wantCode(t, err, daap.CodeNotFound) // nothing of it stays
		}
	}
}

func (s suite) AcceptOperationRefusesAStatusThatDoesNotAllowIt(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	gone := f.deleted("orders")
	_, _, err := f.AcceptOperation(t.Context(), everyone, newOperation(t, daap.DeleteDatabase, gone.ID))
	wantCode(t, err, daap.CodeWrongStatus)
	want(t, "database", f.database(gone.ID), gone)

	db, _ := f.ready("shop", "carts")
	_, _, err = f.AcceptOperation(t.Context(), everyone, newOperation(t, daap.ProvisionDatabase, db.ID))
	wantCode(t, err, daap.CodeWrongStatus)
}

func (s suite) AcceptOperationAtOnceLetsOneWin(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	ready, _ := f.ready("shop", "orders")
	provisioning, _ := f.running("shop", "carts")
	for _, db := range []daap.Database{ready, provisioning} {
		const callers = 16
		asked := make([]daap.Operation, callers)
		for i := range asked {
			asked[i] = newOperation(t, daap.DeleteDatabase, db.ID)
		}
		errs := atOnce(t.Context(), callers, func(ctx context.Context, i int) error {
			_, _, err := f.AcceptOperation(ctx, everyone, asked[i])
			return err
		})
		winner, winners := *f.database(db.ID).OperationID, 0
		for i, err := range errs {
			if err == nil {
				winners++
				want(t, "winner", asked[i].ID, winner)
				continue
			}
			wantCode(t, err, daap.CodeDatabaseBusy)
			want(t, "holder", daap.AsError(err).Operation, winner)
		}
		want(t, "winners", winners, 1)
	}
}

func (s suite) AMissingOperationIsNotFound(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	_, err := f.Operation(t.Context(), daap.EveryTeam, uuid.New())
	wantCode(t, err, daap.CodeNotFound)
	_, err = f.OperationState(t.Context(), daap.EveryTeam, uuid.New())
	wantCode(t, err, daap.CodeNotFound)
}

func (s suite) OperationsChoosesByDatabaseStateAndKind(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	orders, provision := f.ready("shop", "orders")
	_, other := f.created("shop", "carts")
	del := f.accepted(daap.DeleteDatabase, orders.ID)
	for name, tc := range map[string]struct {
		filter daap.OperationFilter
		want   []uuid.UUID
	}{
		"all":             {daap.OperationFilter{}, []uuid.UUID{del.ID, other.ID, provision.ID}},
		"database":        {daap.OperationFilter{DatabaseID: &orders.ID}, []uuid.UUID{del.ID, provision.ID}},
		"state":           {daap.OperationFilter{State: daap.OperationPending}, []uuid.UUID{del.ID, other.ID}},
		"kind":            {daap.OperationFilter{Kind: daap.DeleteDatabase}, []uuid.UUID{del.ID}},
		"database, state": {daap.OperationFilter{DatabaseID: &orders.ID, State: daap.OperationRunning}, nil},
		"after":           {daap.OperationFilter{Page: daap.Page{After: del.ID}}, []uuid.UUID{other.ID, provision.ID}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.filter.Page.Limit = 10
			ops, err := f.Operations(t.Context(), daap.EveryTeam, tc.filter)
			f.must(err)
			var ids []uuid.UUID
			for _, op := range ops {
				ids = append(ids, op.ID)
				want(t, "steps", len(op.Steps), 0)
				want(t, "team", op.OwnerTeam, "shop")
			}
			want(t, "ids, newest first", ids, tc.want)
		})
	}
	page, err := f.Operations(t.Context(), daap.EveryTeam, daap.OperationFilter{Page: daap.Page{Limit: 2}})
	f.must(err)
	want(t, "length of a page of two", len(page), 2)
}
