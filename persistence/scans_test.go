package persistence_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// told is a scan at the time that found the extensions, by PostgreSQL database, name and version.
func told(at time.Time, found ...[3]string) (daap.Scan, []daap.Extension) {
	var all []daap.Extension
	for _, e := range found {
		all = append(all, daap.Extension{PostgresDatabase: e[0], Name: e[1], Version: e[2], AvailableVersion: "1.10"})
	}
	return daap.Scan{
		AttemptedAt: at, ScannedAt: &at, ListedAt: &at, UsedBytes: 100, WALBytes: 10, Connections: 3, MaxConnections: 94,
	}, all
}

// listed are the extensions of the database in short.
func (f fixture) listed(scope daap.Scope, database uuid.UUID) []string {
	f.t.Helper()
	view, err := f.DescribeDatabase(f.t.Context(), scope, database)
	f.must(err)
	var short []string
	for _, e := range view.Extensions {
		short = append(short, fmt.Sprintf("%s/%s %s of %s at %s", e.PostgresDatabase, e.Name, e.Version, e.AvailableVersion, e.LastCheckedAt.UTC().Format("15:04")))
	}
	return short
}

func (s suite) FailedScanKeepsTheListOfBeforeWithItsTime(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.ready("shop", "orders")
	at := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	save := func(scan daap.Scan, extensions []daap.Extension) {
		t.Helper()
		f.must(f.SaveScan(t.Context(), db.ID, scan, extensions))
	}
	save(told(at, [3]string{"app", "plpgsql", "1.0"}, [3]string{"app", "hstore", "1.8"}, [3]string{"second", "plpgsql", "1.0"}))
	before := []string{"app/hstore 1.8 of 1.10 at 03:04", "app/plpgsql 1.0 of 1.10 at 03:04", "second/plpgsql 1.0 of 1.10 at 03:04"}
	wantSame(t, "extensions", f.listed(daap.EveryTeam, db.ID), before)

	later := at.Add(10 * time.Minute)
	save(daap.Scan{AttemptedAt: later, Reason: "PermissionDenied", Message: "no\x00 entry", ScannedAt: &later, UsedBytes: 500, WALBytes: 50, Connections: 9, MaxConnections: 94}, nil)
	wantSame(t, "extensions after one that was kept out", f.listed(daap.EveryTeam, db.ID), before)
	got, err := f.DescribeDatabase(t.Context(), daap.EveryTeam, db.ID)
	f.must(err)
	if !got.Scan.AttemptedAt.Equal(later) || !got.Scan.ScannedAt.Equal(later) || !got.Scan.ListedAt.Equal(at) || got.Scan.UsedBytes != 500 ||
		got.Scan.Reason != "PermissionDenied" || got.Scan.Message != "no entry" {
		t.Errorf("the scan is %+v, want the new storage and the old list", got.Scan)
	}

	save(daap.Scan{AttemptedAt: later.Add(time.Minute), Reason: "ConnectFailed", Message: "connection refused"}, nil)
	got, err = f.DescribeDatabase(t.Context(), daap.EveryTeam, db.ID)
	f.must(err)
	if !got.Scan.ScannedAt.Equal(later) || got.Scan.UsedBytes != 500 || got.Scan.WALBytes != 50 || got.Scan.Connections != 9 || got.Scan.Reason != "ConnectFailed" {
		t.Errorf("the scan is %+v, want the storage of before and why it failed", got.Scan)
	}

	save(told(at.Add(5*time.Minute), [3]string{"app", "late", "1.0"}))
	wantSame(t, "extensions after an answer that came late", f.listed(daap.EveryTeam, db.ID), before)
	save(told(at.Add(time.Hour), [3]string{"app", "hstore", "1.9"}, [3]string{"app", "hstore", "1.9"}, [3]string{"third", "x\x00y", "1"}))
	wantSame(t, "extensions in the end", f.listed(daap.EveryTeam, db.ID), []string{"app/hstore 1.9 of 1.10 at 04:04", "third/xy 1 of 1.10 at 04:04"})
	save(told(at.Add(2 * time.Hour)))
	wantSame(t, "extensions where all were dropped", f.listed(daap.EveryTeam, db.ID), nil)
}

func wantSame(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v\nwant %v", what, got, want)
	}
}

func (s suite) DatabasesAreScannedWhenTheyChangeAndMoreOftenWhenTheyFillUpOrDoNotAnswer(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	creating, _ := f.running("shop", "new")
	const gib = 1 << 30
	for name, tt := range map[string]struct {
		changed, asked, answered time.Duration // ago; where it answered before, it did not when it was asked
		used                     int64
		due                      bool
	}{
		"never asked":              {time.Hour, 0, 0, 0, true},
		"asked nine minutes ago":   {time.Hour, 9 * time.Minute, 0, 0, false},
		"asked eleven minutes ago": {time.Hour, 11 * time.Minute, 0, 0, true},
		"changed since":            {time.Minute, 2 * time.Minute, 0, 0, true},
		"changed just before":      {2 * time.Minute, time.Minute, 0, 0, false},
		"79 percent, a minute ago": {time.Hour, 70 * time.Second, 0, gib * 79 / 100, false},
		"81 percent, a minute ago": {time.Hour, 70 * time.Second, 0, gib * 81 / 100, true},
		"81 percent, half of that": {time.Hour, 30 * time.Second, 0, gib * 81 / 100, false},
		"no answer a minute ago":   {time.Hour, time.Minute, 10 * time.Minute, 0, true},
		"no answer just now":       {time.Hour, 30 * time.Second, 10 * time.Minute, 0, false},
		"no answer for long":       {time.Hour, time.Minute, 12 * time.Minute, 0, false},
		"no answer at all":         {time.Hour, 11 * time.Minute, time.Hour, 0, true},
	} {
		db, _ := f.ready("shop", "db-"+newID(t).String()[24:])
		f.pass(tt.changed)
		if tt.answered > 0 {
			scan, none := told(f.now().Add(-tt.answered))
			f.must(f.SaveScan(t.Context(), db.ID, scan, none))
			f.must(f.SaveScan(t.Context(), db.ID, daap.Scan{AttemptedAt: f.now().Add(-tt.asked), Reason: "ConnectFailed"}, nil))
		} else if tt.asked > 0 {
			scan, _ := told(f.now().Add(-tt.asked))
			scan.UsedBytes = tt.used
			f.must(f.SaveScan(t.Context(), db.ID, scan, nil))
		}
		dbs, err := f.DatabasesToScan(t.Context(), uuid.Nil, 100)
		f.must(err)
		is := func(id uuid.UUID) bool {
			return slices.ContainsFunc(dbs, func(db daap.Database) bool { return db.ID == id })
		}
		if is(db.ID) != tt.due || is(creating.ID) {
			t.Errorf("%s: due is %t, want %t; one that is being made is %t", name, is(db.ID), tt.due, is(creating.ID))
		}
		after, err := f.DatabasesToScan(t.Context(), db.ID, 10)
		f.must(err)
		want(t, "databases after the last one", len(after), 0)
	}
}

