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

// keptFleet are databases in order of their IDs, and what is saved of them.
type keptFleet struct {
	all []daap.Observed

	mu    sync.Mutex
	saved map[uuid.UUID]daap.Observation
	looks int
	again []uuid.UUID // to be looked at again, once
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
		f.looks++
	}
	again := f.again
	f.again = nil
	f.heard <- struct{}{}
	return again, nil
}

func TestEveryDatabaseThatRunsIsLookedAtOnce(t *testing.T) {
	t.Parallel()
	kept := fleetOf(2*fleetPage + 1)
	k := stepsWith(t)
	k.Cluster.Watch.Reader = k.Cluster.Client
	report, err := checkFleet(t, &Fleet{Watch: k.Cluster.Watch, Databases: kept})
	if err != nil || report.Databases != len(kept.all) || report.Changed != len(kept.all) || report.Behind != "" {
		t.Errorf("CheckFleet() = %+v, %v; want all %d looked at", report, err, len(kept.all))
	}
	if len(kept.saved) != len(kept.all) || kept.looks != len(kept.all) {
		t.Errorf("%d databases were saved in %d looks, want %d in as many", len(kept.saved), kept.looks, len(kept.all))
	}
	if got := kept.saved[kept.all[0].ID].Now.Health(); got != daap.HealthUnavailable {
		t.Errorf("a database without a Cluster is %s, want unavailable", got)
	}
	kept.fails = errors.New("no rows today")
	if _, err := checkFleet(t, &Fleet{Watch: k.Cluster.Watch, Databases: kept}); err == nil {
		t.Error("CheckFleet() = nil where no rows can be read")
	}
}

// cutOff is a watch that is cut off from Kubernetes since then.
type cutOff struct {
	*cluster.Watch
	since time.Time
}

func (c cutOff) Until(time.Time) time.Time { return c.since }

// blind is a watch whose objects of one database cannot be read.
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

func TestDatabaseThatCannotBeObservedKeepsNoOtherFromIt(t *testing.T) {
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
		t.Errorf("%d databases are recorded, the one that cannot be observed: %t", len(kept.saved), saved)
	}
	seen, err := f.observeAll(t.Context(), []uuid.UUID{kept.all[0].ID, kept.all[1].ID})
	if err != nil || len(seen.failed) != 1 || seen.failed[kept.all[1].ID] == nil {
		t.Errorf("observeAll() = %+v, %v; want the one that cannot be observed", seen, err)
	}
}

// brokenRows read each page, and cannot save the first: the read of the next page ends with the context.
type brokenRows struct{ *keptFleet }

func (b brokenRows) RunningDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Observed, error) {
	if after != uuid.Nil {
		<-ctx.Done() // as a query whose context ends
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
		t.Errorf("CheckFleet() = %v, want why the first page could not be saved", err)
	}
}

func TestCheckThatSeesWhatWasSaysSo(t *testing.T) {
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
		t.Errorf("what was seen is of %s, want of when the watch was cut off, %s", got, hourAgo)
	}
	if got := (&Fleet{Watch: &cluster.Watch{}}).behind(time.Now(), FleetEvery+1); got == "" {
		t.Error("a check that takes longer than it may does not say so")
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

func TestWhatChangesIsLookedAtAsItHappens(t *testing.T) {
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
		for { // it may not follow yet
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
		t.Errorf("looked at: the one that did not change %v, the one that did %v", first, second)
	}
	changes(kept.all[0].ID)
	k.Cluster.Watch.WakeIn("kube-system")
	changes(kept.all[0].ID)
	kept.mu.Lock()
	defer kept.mu.Unlock()
	if _, again := kept.saved[kept.all[2].ID]; !again {
		t.Error("what another changed meanwhile is not looked at again")
	}
	cancel()
	<-ended
}

func TestWhatCouldNotBeLookedAtIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	kept := fleetOf(1)
	kept.fails = errors.New("nobody answers")
	k := stepsWith(t)
	k.Cluster.Watch.Reader = k.Cluster.Client
	failed := make(chan string, 10)
	go Follow(t.Context(), &Fleet{Watch: k.Cluster.Watch, Databases: kept}, func(err error) { failed <- err.Error() })
	for told := false; !told; { // it may not follow yet
		k.Cluster.Watch.WakeIn(daap.Namespace(kept.all[0].ID))
		select {
		case said := <-failed:
			told = strings.Contains(said, "nobody answers")
		case <-time.After(20 * time.Millisecond):
		}
	}
	kept.mu.Lock()
	kept.fails = nil
	kept.mu.Unlock()
	select {
	case <-kept.heard:
	case <-time.After(time.Minute):
		t.Error("it is not looked at again, and nothing changes any more")
	}
}
