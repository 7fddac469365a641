package persistence_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// daily is how a tier backs up.
var daily = daap.Backups{
	BackupEnabled: true, BackupFrequency: "0 2 * * *", BackupRetentionDays: 14, WALArchivingEnabled: true,
	ObjectStorageDestination: "s3://backups/shop",
}

// kept returns a database of a tier with backups, which is ready.
func (f fixture) kept(name string) daap.Database {
	f.t.Helper()
	db, op := newDatabase(f.t, "shop", name)
	db.Tier = "kept"
	_, op, err := f.CreateDatabase(f.t.Context(), everyone, db, nil, op)
	f.must(err)
	f.must(f.BeginOperation(f.t.Context(), op.ID, false))
	f.must(f.FinishOperation(f.t.Context(), op.ID))
	return f.database(db.ID)
}

func (s suite) TierKeepsHowItBacksUp(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	made := f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
	read, err := f.Tier(t.Context(), made.ID)
	f.must(err)
	want(t, "backups", read.Backups, daily)
	hourly := "0 * * * *"
	_, err = f.PatchTier(t.Context(), everyone, made.ID, daap.TierPatch{"backup_frequency": hourly},
		daap.Catalog{"17": "pg"})
	f.must(err)
	read, err = f.Tier(t.Context(), made.ID)
	f.must(err)
	want(t, "frequency", read.BackupFrequency, hourly)
}

func (s suite) OperationHasTheStepsForBackupsWhereItsDatabaseHasThem(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
	for tier, steps := range map[string]int{"small": len(daap.ProvisionDatabase.Plan(false)), "kept": len(daap.ProvisionDatabase.Plan(true))} {
		db, op := newDatabase(t, "shop", "on-"+tier)
		db.Tier = tier
		_, op, err := f.CreateDatabase(t.Context(), everyone, db, nil, op)
		f.must(err)
		got := f.operation(op.ID)
		want(t, "steps of "+tier, len(got.Steps), steps)
		want(t, "backs up of "+tier, got.BacksUp, tier == "kept")
	}
	db, _ := f.ready("shop", "orders")
	update := f.operation(f.updating(db.ID, "kept").ID)
	want(t, "steps of an update", len(update.Steps), len(daap.UpdateDatabase.Plan(true)))
}

func (s suite) WhatWasSeenOfBackupsLastStays(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
	db := f.kept("orders")
	nothing, err := f.BackupState(t.Context(), daap.EveryTeam, db.ID)
	f.must(err)
	want(t, "state before anybody looked", nothing, daap.BackupState{})
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	running := daap.Backup{ID: newID(t), DatabaseID: db.ID, Name: "first", ServerName: "pg-1", Status: daap.BackupRunning, StartedAt: &at}
	size := int64(5)
	done := running
	done.Status, done.StoppedAt, done.BeginWAL, done.EndWAL = daap.BackupCompleted, &at, "3", "4"
	done.BackupID, done.SizeBytes = "20260102T030405", &size
	later := daap.BackupState{
		ObservedAt: at.Add(time.Minute), Archiving: true, ArchivingMessage: "works", LastArchivedAt: &at, UnarchivedBytes: 5,
		LastSuccessAt: &at, LastFailureAt: &at, LastFailureMessage: "full", FirstRecoverableAt: &at, Gap: "4",
		ArchivedUntil: &at, LastBegunAt: &at,
	}
	f.must(f.SaveBackups(t.Context(), db, daap.BackupState{ObservedAt: at}, []daap.Backup{running}))
	for range 2 { // twice is once
		f.must(f.SaveBackups(t.Context(), db, later, []daap.Backup{done}))
	}
	unsized := done
	unsized.SizeBytes = nil
	f.must(f.SaveBackups(t.Context(), db, later, []daap.Backup{unsized}))
	f.must(f.SaveBackups(t.Context(), db, daap.BackupState{ObservedAt: at}, []daap.Backup{running})) // comes late
	state, err := f.BackupState(t.Context(), daap.EveryTeam, db.ID)
	f.must(err)
	want(t, "state", state, later)
	backups, err := f.Backups(t.Context(), daap.EveryTeam, daap.BackupFilter{DatabaseID: db.ID, Page: daap.Page{Limit: 10}})
	f.must(err)
	want(t, "backups", backups, []daap.Backup{done})
	none, err := f.Backups(t.Context(), daap.EveryTeam, daap.BackupFilter{DatabaseID: db.ID, Page: daap.Page{Limit: 10, After: done.ID}})
	f.must(err)
	want(t, "backups of the next page", len(none), 0)
}

