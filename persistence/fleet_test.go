package persistence_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// look records a check of the database with the health.
func (f fixture) look(id uuid.UUID, at time.Time, health daap.DatabaseHealth) {
	f.t.Helper()
	all, err := f.RunningAmong(f.t.Context(), []uuid.UUID{id})
	f.must(err)
	if len(all) != 1 {
		f.t.Fatalf("%d databases run, want one", len(all))
	}
	found := map[daap.DatabaseHealth]daap.Conditions{
		daap.HealthHealthy: {
			{Type: daap.ConditionReady, Status: daap.ConditionTrue}, {Type: daap.ConditionPrimaryReachable, Status: daap.ConditionTrue},
		},
		daap.HealthDegraded: {
			{Type: daap.ConditionReady, Status: daap.ConditionTrue},
			{Type: daap.ConditionPrimaryReachable, Status: daap.ConditionTrue},
			{Type: daap.ConditionReplication, Status: daap.ConditionFalse},
		},
		daap.HealthUnavailable: {{Type: daap.ConditionPrimaryReachable, Status: daap.ConditionFalse}},
		daap.HealthUnknown:     {{Type: daap.ConditionReady, Status: daap.ConditionUnknown}},
	}
	again, err := f.SaveHealth(f.t.Context(), at, []daap.Observation{all[0].Observe(found[health], at)})
	f.must(err)
	want(f.t, "to look at again", len(again), 0)
}

// fleet is one of each kind: databases by their names.
func (f fixture) fleet(now time.Time) map[string]daap.Database {
	f.t.Helper()
	all := map[string]daap.Database{}
	for _, row := range []struct {
		team, name string
		health     daap.DatabaseHealth
		ago        time.Duration
	}{
		{"shop", "well", daap.HealthHealthy, time.Minute},
		{"shop", "stale", daap.HealthHealthy, 5*time.Minute + time.Second},
		{"shop", "slow", daap.HealthDegraded, 3 * time.Minute},
		{"mail", "slow-too", daap.HealthDegraded, time.Minute},
		{"mail", "down", daap.HealthUnavailable, 4 * time.Minute},
		{"mail", "down-before", daap.HealthUnavailable, time.Hour},
		{"shop", "untold", daap.HealthUnknown, time.Minute},
		{"shop", "new", "", 0},
	} {
		db, _ := f.ready(row.team, row.name)
		if row.health != "" {
			f.look(db.ID, now.Add(-row.ago), row.health)
		}
		all[row.name] = f.database(db.ID)
	}
	for name, kind := range map[string]daap.OperationKind{"kept": daap.UpdateDatabase, "stuck": daap.FreezeDatabase} {
		db, _ := f.ready("shop", name)
		f.look(db.ID, now, daap.HealthHealthy)
		op := newOperation(f.t, kind, db.ID)
		if kind == daap.UpdateDatabase {
			f.tier("large", func(p *daap.Profile) { p.Instances = 3 })
			op = f.updating(db.ID, "large")
		} else {
			op = f.accepted(kind, db.ID)
		}
		f.must(f.BeginOperation(f.t.Context(), op.ID, false))
		f.must(f.ParkOperation(f.t.Context(), op.ID, daap.StepCheck, failed))
		all[name] = f.database(db.ID)
	}
	frozen, _ := f.ready("shop", "frozen")
	f.look(frozen.ID, now, daap.HealthUnavailable)
	f.succeed(f.accepted(daap.FreezeDatabase, frozen.ID))
	all["frozen"] = f.database(frozen.ID)
	deleted, _ := f.ready("shop", "deleted")
	f.look(deleted.ID, now, daap.HealthHealthy)
	f.succeed(f.accepted(daap.DeleteDatabase, deleted.ID))
	all["deleted"] = f.database(deleted.ID)
	all["provisioning"], _ = f.created("mail", "provisioning")
	return all
}

