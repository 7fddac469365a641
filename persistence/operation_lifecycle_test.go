package persistence_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

func (s suite) BeginOperationMovesItToRunningOnce(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	_, op := f.running("shop", "orders")
	begun := f.operation(op.ID)
	want(t, "state", begun.State, daap.OperationRunning)
	f.must(f.BeginOperation(t.Context(), op.ID, false))
	want(t, "operation begun twice", f.operation(op.ID), begun)

	f.must(f.ParkOperation(t.Context(), op.ID, daap.StepCluster, failed))
	f.must(f.BeginOperation(t.Context(), op.ID, false))
	want(t, "state of a parked one", f.operation(op.ID).State, daap.OperationNeedsAttention)
}

func (s suite) ParkOperationRecordsTheCauseOnce(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.running("shop", "orders")
	f.must(f.ParkOperation(t.Context(), op.ID, daap.StepCluster, failed))
	parked, inError := f.operation(op.ID), f.database(db.ID)
	want(t, "state", parked.State, daap.OperationNeedsAttention)
	want(t, "cause", *parked.Cause, failed)
	want(t, "status", inError.Status, daap.DatabaseError)
	want(t, "cause of the database", *inError.Cause, failed)
	want(t, "holder", *inError.OperationID, op.ID)

	f.must(f.ParkOperation(t.Context(), op.ID, daap.StepCluster, failed))
	want(t, "operation parked twice", f.operation(op.ID), parked)
	want(t, "database parked twice", f.database(db.ID), inError)
}

func (s suite) ResumeOperationReturnsTheDatabaseToItsStatus(t *testing.T) {
	t.Parallel()
	for _, kind := range daap.OperationKinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			f := s.fixture(t)
			db, op := f.runningOf(kind)
			f.must(f.ParkOperation(t.Context(), op.ID, daap.StepCluster, failed))
			for range 2 {
				f.must(f.ResumeOperation(t.Context(), op.ID, retry))
				resumed, after := f.operation(op.ID), f.database(db.ID)
				want(t, "state", resumed.State, daap.OperationRunning)
				want(t, "cause", resumed.Cause, nil)
				want(t, "status", after.Status, kind.During())
				want(t, "cause of the database", after.Cause, nil)
			}
		})
	}
}

func (s suite) FinishOperationEndsItOnce(t *testing.T) {
	t.Parallel()
	for _, kind := range daap.OperationKinds() {
		for _, parked := range []bool{false, true} {
			name := string(kind)
			if parked {
				name += " that is parked"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := s.fixture(t)
				db, op := f.runningOf(kind)
				f.must(f.RecordStep(t.Context(), op.ID, daap.Step{Name: daap.StepFinish, State: daap.StepRunning}))
				if parked {
					f.must(f.ParkOperation(t.Context(), op.ID, daap.StepCluster, failed))
				}
				f.must(f.FinishOperation(t.Context(), op.ID))

				finished, after := f.operation(op.ID), f.database(db.ID)
				want(t, "state", finished.State, daap.OperationSucceeded)
				want(t, "cause", finished.Cause, nil)
				want(t, "finish", f.step(op.ID, daap.StepFinish).State, daap.StepDone)
				want(t, "a step that never ran", finished.Steps[0].State, daap.StepPending)
				want(t, "status", after.Status, kind.After())
				want(t, "holder", after.OperationID, nil)
				want(t, "deleted", after.DeletedAt != nil, kind == daap.DeleteDatabase)

				f.must(f.FinishOperation(t.Context(), op.ID))
				want(t, "operation finished twice", f.operation(op.ID), finished)
				want(t, "database finished twice", f.database(db.ID), after)
			})
		}
	}
}

func (s suite) AnOperationThatHasNotBegunOnlyBegins(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.created("shop", "orders")
	for name, err := range map[string]error{
		"park":   f.ParkOperation(t.Context(), op.ID, daap.StepCluster, failed),
		"resume": f.ResumeOperation(t.Context(), op.ID, retry),
		"finish": f.FinishOperation(t.Context(), op.ID),
	} {
		if err == nil {
			t.Errorf("%s = nil, want an error", name)
		}
	}
	want(t, "state", f.operation(op.ID).State, daap.OperationPending)
	want(t, "status", f.database(db.ID).Status, daap.DatabaseProvisioning)
	f.must(f.HoldsDatabase(t.Context(), op.ID, false))
}

func (s suite) ASupersededOperationChangesNothing(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.running("shop", "orders")
	f.must(f.HoldsDatabase(t.Context(), op.ID, false))
	f.accepted(daap.DeleteDatabase, db.ID)
	before, database := f.operation(op.ID), f.database(db.ID)

	wantSuperseded(t, f.HoldsDatabase(t.Context(), op.ID, false))
	wantSuperseded(t, f.BeginOperation(t.Context(), op.ID, false))
	wantSuperseded(t, f.ParkOperation(t.Context(), op.ID, daap.StepCluster, failed))
	wantSuperseded(t, f.ResumeOperation(t.Context(), op.ID, retry))
	wantSuperseded(t, f.FinishOperation(t.Context(), op.ID))
	wantSuperseded(t, f.SaveCACertificate(t.Context(), op.ID, db.ID, "pem"))
	f.must(f.RecordStep(t.Context(), op.ID, daap.Step{Name: daap.StepCluster, State: daap.StepRunning}))

	want(t, "operation", f.operation(op.ID), before)
	want(t, "database", f.database(db.ID), database)
}

func (s suite) AnOperationThatSucceededIsOver(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.ready("shop", "orders")
	wantSuperseded(t, f.HoldsDatabase(t.Context(), op.ID, false))
	wantSuperseded(t, f.BeginOperation(t.Context(), op.ID, false))
	wantSuperseded(t, f.ParkOperation(t.Context(), op.ID, daap.StepCluster, failed))
	wantSuperseded(t, f.ResumeOperation(t.Context(), op.ID, retry))
	want(t, "status", f.database(db.ID).Status, daap.DatabaseReady)
	superseded, err := f.SupersededOperations(t.Context(), db.ID)
	f.must(err)
	want(t, "superseded", len(superseded), 0)
}

func (s suite) AnUnknownOperationHoldsNothing(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.running("shop", "orders")
	wantSuperseded(t, f.HoldsDatabase(t.Context(), uuid.New(), false))
	wantSuperseded(t, f.BeginOperation(t.Context(), uuid.New(), false))
	wantSuperseded(t, f.ParkOperation(t.Context(), uuid.New(), daap.StepCluster, failed))
	wantSuperseded(t, f.FinishOperation(t.Context(), uuid.New()))
	wantSuperseded(t, f.SaveCACertificate(t.Context(), uuid.New(), db.ID, "pem"))
}
