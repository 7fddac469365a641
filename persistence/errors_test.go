package persistence_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/persistence"
)

func TestPeopleAreToldWhenPostgreSQLIsAway(t *testing.T) {
	t.Parallel()
	pool, err := persistence.Open(t.Context(), "postgres://daap@127.0.0.1:1/daap")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	store := persistence.New(pool)
	db, op := newDatabase(t, "shop", "orders")

	_, err = store.Database(t.Context(), daap.EveryTeam, db.ID)
	wantCode(t, err, daap.CodeUnavailable)
	_, err = store.Databases(t.Context(), daap.EveryTeam, daap.DatabaseFilter{Page: daap.Page{Limit: 1}})
	wantCode(t, err, daap.CodeUnavailable)
	_, _, err = store.CreateDatabase(t.Context(), everyone, db, nil, op)
	wantCode(t, err, daap.CodeUnavailable)
	_, _, err = store.PatchDatabase(t.Context(), everyone, db.ID, daap.DatabasePatch{}, op)
	wantCode(t, err, daap.CodeUnavailable)
	_, _, err = store.AcceptOperation(t.Context(), everyone, op)
	wantCode(t, err, daap.CodeUnavailable)
	_, err = store.Operation(t.Context(), daap.EveryTeam, op.ID)
	wantCode(t, err, daap.CodeUnavailable)
	_, err = store.Operations(t.Context(), daap.EveryTeam, daap.OperationFilter{Page: daap.Page{Limit: 1}})
	wantCode(t, err, daap.CodeUnavailable)
}

func TestPeopleAreToldWhenPostgreSQLGoesAway(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	db, _ := f.ready("shop", "orders")
	tx, err := f.pool.Begin(t.Context())
	f.must(err)
	_, err = tx.Exec(t.Context(), `SELECT id FROM databases WHERE id = $1 FOR UPDATE`, db.ID)
	f.must(err)
	waiting := make(chan error, 1)
	go func() {
		_, _, err := f.AcceptOperation(t.Context(), everyone, newOperation(t, daap.DeleteDatabase, db.ID))
		waiting <- err
	}()
	for err = nil; err == nil; {
		select {
		case err = <-waiting:
			wantCode(t, err, daap.CodeUnavailable)
		default:
			f.exec(`
				SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE  datname = current_database() AND wait_event_type = 'Lock'`)
		}
	}
	f.must(tx.Rollback(t.Context()))
	want(t, "database", f.database(db.ID), db)
}

func (s suite) WhatAFailureSaysIsRecordedWhateverItIs(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.running("shop", "orders")
	const said, stored = "broken \xff and\x00 ended", "broken \ufffd and ended"
	f.must(f.RecordStep(t.Context(), op.ID, daap.Step{
		Name: daap.StepCluster, State: daap.StepFailed, Progress: said, LastError: said,
	}))
	f.must(f.ParkOperation(t.Context(), op.ID, daap.StepCluster, daap.Cause{Code: daap.CauseRejected, Message: said}))
	step := f.step(op.ID, daap.StepCluster)
	want(t, "progress, last error", [2]string{step.Progress, step.LastError}, [2]string{stored, stored})
	want(t, "cause", f.operation(op.ID).Cause.Message, stored)
	want(t, "cause of the database", f.database(db.ID).Cause.Message, stored)
}

func TestAFaultOfTheServiceIsNotMadeForPeople(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(`DROP TABLE operation_steps`)
	_, err := f.Operation(t.Context(), daap.EveryTeam, uuid.New())
	if err == nil || daap.AsError(err) != nil {
		t.Errorf("error = %v, want one that is not made for people", err)
	}
}
