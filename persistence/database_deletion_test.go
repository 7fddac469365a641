package persistence_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// used is what is taken of the quota of tier small.
func (f fixture) used() daap.Cost {
	f.t.Helper()
	use, err := f.TierQuota(f.t.Context(), smallID)
	f.must(err)
	f.must(f.CheckQuotas(f.t.Context()))
	return use.Used
}

func (s suite) FrozenDatabaseHasItsVolumesAloneInTheQuota(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	full := daap.Cost{CPUMillis: 500, MemoryBytes: 512 << 20, StorageBytes: 1 << 30, Databases: 1}
	resting := daap.Cost{StorageBytes: 1 << 30, Databases: 1}
	db := f.frozen("orders")
	want(t, "used while it is frozen", f.used(), resting)

	given := f.accepted(daap.UnfreezeDatabase, db.ID)
	want(t, "used while it comes back", f.used(), full)
	f.must(f.BeginOperation(t.Context(), given.ID, false))
	f.must(f.CancelOperation(t.Context(), given.ID, abort))
	f.must(f.FinishCancel(t.Context(), given.ID))
	want(t, "used once that is given up", f.used(), resting)
	want(t, "status then", f.database(db.ID).Status, daap.DatabaseFrozen)

	f.succeed(f.accepted(daap.UnfreezeDatabase, db.ID))
	want(t, "used once it is back", f.used(), full)
	f.succeed(f.accepted(daap.FreezeDatabase, db.ID))
	want(t, "used once it is frozen again", f.used(), resting)
	f.succeed(f.accepted(daap.DeleteDatabase, db.ID))
	want(t, "used once it is deleted", f.used(), daap.Cost{})
}

func (s suite) UnfreezeNeedsRoomInTheQuota(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db := f.frozen("orders")
	little := 0.4
	_, err := f.SetTierQuota(t.Context(), everyone, smallID, daap.Quota{MaxCPUCores: &little})
	f.must(err)
	_, _, err = f.AcceptOperation(t.Context(), everyone, newOperation(t, daap.UnfreezeDatabase, db.ID))
	wantCode(t, err, daap.CodeQuotaExceeded)
	want(t, "status", f.database(db.ID).Status, daap.DatabaseFrozen)
}

func (s suite) ArchivedDatabaseIsKeptForItsRetention(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	tier := f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
	db := f.kept("orders")
	f.succeed(f.accepted(daap.ArchiveDatabase, db.ID))
	archived := f.database(db.ID)
	if left := time.Until(*archived.ArchivedUntil).Hours() / 24; left < 13.9 || left > 14 {
		t.Errorf("it is kept for %.1f days, want 14", left)
	}
	use, err := f.TierQuota(t.Context(), tier.ID)
	f.must(err)
	want(t, "used", use.Used, daap.Cost{Databases: 1})
	f.must(f.CheckQuotas(t.Context()))

	given := f.accepted(daap.DeleteDatabase, db.ID)
	f.must(f.BeginOperation(t.Context(), given.ID, false))
	f.must(f.CancelOperation(t.Context(), given.ID, abort))
	f.must(f.FinishCancel(t.Context(), given.ID))
	want(t, "once its deletion is given up", f.database(db.ID), withUpdate(archived, f.database(db.ID)))
}

// withUpdate is the database with when the other one was changed last.
func withUpdate(db, other daap.Database) daap.Database {
	db.UpdatedAt = other.UpdatedAt
	return db
}

func (s suite) ProtectedDatabaseIsNotTakenAway(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("protected", func(p *daap.Profile) { p.Backups, p.DeletionProtection = daily, true })
	db, op := newDatabase(t, "shop", "orders")
	db.Tier = "protected"
	_, op, err := f.CreateDatabase(t.Context(), everyone, db, nil, op)
	f.must(err)
	f.succeed(op)
	for _, kind := range []daap.OperationKind{daap.FreezeDatabase, daap.ArchiveDatabase, daap.DeleteDatabase} {
		_, _, err := f.AcceptOperation(t.Context(), everyone, newOperation(t, kind, db.ID))
		wantCode(t, err, daap.CodeDeletionProtected)
	}
	f.succeed(f.accepted(daap.BackUpDatabase, db.ID))
	off := false
	_, err = f.patch(t.Context(), everyone, db.ID, daap.DatabasePatch{DeletionProtection: &off})
	f.must(err)
	f.succeed(f.accepted(daap.DeleteDatabase, db.ID))
}

func (s suite) ReceiptKeepsTheLargestCounts(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	_, op := f.runningOf(daap.DeleteDatabase)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, counted := range []daap.Receipt{
		{Kubernetes: map[string]int{"Cluster": 1, "Pod": 2}},
		{Kubernetes: map[string]int{"Pod": 1, "Secret": 3}}, // what is left when it is tried again
		{Objects: 2000, Bytes: 5000},
		{Objects: 1000, Bytes: 2500},
		{RelistedAt: &at},
	} {
		f.must(f.SaveReceipt(t.Context(), op.ID, counted))
	}
	want(t, "receipt", f.operation(op.ID).Receipt, &daap.Receipt{
		Kubernetes: map[string]int{"Cluster": 1, "Pod": 2, "Secret": 3}, Objects: 2000, Bytes: 5000, RelistedAt: &at,
	})
	f.must(f.FinishOperation(t.Context(), op.ID))
	if err := f.SaveReceipt(t.Context(), op.ID, daap.Receipt{}); err == nil {
		t.Error("the receipt of an operation that is over was changed")
	}
}

