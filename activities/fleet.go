package activities

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"github.com/daap-dev/daap"
)

// fleet are the running databases and their conditions.
type fleet interface {
	// RunningDatabases returns at most limit of them, ordered by ID, starting after the ID after.
	RunningDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Observed, error)
	// RunningAmong returns the running ones among the databases.
	RunningAmong(ctx context.Context, ids []uuid.UUID) ([]daap.Observed, error)
	// SaveHealth records the observations made at that time, and returns the databases to observe again.
	SaveHealth(ctx context.Context, at time.Time, seen []daap.Observation) (again []uuid.UUID, err error)
}

// watch is the part of the shared watch that a check of the fleet needs.
type watch interface {
	// Observe returns the database's conditions according to the watch.
	Observe(ctx context.Context, db daap.Database) (daap.Conditions, error)
	// Until returns the time up to which the watch knows all changes.
	Until(now time.Time) time.Time
	// Follow returns a channel that receives a value after changes in any namespace.
	Follow() <-chan struct{}
	// TakeChanged returns the namespaces that have changed since the last call.
	TakeChanged() []string
}

// Fleet checks all databases at once. It sends no requests to Kubernetes: it reads the shared watch.
type Fleet struct {
	Watch     watch
	Databases fleet
}

// How the fleet is checked.
const (
	// fleetPage is the number of databases that are read and saved at once, pagesInFlight the number of concurrent
	// pages.
	fleetPage, pagesInFlight = 500, 8
	// FleetEvery is the interval of the check; a check that takes longer falls behind.
	FleetEvery = time.Minute
	// gathering is the time for which changes are collected before they are observed, and observeLimit the limit of
	// that observation. Databases whose observation failed are observed again after observeAgain.
	gathering, observeLimit, observeAgain = 250 * time.Millisecond, 30 * time.Second, time.Second
)

// FleetReport is the result of a check of the fleet.
type FleetReport struct {
	// Databases is the number of observed databases, Changed the number of them whose conditions changed.
	Databases, Changed int
	// Failed is the number of databases that could not be observed; the log says why.
	Failed int `json:",omitempty"`
	Took   time.Duration
	// Behind says why the check falls behind, or that it observed an earlier state; empty if it is up to date.
	Behind string `json:",omitempty"`
}

// CheckFleet observes every running database and records its conditions. It heartbeats. A database that cannot be
// observed is logged and counted; the others are still observed.
func (f *Fleet) CheckFleet(ctx context.Context) (FleetReport, error) {
	var report FleetReport
	var mu sync.Mutex
	begin := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(pagesInFlight)
	for page, err := range pages(ctx, fleetPage, f.Databases.RunningDatabases, observedID) {
		if err != nil {
			// The first error of a page cancels the context and so the next read: return the page's error, not the
			// read's.
			return report, cmp.Or(group.Wait(), err)
		}
		group.Go(func() error {
			seen, err := f.observe(ctx, page)
			for id, err := range seen.failed {
				activity.GetLogger(ctx).Warn("A database cannot be observed.", "database_id", id.String(), "error", err)
			}
			mu.Lock()
			defer mu.Unlock()
			report.Databases, report.Changed = report.Databases+len(page)-len(seen.failed), report.Changed+seen.changed
			report.Failed += len(seen.failed)
			activity.RecordHeartbeat(ctx, report.Databases)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return report, err
	}
	report.Took = time.Since(begin).Round(time.Millisecond)
	report.Behind = f.behind(begin, report.Took)
	if report.Behind != "" {
		activity.GetLogger(ctx).Warn("The check of the fleet is behind schedule.", "reason", report.Behind)
	}
	return report, nil
}

func observedID(o daap.Observed) uuid.UUID { return o.ID }

func (f *Fleet) behind(now time.Time, took time.Duration) string {
	switch until := f.Watch.Until(now); {
	case now.Sub(until) > gathering:
		return fmt.Sprintf("The watch has been disconnected from Kubernetes since %s; observations are from that time.",
			until.UTC().Format(time.RFC3339))
	case took > FleetEvery:
		return fmt.Sprintf("It took %s but runs every %s; checks in between were skipped.", took, FleetEvery)
	}
	return ""
}

// observation is the result of observing some databases.
type observation struct {
	// changed is the number of databases whose conditions changed.
	changed int
	// again are the databases to observe again.
	again []uuid.UUID
	// failed are the databases that could not be observed, with their errors.
	failed map[uuid.UUID]error
}

// observe observes the databases at one point in time and records their conditions.
func (f *Fleet) observe(ctx context.Context, page []daap.Observed) (observation, error) {
	done := observation{failed: map[uuid.UUID]error{}}
	at := f.Watch.Until(time.Now())
	all := make([]daap.Observation, 0, len(page))
	for _, db := range page {
		found, err := f.Watch.Observe(ctx, db.Database)
		if err != nil {
			done.failed[db.ID] = err
			continue
		}
		seen := db.Observe(found, at)
		if seen.Changed() {
			done.changed++
		}
		all = append(all, seen)
	}
	var err error
	done.again, err = f.Databases.SaveHealth(ctx, at, all)
	return done, err
}

// Follow observes databases as soon as their objects change, until ctx is done. It passes failures to report and
// observes those databases again. It is not a method, because every method of Fleet is an activity.
func Follow(ctx context.Context, f *Fleet, report func(error)) {
	news := f.Watch.Follow()
	var again []uuid.UUID
	for {
		var rest <-chan time.Time
		if len(again) > 0 {
			rest = time.After(observeAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
		case <-rest:
		}
		select { // wait for the rest of a burst of changes
		case <-ctx.Done():
			return
		case <-time.After(gathering):
		}
		changed := append(again, databasesIn(f.Watch.TakeChanged())...)
		slices.SortFunc(changed, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
		changed = slices.Compact(changed)
		seen, err := f.observeAll(ctx, changed)
		if again = seen.again; err != nil {
			again = changed
		}
		for id, why := range seen.failed {
			again = append(again, id)
			err = errors.Join(err, fmt.Errorf("observe database %s: %w", id, why))
		}
		if err != nil && ctx.Err() == nil {
			report(err)
		}
	}
}

// observeAll observes the running ones among the databases.
func (f *Fleet) observeAll(ctx context.Context, ids []uuid.UUID) (observation, error) {
	ctx, cancel := context.WithTimeout(ctx, observeLimit)
	defer cancel()
	all := observation{failed: map[uuid.UUID]error{}}
	for chunk := range slices.Chunk(ids, fleetPage) {
		running, err := f.Databases.RunningAmong(ctx, chunk)
		if err != nil {
			return all, fmt.Errorf("read the changed databases: %w", err)
		}
		seen, err := f.observe(ctx, running)
		maps.Copy(all.failed, seen.failed)
		if err != nil {
			return all, err
		}
		all.changed, all.again = all.changed+seen.changed, append(all.again, seen.again...)
	}
	return all, nil
}

// databasesIn returns the databases that own the namespaces.
func databasesIn(namespaces []string) []uuid.UUID {
	all := make([]uuid.UUID, 0, len(namespaces))
	for _, name := range namespaces {
		if id, is := daap.DatabaseIn(name); is {
			all = append(all, id)
		}
	}
	return all
}
