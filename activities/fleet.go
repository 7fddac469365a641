package activities

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"github.com/daap-dev/daap"
)

// fleet are the databases that run, and what is seen of them.
type fleet interface {
	// RunningDatabases returns at most limit of them, in order of ID from after on.
	RunningDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Observed, error)
	// RunningAmong returns those of the databases that run.
	RunningAmong(ctx context.Context, ids []uuid.UUID) ([]daap.Observed, error)
	// SaveHealth records what was seen at the moment, and returns those to be looked at again.
	SaveHealth(ctx context.Context, at time.Time, seen []daap.Observation) (again []uuid.UUID, err error)
}

// Fleet looks at all databases at once. It asks Kubernetes nothing: it reads the shared watch.
type Fleet struct {
	Watch     *Watch
	Databases fleet
}

// How the fleet is looked at.
const (
	// fleetPage is how many databases are read and saved at once, pagesInFlight how many pages.
	fleetPage, pagesInFlight = 500, 8
	// FleetEvery is how often; a check that takes longer falls behind.
	FleetEvery = time.Minute
	// gathering is for how long changes are gathered before they are looked at, lookLimit bounds that look. After
	// lookAgain those are looked at for whom that failed.
	gathering, lookLimit, lookAgain = 250 * time.Millisecond, 30 * time.Second, time.Second
)

// FleetReport is what a check of the fleet came to.
type FleetReport struct {
	// Databases is how many were looked at, Changed of how many something is another way than it was seen last.
	Databases, Changed int
	Took               time.Duration
	// Behind says why the check does not keep up, or what it saw is of before; empty where neither is so.
	Behind string `json:",omitempty"`
}

// CheckFleet looks at every database that runs and records its conditions. It heartbeats.
func (f *Fleet) CheckFleet(ctx context.Context) (FleetReport, error) {
	var report FleetReport
	var mu sync.Mutex
	begin, after := time.Now(), uuid.Nil
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(pagesInFlight)
	for more := true; more; {
		page, err := f.Databases.RunningDatabases(ctx, after, fleetPage)
		if err != nil {
			_ = group.Wait() // its error comes of the same
			return report, fmt.Errorf("read the databases to check: %w", err)
		}
		group.Go(func() error {
			changed, _, err := f.look(ctx, page)
			mu.Lock()
			defer mu.Unlock()
			report.Databases, report.Changed = report.Databases+len(page), report.Changed+changed
			activity.RecordHeartbeat(ctx, report.Databases)
			return err
		})
		if more = len(page) == fleetPage; more {
			after = page[len(page)-1].ID
		}
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

// look looks at the databases at one moment. It says how many changed, and which are to be looked at again.
func (f *Fleet) look(ctx context.Context, page []daap.Observed) (changed int, again []uuid.UUID, err error) {
	at := f.Watch.Until(time.Now())
	all := make([]daap.Observation, 0, len(page))
	for _, db := range page {
		found, err := observe(ctx, f.Watch, db.Database)
		if err != nil {
			return 0, nil, err
		}
		seen := db.Observe(found, at)
		if seen.Changed() {
			changed++
		}
		all = append(all, seen)
	}
	again, err = f.Databases.SaveHealth(ctx, at, all)
	return changed, again, err
}

// Follow has the fleet look at databases as soon as something of them changes, until ctx is done. What fails is told to
// report, and looked at again. It is no method, as those are all activities.
func Follow(ctx context.Context, f *Fleet, report func(error)) {
	news := f.Watch.follow()
	var again []uuid.UUID
	for {
		var rest <-chan time.Time
		if len(again) > 0 {
			rest = time.After(lookAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
		case <-rest:
		}
		select { // what belongs together comes together
		case <-ctx.Done():
			return
		case <-time.After(gathering):
		}
		changed := append(again, databasesIn(f.Watch.takeChanged())...)
		slices.SortFunc(changed, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
		changed = slices.Compact(changed)
		var err error
		if again, err = f.lookAt(ctx, changed); err != nil && ctx.Err() == nil {
			again = changed
			report(err)
		}
	}
}

// lookAt looks at those of the databases that run, and returns those to be looked at again.
func (f *Fleet) lookAt(ctx context.Context, ids []uuid.UUID) (again []uuid.UUID, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	for chunk := range slices.Chunk(ids, fleetPage) {
		running, err := f.Databases.RunningAmong(ctx, chunk)
		if err != nil {
			return nil, fmt.Errorf("read the changed databases: %w", err)
		}
		_, more, err := f.look(ctx, running)
		if err != nil {
			return nil, err
		}
		again = append(again, more...)
	}
	return again, nil
}

// databasesIn are the databases whose namespaces are named.
func databasesIn(namespaces []string) []uuid.UUID {
	all := make([]uuid.UUID, 0, len(namespaces))
	for _, name := range namespaces {
		if id, is := daap.DatabaseIn(name); is {
			all = append(all, id)
		}
	}
	return all
}