func (s suite) ClosedArchiveIsClosedUntilItIsOpened(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
	db := f.kept("orders")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	closed := func() *time.Time {
		state, err := f.BackupState(t.Context(), daap.EveryTeam, db.ID)
		f.must(err)
		return state.ClosedAt
	}
	f.must(f.SaveBackups(t.Context(), db, daap.BackupState{ObservedAt: at}, nil))
	f.must(f.CloseArchive(t.Context(), db.ID, &at))
	f.must(f.SaveBackups(t.Context(), db, daap.BackupState{ObservedAt: at.Add(time.Minute)}, nil)) // one more check
	want(t, "closed at", closed(), &at)
	f.must(f.CloseArchive(t.Context(), db.ID, nil))
	want(t, "closed once it is open", closed(), nil)
	f.must(f.CloseArchive(t.Context(), uuid.New(), &at)) // no check of its backups yet
}

func (s suite) ArchivesExpireOnceTheirTimeIsOver(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
	archived := map[string]uuid.UUID{}
	for _, name := range []string{"over", "protected", "held", "not-yet"} {
		if name == "not-yet" {
			f.pass(15 * 24 * time.Hour)
		}
		db := f.kept(name)
		f.succeed(f.accepted(daap.ArchiveDatabase, db.ID))
		archived[name] = db.ID
	}
	on := true
	_, err := f.patch(t.Context(), everyone, archived["protected"], daap.DatabasePatch{DeletionProtection: &on})
	f.must(err)
	f.accepted(daap.DeleteDatabase, archived["held"])
	expired, err := f.ExpiredArchives(t.Context(), 10)
	f.must(err)
	if len(expired) != 1 || expired[0].Name != "over" {
		t.Fatalf("expired are %+v, want the one whose time is over", expired)
	}
	databases := daap.NewDatabases(f, f, noEngine{}, 1000)
	for _, want := range []int{1, 0} { // the second time it is on its way out
		if n, err := daap.NewExpiry(f, databases).Run(t.Context()); err != nil || n != want {
			t.Errorf("Run() = %d, %v; want %d", n, err, want)
		}
	}
	op := f.operation(*f.database(expired[0].ID).OperationID)
	want(t, "who asks for it", op.Origin.Actor, "daap/retention")
	want(t, "kind", op.Kind, daap.DeleteDatabase)
}

func (s suite) OrphansAreThoseThatWereFoundLast(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	orphan := func(name string) daap.Orphan {
		return daap.Orphan{ID: newID(t), Kind: daap.OrphanNamespace, Name: name, DatabaseID: newID(t), Reason: "No database has ever had its ID."}
	}
	left := func() []daap.Orphan {
		found, err := f.Orphans(t.Context(), daap.OrphanFilter{Page: daap.Page{Limit: 10}})
		f.must(err)
		n, err := f.CountOrphans(t.Context())
		f.must(err)
		want(t, "how many", n, len(found))
		return found
	}
	first, second := orphan("first"), orphan("second")
	f.must(f.SaveOrphans(t.Context(), at, []daap.Orphan{first, second}))
	want(t, "newest", left()[0].Name, "second")
	asked, err := f.RequestOrphanRemoval(t.Context(), everyone, second.ID)
	f.must(err)
	if asked.RemovalRequestedAt == nil {
		t.Error("that it is to be removed is not noted")
	}
	_, err = f.RequestOrphanRemoval(t.Context(), everyone, uuid.New())
	wantCode(t, err, daap.CodeNotFound)
	f.must(f.OrphanRemoved(t.Context(), second.ID, "it is locked"))
	again := second
	again.ID = newID(t) // it is found again
	f.must(f.SaveOrphans(t.Context(), at.Add(time.Hour), []daap.Orphan{again}))
	now := left()
	if len(now) != 1 || now[0].ID != second.ID || now[0].RemovalError != "it is locked" || !now[0].FirstSeenAt.Equal(at) {
		t.Errorf("orphans are %+v, want the second as it was found first", now)
	}
	toRemove, err := f.OrphansToRemove(t.Context())
	f.must(err)
	want(t, "to be removed", len(toRemove), 1)
	f.must(f.OrphanRemoved(t.Context(), second.ID, ""))
	want(t, "in the end", len(left()), 0)
}

func (s suite) DestinationsAreThoseOfTiersAndDatabases(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
	db := f.kept("orders")
	elsewhere := "s3://elsewhere"
	_, err := f.PatchTier(t.Context(), everyone, *db.TierID,
		daap.TierPatch{"object_storage_destination": elsewhere}, catalog)
	f.must(err)
	all, err := f.Destinations(t.Context())
	f.must(err)
	want(t, "destinations", all, []string{"s3://backups/shop", "s3://elsewhere"})
	found, err := f.DatabasesByID(t.Context(), []uuid.UUID{db.ID, uuid.New()})
	f.must(err)
	want(t, "databases", len(found), 1)
}
