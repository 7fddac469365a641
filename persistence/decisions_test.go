package persistence_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

var (
	abort  = daap.Decision{Action: daap.ActionAbort, Origin: daap.Origin{Actor: "alice"}, Reason: "not needed"}
	cancel = daap.Decision{Action: daap.ActionCancel, Origin: daap.Origin{Actor: "bob"}, Reason: "wrong name"}
)

// kinds are what happened to the database, oldest first.
func (f fixture) happened(database uuid.UUID) []daap.EventKind {
	f.t.Helper()
	events, err := f.Events(f.t.Context(), daap.EveryTeam, daap.EventFilter{DatabaseID: database, Page: daap.Page{Limit: 100}})
	f.must(err)
	kinds := make([]daap.EventKind, len(events))
	for i, e := range events {
		kinds[len(events)-1-i] = e.Kind
	}
	return kinds
}

func (s suite) AProvisionThatIsGivenUpGoesBackAndEndsDeleted(t *testing.T) {
	t.Parallel()
	for _, parked := range []bool{false, true} {
		f := s.fixture(t)
		db, op := f.running("shop", "orders")
		if parked {
			f.must(f.ParkOperation(t.Context(), op.ID, daap.StepCluster, failed))
		}
		for range 2 {
			f.must(f.CancelOperation(t.Context(), op.ID, cancel))
			got := f.operation(op.ID)
			want(t, "state", got.State, daap.OperationCancelling)
			want(t, "given up by", got.CancelledBy, "bob")
			want(t, "cause", got.Cause, nil)
			want(t, "status meanwhile", f.database(db.ID).Status, daap.DatabaseDeleting)
		}
		wantSuperseded(t, f.HoldsDatabase(t.Context(), op.ID, false))
		wantSuperseded(t, f.BeginOperation(t.Context(), op.ID, false))
		wantSuperseded(t, f.FinishOperation(t.Context(), op.ID))
		f.must(f.HoldsDatabase(t.Context(), op.ID, true))

		f.must(f.ParkOperation(t.Context(), op.ID, daap.StepCluster, failed))
		f.must(f.ResumeOperation(t.Context(), op.ID, retry))
		want(t, "state after a retry of the way back", f.operation(op.ID).State, daap.OperationCancelling)
		for range 2 {
			f.must(f.FinishCancel(t.Context(), op.ID))
			want(t, "end", f.operation(op.ID).State, daap.OperationCancelled)
			want(t, "status", f.database(db.ID).Status, daap.DatabaseDeleted)
		}
		f.created("shop", "orders") // its name is free
	}
}

func (s suite) OnlyADeleteOfAReadyDatabaseCanBeGivenUp(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.ready("shop", "orders")
	op := f.accepted(daap.DeleteDatabase, db.ID)
	f.must(f.BeginOperation(t.Context(), op.ID, false))
	f.must(f.CancelOperation(t.Context(), op.ID, cancel))
	f.must(f.FinishCancel(t.Context(), op.ID))
	want(t, "status", f.database(db.ID).Status, daap.DatabaseReady)

	db, _ = f.running("shop", "carts")
	op = f.accepted(daap.DeleteDatabase, db.ID)
	f.must(f.BeginOperation(t.Context(), op.ID, false))
	wantCode(t, f.CancelOperation(t.Context(), op.ID, cancel), daap.CodeDecisionRefused)
	want(t, "state", f.operation(op.ID).State, daap.OperationRunning)
}

func (s suite) AStepOfTheOtherDirectionIsNotRecorded(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	_, op := f.running("shop", "orders")
	f.must(f.RecordStep(t.Context(), op.ID, daap.Step{Name: daap.StepCluster, State: daap.StepUndone}))
	want(t, "undone before it is given up", f.step(op.ID, daap.StepCluster).State, daap.StepPending)
	f.must(f.RecordStep(t.Context(), op.ID, daap.Step{Name: daap.StepCluster, State: daap.StepDone}))
	f.must(f.CancelOperation(t.Context(), op.ID, cancel))
	f.must(f.RecordStep(t.Context(), op.ID, daap.Step{Name: daap.StepCluster, State: daap.StepFailed}))
	want(t, "failed after it is given up", f.step(op.ID, daap.StepCluster).State, daap.StepDone)
	f.must(f.RecordStep(t.Context(), op.ID, daap.Step{Name: daap.StepCluster, State: daap.StepUndone}))
	want(t, "undone", f.step(op.ID, daap.StepCluster).State, daap.StepUndone)
}

func (s suite) ASkippedStepIsMarkedAndTheOperationGetsOn(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.running("shop", "orders")
	f.must(f.RecordStep(t.Context(), op.ID, daap.Step{Name: daap.StepConnect, State: daap.StepFailed, LastError: "no"}))
	f.must(f.ParkOperation(t.Context(), op.ID, daap.StepCluster, failed))
	for range 2 {
		f.must(f.SkipStep(t.Context(), op.ID, daap.StepConnect, daap.Decision{Action: daap.ActionSkip, Origin: daap.Origin{Actor: "alice"}, Reason: "seen by hand"}))
		want(t, "step", f.step(op.ID, daap.StepConnect).State, daap.StepSkipped)
		want(t, "state", f.operation(op.ID).State, daap.OperationRunning)
		want(t, "status", f.database(db.ID).Status, daap.DatabaseProvisioning)
	}
}