func (s suite) DatabasesChoosesByHealthAsItIsNow(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	now := time.Now()
	all := f.fleet(now)
	_, err := f.patch(t.Context(), everyone, all["down"].ID, daap.DatabasePatch{Labels: map[string]*string{"env": new("prod")}})
	f.must(err)
	names := func(filter daap.DatabaseFilter, scope daap.Scope) []string {
		t.Helper()
		filter.Page.Limit = 3
		var names []string
		for { // over all pages
			dbs, err := f.Databases(t.Context(), scope, filter)
			f.must(err)
			for _, db := range dbs {
				names = append(names, db.Name)
				if seen, runs := db.HealthAt(now); !runs || seen.Health != filter.Health {
					t.Errorf("%s is %+v, want %s", db.Name, seen, filter.Health)
				}
				filter.Page.After = db.ID
			}
			if len(dbs) == 0 {
				return names
			}
		}
	}
	prod := map[string]string{"env": "prod"}
	for name, tc := range map[string]struct {
		filter daap.DatabaseFilter
		want   []string
	}{
		"healthy":                {daap.DatabaseFilter{Health: daap.HealthHealthy}, []string{"kept", "well"}},
		"degraded":               {daap.DatabaseFilter{Health: daap.HealthDegraded}, []string{"slow-too", "slow"}},
		"unavailable":            {daap.DatabaseFilter{Health: daap.HealthUnavailable}, []string{"down"}},
		"unknown":                {daap.DatabaseFilter{Health: daap.HealthUnknown}, []string{"new", "untold", "down-before", "stale"}},
		"unavailable of a team":  {daap.DatabaseFilter{Health: daap.HealthUnavailable, Team: "shop"}, nil},
		"degraded of a team":     {daap.DatabaseFilter{Health: daap.HealthDegraded, Team: "shop"}, []string{"slow"}},
		"with a label":           {daap.DatabaseFilter{Health: daap.HealthUnavailable, Labels: prod}, []string{"down"}},
		"with a label, degraded": {daap.DatabaseFilter{Health: daap.HealthDegraded, Labels: prod}, nil},
		"unknown with a label":   {daap.DatabaseFilter{Health: daap.HealthUnknown, Labels: prod}, nil},
		"in error":               {daap.DatabaseFilter{Health: daap.HealthHealthy, Status: daap.DatabaseError}, []string{"kept"}},
		"frozen":                 {daap.DatabaseFilter{Health: daap.HealthUnavailable, Status: daap.DatabaseFrozen}, nil},
		"frozen, unknown":        {daap.DatabaseFilter{Health: daap.HealthUnknown, Status: daap.DatabaseFrozen}, nil},
		"deleted":                {daap.DatabaseFilter{Health: daap.HealthHealthy, Status: daap.DatabaseDeleted}, nil},
	} {
		if got := names(tc.filter, daap.EveryTeam); !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
	want(t, "unavailable of another team", len(names(daap.DatabaseFilter{Health: daap.HealthUnavailable}, daap.OfTeam("shop"))), 0)
}

func (s suite) TheDomainsRuleOfWhatRunsIsThatOfSQL(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.fleet(time.Now())
	for _, kind := range []daap.OperationKind{daap.RestoreDatabase, daap.BackUpDatabase, daap.UnfreezeDatabase, daap.ArchiveDatabase, daap.DeleteDatabase} {
		f := s.fixture(t)
		_, op := f.runningOf(kind)
		runningAsTheDomainSays(f)
		f.must(f.ParkOperation(t.Context(), op.ID, op.Kind.Pivot(), failed))
		runningAsTheDomainSays(f)
	}
	runningAsTheDomainSays(f)
}

func runningAsTheDomainSays(f fixture) {
	f.t.Helper()
	running, err := f.RunningDatabases(f.t.Context(), uuid.Nil, 100)
	f.must(err)
	got := map[uuid.UUID]bool{}
	for _, db := range running {
		got[db.ID] = true
	}
	for _, status := range daap.DatabaseStatuses() {
		all, err := f.Databases(f.t.Context(), daap.EveryTeam, daap.DatabaseFilter{Status: status, Page: daap.Page{Limit: 100}})
		f.must(err)
		for _, db := range all {
			if got[db.ID] != db.Runs() {
				f.t.Errorf("%s, %s and held by %q, runs by SQL %t, by the domain %t", db.Name, db.Status, db.OperationKind, got[db.ID], db.Runs())
			}
		}
	}
}

func (s suite) HealthIsSoSinceItChanged(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.ready("shop", "orders")
	now := time.Now().Truncate(time.Microsecond)
	for _, look := range []struct {
		after  time.Duration
		health daap.DatabaseHealth
		since  time.Duration
	}{
		{0, daap.HealthHealthy, 0},
		{1, daap.HealthHealthy, 0},
		{2, daap.HealthUnavailable, 2},
		{3, daap.HealthUnavailable, 2},
		{4, daap.HealthDegraded, 4},
	} {
		f.look(db.ID, now.Add(look.after*time.Minute), look.health)
		want(t, "the health", *f.database(db.ID).LastHealth, daap.HealthObservation{
			Health: look.health, Since: now.Add(look.since * time.Minute), ObservedAt: now.Add(look.after * time.Minute),
		})
	}
}

func (s suite) FleetCountsWhatThereIs(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	empty, err := f.Fleet(t.Context(), time.Now())
	f.must(err)
	want(t, "databases of none", empty.Databases+len(empty.ByTier)+len(empty.ByHealth)+len(empty.Open)+len(empty.Parked), 0)

	now := time.Now().Truncate(time.Microsecond)
	all := f.fleet(now)
	fleet, err := f.Fleet(t.Context(), now)
	f.must(err)
	want(t, "databases", fleet.Databases, 12)
	want(t, "by status", fleet.ByStatus, map[daap.DatabaseStatus]int{"ready": 8, "error": 2, "frozen": 1, "provisioning": 1})
	want(t, "by tier", fleet.ByTier, []daap.FleetGroup{{Name: "small", Databases: 12}})
	want(t, "by team", fleet.ByTeam, []daap.FleetGroup{{Name: "shop", Databases: 8}, {Name: "mail", Databases: 4}})
	want(t, "by version", fleet.ByPGVersion, []daap.FleetGroup{{Name: "17", Databases: 12}})
	oldest := func(name string, since time.Time) *daap.OldestDatabase {
		return &daap.OldestDatabase{ID: all[name].ID, Since: since}
	}
	want(t, "by health", fleet.ByHealth, map[daap.DatabaseHealth]daap.FleetHealth{
		daap.HealthHealthy:     {Databases: 2},
		daap.HealthDegraded:    {Databases: 2, Oldest: oldest("slow", now.Add(-3*time.Minute))},
		daap.HealthUnavailable: {Databases: 1, Oldest: oldest("down", now.Add(-4*time.Minute))},
		daap.HealthUnknown:     {Databases: 4, Oldest: oldest("down-before", now.Add(-55*time.Minute))},
	})
	want(t, "the sweep", fleet.Sweep, daap.FleetSweep{
		LastAt: new(now), FirstAt: new(now.Add(-time.Hour)), Databases: 9,
	})
	opened := func(name string) daap.OldestOperation {
		op := f.operation(*f.database(all[name].ID).OperationID)
		return daap.OldestOperation{ID: op.ID, CreatedAt: op.CreatedAt}
	}
	want(t, "open operations", fleet.Open, []daap.OpenOperations{
		{Kind: daap.FreezeDatabase, NeedsAttention: 1, Oldest: opened("stuck")},
		{Kind: daap.ProvisionDatabase, Pending: 1, Oldest: opened("provisioning")},
		{Kind: daap.UpdateDatabase, NeedsAttention: 1, Oldest: opened("kept")},
	})
	first := opened("kept")
	if other := opened("stuck"); other.ID.String() < first.ID.String() {
		first = other
	}
	want(t, "parked operations", fleet.Parked, []daap.ParkedOperations{{Cause: daap.CauseDeadline, Operations: 2, Oldest: first}})
}

func TestSweepIsBehindWhereNobodyLooksForTwoMinutes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now := time.Now()
	f.fleet(now)
	f.exec(`UPDATE databases SET updated_at = now() - interval '1 day'`)
	fleet, err := f.Fleet(t.Context(), now)
	f.must(err)
	want(t, "late", fleet.Sweep.Late, 5) // stale, slow, down, down-before, and new, which was never checked
}
