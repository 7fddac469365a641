package activities

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/testsuite"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
)

// keptFleet are databases ordered by ID, and their recorded observations.
type keptFleet struct {
	all []daap.Observed

	mu    sync.Mutex
	saved map[uuid.UUID]daap.Observation
	saves int
	again []uuid.UUID // to observe again, once
	fails error
	heard chan struct{}
}

func fleetOf(n int) *keptFleet {
	f := &keptFleet{saved: map[uuid.UUID]daap.Observation{}, heard: make(chan struct{}, 100)}
	for range n {
		f.all = append(f.all, daap.Observed{Database: daap.Database{ID: uuid.Must(uuid.NewV7()), Incarnation: 1}})
	}
	return f
}

func (f *keptFleet) RunningDatabases(_ context.Context, after uuid.UUID, limit int) ([]daap.Observed, error) {
	from := 0
	for from < len(f.all) && slices.Compare(f.all[from].ID[:], after[:]) <= 0 {
		from++
	}
	return f.all[from:min(from+limit, len(f.all))], f.fails
}

func (f *keptFleet) RunningAmong(_ context.Context, ids []uuid.UUID) ([]daap.Observed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.all), func(o daap.Observed) bool { return !slices.Contains(ids, o.ID) }), f.fails
}

func (f *keptFleet) SaveHealth(_ context.Context, _ time.Time, seen []daap.Observation) ([]uuid.UUID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range seen {
		f.saved[one.ID] = one
		f.saves++
	}
	again := f.again
	f.again = nil
	f.heard <- struct{}{}
	return again, nil
}

func TestEveryRunningDatabaseIsObservedOnce(t *testing.T) {
	t.Parallel()
	kept := fleetOf(2*fleetPage + 1)
	k := stepsWith(t)
	k.Cluster.Watch.Reader = k.Cluster.Client
	report, err := checkFleet(t, &Fleet{Watch: k.Cluster.Watch, Databases: kept})
	if err != nil || report.Databases != len(kept.all) || report.Changed != len(kept.all) || report.Behind != "" {
		t.Errorf("CheckFleet() = %+v, %v; want all %d observed", report, err, len(kept.all))
	}
	if len(kept.saved) != len(kept.all) || kept.saves != len(kept.all) {
		t.Errorf("%d databases were saved with %d observations, want %d with as many", len(kept.saved), kept.saves, len(kept.all))
	}
	if got := kept.saved[kept.all[0].ID].Now.Health(); got != daap.HealthUnavailable {
		t.Errorf("a database without a Cluster is %s, want unavailable", got)
	}
	kept.fails = errors.New("no rows today")
	if _, err := checkFleet(t, &Fleet{Watch: k.Cluster.Watch, Databases: kept}); err == nil {
		t.Error("CheckFleet() = nil, but no rows can be read")
	}
}

// cutOff is a watch that has been disconnected from Kubernetes since then.
type cutOff struct {
	*cluster.Watch
	since time.Time
}

func (c cutOff) Until(time.Time) time.Time { return c.since }

// blind is a watch that cannot read the objects of one database.
type blind struct {
	*cluster.Watch
	to uuid.UUID
}

func (b blind) Observe(ctx context.Context, db daap.Database) (daap.Conditions, error) {
	if db.ID == b.to {
		return nil, errors.New("its objects cannot be read")
	}
	return b.Watch.Observe(ctx, db)
}

func TestUnreadableDatabaseDoesNotBlockOthers(t *testing.T) {
	t.Parallel()
	kept := fleetOf(3)
	k := stepsWith(t)
	k.Cluster.Watch.Reader = k.Cluster.Client
	f := &Fleet{Watch: blind{k.Cluster.Watch, kept.all[1].ID}, Databases: kept}
	report, err := checkFleet(t, f)
	if err != nil || report.Databases != 2 || report.Failed != 1 {
		t.Errorf("CheckFleet() = %+v, %v; want two observed and one reported", report, err)
	}
	if _, saved := kept.saved[kept.all[1].ID]; saved || len(kept.saved) != 2 {
		t.Errorf("%d databases are recorded, including the unreadable one: %t", len(kept.saved), saved)
	}
	seen, err := f.observeAll(t.Context(), []uuid.UUID{kept.all[0].ID, kept.all[1].ID})
	if err != nil || len(seen.failed) != 1 || seen.failed[kept.all[1].ID] == nil {
		t.Errorf("observeAll() = %+v, %v; want the unreadable one", seen, err)
	}
}

// brokenRows read each page, and cannot save the first: that cancels the read of the next page.
type brokenRows struct{ *keptFleet }