func (s suite) WhatKeepsAStepIsToldWhileItRuns(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.running("shop", "orders")
	pull := daap.NewCause(daap.CauseImagePull, "no image")
	record := func(step daap.Step) {
		t.Helper()
		f.must(f.RecordStep(t.Context(), op.ID, step))
	}
	record(daap.Step{Name: daap.StepReady, State: daap.StepRunning, Progress: "waits", Cause: &pull})
	want(t, "cause of the operation", f.operation(op.ID).Cause, &pull)
	want(t, "what the database waits on", f.database(db.ID).WaitingOn, &pull)
	want(t, "cause of the database", f.database(db.ID).Cause, nil)
	want(t, "step", f.operation(op.ID).Step, daap.StepReady)
	record(daap.Step{Name: daap.StepReady, State: daap.StepRunning, Attempts: 2})
	want(t, "cause when tried again", f.operation(op.ID).Cause, &pull)
	record(daap.Step{Name: daap.StepReady, State: daap.StepRunning, Attempts: 2, Progress: "1 of 1"})
	want(t, "cause when it is over", f.operation(op.ID).Cause, nil)
}

func (s suite) TheTimelineTellsAllThatHappened(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.running("shop", "orders")
	f.must(f.RecordStep(t.Context(), op.ID, daap.Step{Name: daap.StepNamespace, State: daap.StepRunning, Attempts: 1}))
	for range 2 {
		f.must(f.RecordStep(t.Context(), op.ID, daap.Step{Name: daap.StepNamespace, State: daap.StepDone, Attempts: 1}))
	}
	f.must(f.ParkOperation(t.Context(), op.ID, daap.StepCluster, failed))
	f.must(f.ResumeOperation(t.Context(), op.ID, retry))
	f.must(f.FinishOperation(t.Context(), op.ID))
	want(t, "events", f.happened(db.ID), []daap.EventKind{
		daap.EventAccepted, daap.EventStarted, daap.EventStepDone, daap.EventParked, daap.EventDecided, daap.EventSucceeded,
	})
	page, err := f.Events(t.Context(), daap.EveryTeam, daap.EventFilter{DatabaseID: db.ID, Page: daap.Page{Limit: 2}})
	f.must(err)
	want(t, "who decided", page[1].Actor, "alice")
	next, err := f.Events(t.Context(), daap.EveryTeam, daap.EventFilter{DatabaseID: db.ID, Page: daap.Page{Limit: 2, After: page[1].ID}})
	f.must(err)
	want(t, "cause of the park", next[0].Cause, failed.Code)
}

func (s suite) APendingOperationIsCancelledWithoutAWorkflow(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.created("shop", "orders")
	done, err := f.CancelPending(t.Context(), daap.EveryTeam, op.ID, cancel)
	f.must(err)
	want(t, "cancelled", done, true)
	want(t, "status", f.database(db.ID).Status, daap.DatabaseDeleted)
	wantSuperseded(t, f.BeginOperation(t.Context(), op.ID, false))

	_, begun := f.running("shop", "carts")
	done, err = f.CancelPending(t.Context(), daap.EveryTeam, begun.ID, cancel)
	f.must(err)
	want(t, "cancelled one that has begun", done, false)
	want(t, "events", f.happened(db.ID), []daap.EventKind{daap.EventAccepted, daap.EventDecided, daap.EventCancelled})
}

func (s suite) OurOwnPostgreSQLBeingAwayHidesNoOtherCause(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	_, op := f.running("shop", "orders")
	quota, away := daap.NewCause(daap.CauseQuota, "full"), daap.NewCause(daap.CausePlatformPostgresDown, "away")
	f.must(f.RecordStep(t.Context(), op.ID, daap.Step{Name: daap.StepReady, State: daap.StepRunning, Progress: "waits", Cause: &quota}))
	f.must(f.RecordStep(t.Context(), op.ID, daap.Step{Name: daap.StepReady, State: daap.StepFailed, Cause: &away}))
	want(t, "cause while it runs", f.operation(op.ID).Cause, &quota)
	f.must(f.ParkOperation(t.Context(), op.ID, daap.StepReady, away))
	want(t, "cause of the park", f.operation(op.ID).Cause, &quota)
}

func (s suite) ADeadlineTellsWhatWasKnownToKeepTheStep(t *testing.T) {
	t.Parallel()
	pull := daap.NewCause(daap.CauseImagePull, "no image")
	for step, want := range map[daap.StepName]daap.CauseCode{daap.StepReady: pull.Code, daap.StepConnect: failed.Code} {
		f := s.fixture(t)
		_, op := f.running("shop", "orders")
		f.must(f.RecordStep(t.Context(), op.ID, daap.Step{Name: daap.StepReady, State: daap.StepRunning, Progress: "waits", Cause: &pull}))
		f.must(f.ParkOperation(t.Context(), op.ID, step, failed))
		if got := f.operation(op.ID); got.Cause.Code != want || got.Step != step {
			t.Errorf("parked at %s with %s, want %s with %s", got.Step, got.Cause.Code, step, want)
		}
	}
}
