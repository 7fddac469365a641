package persistence_test

import (
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

func TestTierKeepsHowItBacksUp(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	made := f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
	read, err := f.Tier(t.Context(), made.ID)
	f.must(err)
	want(t, "backups", read.Backups, daily)
	hourly := "0 * * * *"
	_, err = f.PatchTier(t.Context(), everyone, made.ID, daap.TierPatch{BackupsPatch: daap.BackupsPatch{BackupFrequency: &hourly}},
		daap.Catalog{"17": "pg"})
	f.must(err)
	read, err = f.Tier(t.Context(), made.ID)
	f.must(err)
	want(t, "frequency", read.BackupFrequency, hourly)
}

func TestOperationHasTheStepsForBackupsWhereItsDatabaseHasThem(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
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

func TestWhatWasSeenOfBackupsLastStays(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
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
	}
	f.must(f.SaveBackups(t.Context(), db.ID, daap.BackupState{ObservedAt: at}, []daap.Backup{running}))
	for range 2 { // twice is once
		f.must(f.SaveBackups(t.Context(), db.ID, later, []daap.Backup{done}))
	}
	unsized := done
	unsized.SizeBytes = nil
	f.must(f.SaveBackups(t.Context(), db.ID, daap.BackupState{ObservedAt: at}, []daap.Backup{unsized})) // comes late
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

func TestOnlyDatabasesThatAreReadyAndBackedUpAreLookedAt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
	f.ready("shop", "without")
	first, second := f.kept("first"), f.kept("second")
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
	want(t, "databases", found, []uuid.UUID{first.ID, second.ID})
}

func TestDatabaseIsRestoredOnlyToATierThatCanTakeIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
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

func TestRestoreThatIsGivenUpLeavesNoDatabase(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
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

func TestSourceIsNotDeletedWhileItIsReadNorReadWhileItIsDeleted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
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

func TestRestoreThatIsSentAgainIsAnsweredThoughItsSourceIsGone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	source, _ := f.ready("shop", "orders")
	ask := func() (daap.Database, error) {
		db, _ := newDatabase(t, "shop", "again")
		db.Status, db.Source = daap.DatabaseRestoring, &daap.Source{DatabaseID: source.ID}
		made, _, err := f.CreateDatabase(t.Context(), once("a", 1), db, from(f.database(source.ID)), newOperation(t, daap.RestoreDatabase, db.ID))
		return made, err
	}
	first, err := ask()
	f.must(err)
	f.exec(`UPDATE databases SET status = 'deleting' WHERE name = 'orders'`)
	again, err := ask()
	f.must(err)
	want(t, "the database of the request that is sent again", again.ID, first.ID)
}