func (s suite) ExtensionsOfTheFleetAreThoseOfDatabasesThatRunAndAreInScope(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	now := time.Now().Truncate(time.Second)
	save := func(db daap.Database, at time.Time, found ...[3]string) {
		t.Helper()
		scan, extensions := told(at, found...)
		f.must(f.SaveScan(t.Context(), db.ID, scan, extensions))
	}
	orders, _ := f.ready("shop", "orders")
	carts, _ := f.ready("shop", "carts")
	bills, _ := f.ready("billing", "bills")
	gone, _ := f.ready("shop", "gone")
	f.ready("shop", "unasked")
	save(orders, now.Add(-time.Hour), [3]string{"app", "hstore", "1.8"}, [3]string{"second", "hstore", "1.8"}, [3]string{"app", "vector", "1.10"})
	save(carts, now, [3]string{"app", "hstore", "1.8"}, [3]string{"second", "hstore", "1.10"})
	save(bills, now, [3]string{"app", "hstore", "1.8"}, [3]string{"app", "secret", "1.0"})
	save(gone, now, [3]string{"app", "hstore", "1.0"})
	f.succeed(f.accepted(daap.FreezeDatabase, gone.ID))
	f.must(f.SaveScan(t.Context(), carts.ID, daap.Scan{AttemptedAt: now.Add(time.Second), Reason: "ConnectFailed"}, nil))

	page := daap.ExtensionPage{Limit: 10}
	for name, tt := range map[string]struct {
		scope  daap.Scope
		filter daap.ExtensionFilter
		want   []string
	}{
		"the fleet": {daap.EveryTeam, daap.ExtensionFilter{Page: page}, []string{"hstore 1.10: 1, 0 [1.10]", "hstore 1.8: 3, 3 [1.10]", "secret 1.0: 1, 1 [1.10]", "vector 1.10: 1, 0 [1.10]"}},
		"one team":  {daap.OfTeam("shop"), daap.ExtensionFilter{Page: page}, []string{"hstore 1.10: 1, 0 [1.10]", "hstore 1.8: 2, 2 [1.10]", "vector 1.10: 1, 0 [1.10]"}},
		"nobody":    {daap.Scope{}, daap.ExtensionFilter{Page: page}, nil},
		"one name":  {daap.EveryTeam, daap.ExtensionFilter{Name: "vector", Page: page}, []string{"vector 1.10: 1, 0 [1.10]"}},
		"some versions": {
			daap.EveryTeam,
			daap.ExtensionFilter{Name: "hstore", OlderThan: "1.9", Versions: []string{"1.8", "1.0"}, Page: page},
			[]string{"hstore 1.8: 3, 3 [1.10]"},
		},
		"no version": {daap.EveryTeam, daap.ExtensionFilter{Name: "hstore", OlderThan: "1.0", Page: page}, nil},
		"after one": {
			daap.EveryTeam,
			daap.ExtensionFilter{Page: daap.ExtensionPage{Limit: 2, AfterName: "hstore", AfterVersion: "1.10"}},
			[]string{"hstore 1.8: 3, 3 [1.10]", "secret 1.0: 1, 1 [1.10]"},
		},
	} {
		groups, err := f.ExtensionGroups(t.Context(), tt.scope, tt.filter)
		f.must(err)
		var got []string
		for _, g := range groups {
			got = append(got, fmt.Sprintf("%s %s: %d, %d %v", g.Name, g.Version, g.Databases, g.Outdated, g.AvailableVersions))
			if g.Name == "hstore" && g.Version == "1.8" && !g.LastCheckedAt.Equal(now.Add(-time.Hour)) {
				t.Errorf("%s: it was checked last at %s, want the oldest time of all", name, g.LastCheckedAt)
			}
		}
		wantSame(t, name, got, tt.want)
	}
	for scope, n := range map[daap.Scope]int{daap.EveryTeam: 3, daap.OfTeam("shop"): 3, daap.OfTeam("billing"): 0} {
		got, err := f.UnscannedDatabases(t.Context(), scope, now.Add(-30*time.Minute))
		f.must(err)
		want(t, fmt.Sprintf("databases without a fresh scan of %v", scope), got, n)
	}
	versions, err := f.ExtensionVersions(t.Context(), daap.OfTeam("shop"), "hstore")
	f.must(err)
	slices.Sort(versions)
	wantSame(t, "versions", versions, []string{"1.10", "1.8"})
}
