package persistence_test

import (
	"testing"
	"time"

	"github.com/daap-dev/daap"
)

func (s suite) DatabaseIsDescribedWithTheTimeOfEachCheck(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.ready("shop", "orders")
	seen, err := f.DescribeDatabase(t.Context(), daap.EveryTeam, db.ID)
	f.must(err)
	want(t, "the database", seen.ID, db.ID)
	if len(seen.Conditions)+len(seen.Extensions) > 0 || seen.Revision != 0 || !seen.Backups.ObservedAt.IsZero() || !seen.Scan.AttemptedAt.IsZero() {
		t.Errorf("of a database without a check is known %+v, want nothing", seen)
	}

	now := time.Now().Truncate(time.Microsecond)
	f.look(db.ID, now, daap.HealthHealthy)
	f.look(db.ID, now.Add(time.Minute), daap.HealthHealthy)
	f.must(f.SaveBackups(t.Context(), db, daap.BackupState{ObservedAt: now.Add(-time.Minute)}, nil))
	scanned := now.Add(-3 * time.Minute)
	err = f.SaveScan(t.Context(), db.ID, daap.Scan{AttemptedAt: now.Add(-2 * time.Minute), ScannedAt: &scanned}, nil)
	f.must(err)
	seen, err = f.DescribeDatabase(t.Context(), daap.EveryTeam, db.ID)
	f.must(err)
	for _, c := range seen.Conditions {
		want(t, string(c.Type)+" was checked", c.ObservedAt, now.Add(time.Minute))
		want(t, string(c.Type)+" is so since", c.Since, now)
	}
	want(t, "conditions", len(seen.Conditions) > 0, true)
	want(t, "backups were checked", seen.Backups.ObservedAt, now.Add(-time.Minute))
	want(t, "the scan was tried", seen.Scan.AttemptedAt, now.Add(-2*time.Minute))
	want(t, "the scan was answered", value(seen.Scan.ScannedAt), now.Add(-3*time.Minute))
}

func (s suite) AnotherTeamsDatabaseIsNotDescribed(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.ready("shop", "orders")
	scan, extensions := told(time.Now(), [3]string{"app", "hstore", "1.8"})
	f.must(f.SaveScan(t.Context(), db.ID, scan, extensions))
	view, err := f.DescribeDatabase(t.Context(), daap.OfTeam("billing"), db.ID)
	if e := daap.AsError(err); e == nil || e.Code != daap.CodeNotFound || len(view.Extensions) > 0 {
		t.Errorf("DescribeDatabase() = %+v, %v; want nothing, and not found", view, err)
	}
}

func TestDatabaseIsDescribedOnOneConnection(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	db, _ := f.ready("shop", "orders")
	before := f.pool.Stat().AcquireCount()
	_, err := f.DescribeDatabase(t.Context(), daap.EveryTeam, db.ID)
	f.must(err)
	want(t, "connections taken from the pool", f.pool.Stat().AcquireCount()-before, int64(1))
}
