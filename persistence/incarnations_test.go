package persistence_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

func (s suite) IncarnationIsBegunOnceForEachOperation(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
	db := f.kept("orders")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	backup := daap.Backup{ID: uuid.Must(uuid.NewV7()), Name: "first", ServerName: "pg-1", Status: daap.BackupCompleted, StoppedAt: &at}
	f.must(f.SaveBackups(t.Context(), db, daap.BackupState{
		ObservedAt: at, Archiving: true, LastArchivedAt: &at, FirstRecoverableAt: &at, LastSuccessAt: &at, Gap: "000000010000000000000004",
	}, []daap.Backup{backup}))
	op := f.accepted(daap.ReconcileDatabase, db.ID)
	f.must(f.BeginOperation(t.Context(), op.ID, false))

	for range 2 { // activities run twice
		f.must(f.BeginIncarnation(t.Context(), op.ID, 1, "pg-1"))
	}
	is := f.database(db.ID)
	want(t, "incarnation", is.Incarnation, 2)
	want(t, "source", *is.Source, daap.Source{DatabaseID: db.ID, Name: "orders", ServerName: "pg-1", Destination: db.Destination()})
	read, err := f.Operation(t.Context(), daap.EveryTeam, op.ID)
	f.must(err)
	want(t, "the operation's incarnation", read.Incarnation, 2)
	told := slices.DeleteFunc(f.happened(db.ID), func(k daap.EventKind) bool { return k != daap.EventIncarnationBegun })
	want(t, "events", len(told), 1)

	state, err := f.BackupState(t.Context(), daap.EveryTeam, db.ID)
	f.must(err)
	if state.FirstRecoverableAt != nil || state.LastSuccessAt != nil || state.LastArchivedAt != nil || state.Archiving || state.Gap != "" {
		t.Errorf("of the backups of the incarnation %+v is known already", state)
	}
	kept, err := f.Backups(t.Context(), daap.EveryTeam, daap.BackupFilter{DatabaseID: db.ID, Page: daap.Page{Limit: 10}})
	f.must(err)
	if len(kept) != 1 || kept[0].ServerName != "pg-1" {
		t.Errorf("base backups are %+v, want that of pg-1", kept)
	}

	f.must(f.FinishOperation(t.Context(), op.ID))
	want(t, "status", f.database(db.ID).Status, daap.DatabaseReady)
	again := f.accepted(daap.ReconcileDatabase, db.ID)
	f.must(f.BeginOperation(t.Context(), again.ID, false))
	f.must(f.BeginIncarnation(t.Context(), again.ID, 2, "pg-1"))
	want(t, "incarnation of another operation", f.database(db.ID).Incarnation, 3)
}

func (s suite) IncarnationIsToldWithWhenAllWasArchived(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
	db := f.kept("orders")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.must(f.SaveBackups(t.Context(), db, daap.BackupState{ObservedAt: at, LastArchivedAt: &at, UnarchivedBytes: 1}, nil))
	op := f.accepted(daap.ReconcileDatabase, db.ID)
	f.must(f.BeginOperation(t.Context(), op.ID, false))
	f.must(f.BeginIncarnation(t.Context(), op.ID, 1, "pg-1"))
	events, err := f.Events(t.Context(), daap.EveryTeam, daap.EventFilter{DatabaseID: db.ID, Page: daap.Page{Limit: 1}})
	f.must(err)
	for _, part := range []string{"Cluster pg-1 and its volumes were gone", "as Cluster pg-2", "archive pg-1", "2026-01-02T03:04:05Z"} {
		if !strings.Contains(events[0].Message, part) {
			t.Errorf("the event says %q, want %q in it", events[0].Message, part)
		}
	}
}

func (s suite) IncarnationIsNotBegunForAnOperationThatIsGivenUp(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.runningOf(daap.ReconcileDatabase)
	f.must(f.CancelOperation(t.Context(), op.ID, abort))
	wantSuperseded(t, f.BeginIncarnation(t.Context(), op.ID, 1, "pg-1"))
	f.must(f.FinishCancel(t.Context(), op.ID))
	is := f.database(db.ID)
	want(t, "incarnation", is.Incarnation, 1)
	want(t, "status", is.Status, daap.DatabaseReady)
}

func (s suite) ArchiveIsNotPrunedWhileItsOwnDatabaseIsRestoredFromIt(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
	db := f.kept("orders")
	op := f.accepted(daap.ReconcileDatabase, db.ID)
	f.must(f.BeginOperation(t.Context(), op.ID, false))
	pruned := func() int {
		t.Helper()
		dbs, err := f.DatabasesWithArchives(t.Context(), uuid.Nil, 10)
		f.must(err)
		return len(dbs)
	}
	want(t, "pruned during a reconcile", pruned(), 1)
	f.must(f.BeginIncarnation(t.Context(), op.ID, 1, "pg-1"))
	want(t, "pruned while it is restored", pruned(), 0)
	f.must(f.ParkOperation(t.Context(), op.ID, daap.StepReady, daap.NewCause(daap.CauseDeadline, "late")))
	want(t, "pruned while that needs attention", pruned(), 0)
	f.must(f.ResumeOperation(t.Context(), op.ID, daap.Decision{Action: daap.ActionRetry}))
	f.must(f.FinishOperation(t.Context(), op.ID))
	want(t, "pruned once it is restored", pruned(), 1)
}