func (s suite) BackupThatIsSeenNoMoreIsGone(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
	db := f.kept("orders")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	backup := func(name, server string) daap.Backup {
		return daap.Backup{ID: newID(t), DatabaseID: db.ID, Name: name, ServerName: server, BackupID: "of " + name, Status: daap.BackupCompleted}
	}
	left := func() string {
		backups, err := f.Backups(t.Context(), daap.EveryTeam, daap.BackupFilter{DatabaseID: db.ID, Page: daap.Page{Limit: 10}})
		f.must(err)
		var names []string
		for _, b := range backups {
			names = append(names, b.Name)
		}
		return strings.Join(names, " ")
	}
	retired, old, recent := backup("retired", "pg-0"), backup("old", "pg-1"), backup("recent", "pg-1")
	f.must(f.SaveBackups(t.Context(), db, daap.BackupState{ObservedAt: at}, []daap.Backup{retired, old, recent}))
	f.must(f.SaveBackups(t.Context(), db, daap.BackupState{ObservedAt: at.Add(-time.Minute)}, nil)) // comes late
	want(t, "left after a late look", left(), "recent old retired")
	f.must(f.SaveBackups(t.Context(), db, daap.BackupState{ObservedAt: at.Add(time.Minute)}, []daap.Backup{recent}))
	want(t, "left after a look", left(), "recent retired")
	for range 2 {
		f.must(f.ForgetBackups(t.Context(), db.ID, "pg-1", []string{"of retired"}))
		f.must(f.ForgetBackups(t.Context(), db.ID, "pg-0", []string{"of retired", "of recent"}))
	}
	want(t, "left in the end", left(), "recent")
}

func (s suite) LagCountsFromWhatWasFoundArchived(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
	db := f.kept("orders")
	at := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	after := func(d time.Duration) *time.Time { moment := at.Add(d); return &moment }
	for _, look := range []struct {
		what      string
		seen      daap.BackupState
		unwritten int64
		until     *time.Time
	}{
		{"archived all, long ago", daap.BackupState{ObservedAt: at, LastArchivedAt: after(-3 * time.Hour)}, 0, &at},
		{"clients write", daap.BackupState{ObservedAt: at.Add(1 * time.Minute), LastArchivedAt: after(-3 * time.Hour), UnarchivedBytes: 9}, 9, &at},
		{"does not tell", daap.BackupState{ObservedAt: at.Add(2 * time.Minute)}, 9, &at},
		{"archives some of it", daap.BackupState{ObservedAt: at.Add(3 * time.Minute), LastArchivedAt: after(150 * time.Second), UnarchivedBytes: 5}, 5, after(150 * time.Second)},
		{"archived all", daap.BackupState{ObservedAt: at.Add(4 * time.Minute), LastArchivedAt: after(200 * time.Second)}, 0, after(4 * time.Minute)},
	} {
		f.must(f.SaveBackups(t.Context(), db, look.seen, nil))
		state, err := f.BackupState(t.Context(), daap.EveryTeam, db.ID)
		f.must(err)
		want(t, look.what+": archived until", state.ArchivedUntil, look.until)
		want(t, look.what+": unarchived", state.UnarchivedBytes, look.unwritten)
		if state.LastArchivedAt == nil {
			t.Errorf("%s: when something was archived last is forgotten", look.what)
		}
	}
}

func (s suite) ArchivesAreNotPrunedWhileTheyAreReadOrRemoved(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
	source, other := f.kept("orders"), f.kept("other")
	restored, _ := newDatabase(t, "shop", "restored")
	restored.Status, restored.Source = daap.DatabaseRestoring, &daap.Source{DatabaseID: source.ID}
	_, op, err := f.CreateDatabase(t.Context(), everyone, restored, from(source), newOperation(t, daap.RestoreDatabase, restored.ID))
	f.must(err)
	f.accepted(daap.DeleteDatabase, f.kept("deleting").ID)
	pruned := func() []uuid.UUID {
		dbs, err := f.DatabasesWithArchives(t.Context(), uuid.Nil, 10)
		f.must(err)
		var ids []uuid.UUID
		for _, db := range dbs {
			ids = append(ids, db.ID)
		}
		return ids
	}
	want(t, "while it is restored from", pruned(), []uuid.UUID{other.ID})
	f.must(f.BeginOperation(t.Context(), op.ID, false))
	f.must(f.FinishOperation(t.Context(), op.ID))
	want(t, "afterwards", pruned(), []uuid.UUID{source.ID, other.ID})
}