func (b brokenRows) RunningDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Observed, error) {
	if after != uuid.Nil {
		<-ctx.Done() // like a query whose context ends
		return nil, ctx.Err()
	}
	return b.keptFleet.RunningDatabases(ctx, after, limit)
}

func (b brokenRows) SaveHealth(context.Context, time.Time, []daap.Observation) ([]uuid.UUID, error) {
	return nil, errors.New("the disk of PostgreSQL is full")
}

func TestCheckOfManyPagesFailsWithTheFirstError(t *testing.T) {
	t.Parallel()
	k := stepsWith(t)
	k.Cluster.Watch.Reader = k.Cluster.Client
	_, err := checkFleet(t, &Fleet{Watch: k.Cluster.Watch, Databases: brokenRows{fleetOf(fleetPage + 1)}})
	if err == nil || !strings.Contains(err.Error(), "the disk of PostgreSQL is full") {
		t.Errorf("CheckFleet() = %v, want the error of the first page", err)
	}
}

func TestStaleCheckReportsThatItIsBehind(t *testing.T) {
	t.Parallel()
	kept := fleetOf(1)
	k := stepsWith(t)
	k.Cluster.Watch.Reader = k.Cluster.Client
	hourAgo := time.Now().Add(-time.Hour)
	report, err := checkFleet(t, &Fleet{Watch: cutOff{k.Cluster.Watch, hourAgo}, Databases: kept})
	if err != nil || report.Behind == "" {
		t.Errorf("CheckFleet() = %+v, %v; want that it falls behind", report, err)
	}
	if got := kept.saved[kept.all[0].ID].Now[0].ObservedAt; !got.Equal(hourAgo) {
		t.Errorf("the observation is of %s, want the time of the disconnection, %s", got, hourAgo)
	}
	if got := (&Fleet{Watch: &cluster.Watch{}}).behind(time.Now(), FleetEvery+1); got == "" {
		t.Error("a check that takes too long does not report that")
	}
}

func checkFleet(t *testing.T, f *Fleet) (report FleetReport, err error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(f.CheckFleet)
	value, err := env.ExecuteActivity(f.CheckFleet)
	if err != nil {
		return report, err
	}
	return report, value.Get(&report)
}

func TestChangesAreObservedAtOnce(t *testing.T) {
	t.Parallel()
	kept := fleetOf(3)
	k := stepsWith(t)
	k.Cluster.Watch.Reader = k.Cluster.Client
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	failed := make(chan error, 10)
	go func() {
		defer close(ended)
		Follow(ctx, &Fleet{Watch: k.Cluster.Watch, Databases: kept}, func(err error) { failed <- err })
	}()
	changes := func(database uuid.UUID) {
		t.Helper()
		for { // it may not have subscribed yet
			k.Cluster.Watch.WakeIn(daap.Namespace(database))
			select {
			case <-kept.heard:
				return
			case err := <-failed:
				t.Fatal(err)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	changes(kept.all[1].ID)
	kept.mu.Lock()
	_, first := kept.saved[kept.all[0].ID]
	_, second := kept.saved[kept.all[1].ID]
	kept.again = []uuid.UUID{kept.all[2].ID}
	kept.mu.Unlock()
	if first || !second {
		t.Errorf("observed: the unchanged database %v, the changed one %v", first, second)
	}
	changes(kept.all[0].ID)
	k.Cluster.Watch.WakeIn("kube-system")
	changes(kept.all[0].ID)
	kept.mu.Lock()
	defer kept.mu.Unlock()
	if _, again := kept.saved[kept.all[2].ID]; !again {
		t.Error("a database that changed meanwhile is not observed again")
	}
	cancel()
	<-ended
}

func TestFailedObservationIsRetried(t *testing.T) {
	t.Parallel()
	kept := fleetOf(1)
	kept.fails = errors.New("no connection")
	k := stepsWith(t)
	k.Cluster.Watch.Reader = k.Cluster.Client
	failed := make(chan string, 10)
	go Follow(t.Context(), &Fleet{Watch: k.Cluster.Watch, Databases: kept}, func(err error) { failed <- err.Error() })
	for reported := false; !reported; { // it may not have subscribed yet
		k.Cluster.Watch.WakeIn(daap.Namespace(kept.all[0].ID))
		select {
		case text := <-failed:
			reported = strings.Contains(text, "no connection")
		case <-time.After(20 * time.Millisecond):
		}
	}
	kept.mu.Lock()
	kept.fails = nil
	kept.mu.Unlock()
	select {
	case <-kept.heard:
	case <-time.After(time.Minute):
		t.Error("it is not observed again without another change")
	}
}