func (s suite) OnlyDatabasesThatRunAndAreBackedUpAreLookedAt(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
	f.tier("kept-too", func(p *daap.Profile) { p.Backups, p.MaxConnections = daily, 50 })
	f.ready("shop", "without")
	first, second := f.kept("first"), f.kept("second")
	updating := f.kept("updating")
	f.updating(updating.ID, "kept-too")
	f.accepted(daap.DeleteDatabase, f.kept("deleting").ID)
	var found []uuid.UUID
	after := uuid.Nil
	for {
		page, err := f.BackedUpDatabases(t.Context(), after, 1)
		f.must(err)
		if len(page) == 0 {
			break
		}
		found, after = append(found, page[0].ID), page[0].ID
	}
	want(t, "databases", found, []uuid.UUID{first.ID, second.ID, updating.ID})
}

func (s suite) DatabaseIsRestoredOnlyToATierThatCanTakeIt(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("other", func(p *daap.Profile) { p.PGVersion = "16" })
	db, op := f.restoring("orders")
	want(t, "status", db.Status, daap.DatabaseRestoring)
	want(t, "source", f.database(db.ID).Source, db.Source)
	want(t, "kind", f.operation(op.ID).Kind, daap.RestoreDatabase)
	source := f.database(db.Source.DatabaseID)
	again, _ := newDatabase(t, "shop", "again")
	again.Tier, again.Status, again.Source = "other", daap.DatabaseRestoring, db.Source
	_, _, err := f.CreateDatabase(t.Context(), everyone, again, from(source), newOperation(t, daap.RestoreDatabase, again.ID))
	wantCode(t, err, daap.CodeValidationFailed)
	f.must(f.CheckQuotas(t.Context()))
}

func (s suite) RestoreThatIsGivenUpLeavesNoDatabase(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	begun, op := f.restoring("begun")
	f.must(f.BeginOperation(t.Context(), op.ID, false))
	f.must(f.CancelOperation(t.Context(), op.ID, abort))
	want(t, "status while it is taken back", f.database(begun.ID).Status, daap.DatabaseDeleting)
	f.must(f.FinishCancel(t.Context(), op.ID))
	pending, op := f.restoring("pending")
	_, err := f.CancelPending(t.Context(), daap.EveryTeam, op.ID, cancel)
	f.must(err)
	for _, db := range []daap.Database{begun, pending} {
		want(t, "status in the end", f.database(db.ID).Status, daap.DatabaseDeleted)
	}
	f.must(f.CheckQuotas(t.Context()))
}

func (s suite) SourceIsNotDeletedWhileItIsReadNorReadWhileItIsDeleted(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.restoring("orders")
	source := f.database(db.Source.DatabaseID)
	_, _, err := f.AcceptOperation(t.Context(), everyone, newOperation(t, daap.DeleteDatabase, source.ID))
	wantCode(t, err, daap.CodeDatabaseBusy)
	if e := daap.AsError(err); e == nil || e.Operation != op.ID {
		t.Errorf("deleting the source = %v, want operation %s named", err, op.ID)
	}
	f.must(f.BeginOperation(t.Context(), op.ID, false))
	f.must(f.FinishOperation(t.Context(), op.ID))
	f.accepted(daap.DeleteDatabase, source.ID)
	again, _ := newDatabase(t, "shop", "again")
	again.Status, again.Source = daap.DatabaseRestoring, db.Source
	_, _, err = f.CreateDatabase(t.Context(), everyone, again, from(source), newOperation(t, daap.RestoreDatabase, again.ID))
	wantCode(t, err, daap.CodeWrongStatus)
}

func (s suite) RestoreThatIsSentAgainIsAnsweredThoughItsSourceIsGone(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	source, _ := f.ready("shop", "orders")
	ask := func() (daap.Database, daap.Operation, error) {
		db, _ := newDatabase(t, "shop", "again")
		db.Status, db.Source = daap.DatabaseRestoring, &daap.Source{DatabaseID: source.ID}
		return f.CreateDatabase(t.Context(), once("a", 1), db, from(f.database(source.ID)), newOperation(t, daap.RestoreDatabase, db.ID))
	}
	first, op, err := ask()
	f.must(err)
	f.succeed(op)
	f.succeed(f.accepted(daap.DeleteDatabase, source.ID))
	again, _, err := ask()
	f.must(err)
	want(t, "the database of the request that is sent again", again.ID, first.ID)
}
