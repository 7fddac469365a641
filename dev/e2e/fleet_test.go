//go:build e2e

package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// How soon a change of a database's health must show: in the next check of the fleet, and in the watch of Kubernetes.
const (
	checkedWithin = 90 * time.Second
	showsWithin   = 10 * time.Second
)

// becomes waits until the database is of one of the healths, and fails the test where that takes longer than it may.
func becomes(ctx context.Context, t *testing.T, id uuid.UUID, within time.Duration, healths ...oas.DatabaseHealth) {
	t.Helper()
	becomesBy(ctx, t, id, within, nil, healths...)
}

// checked runs the check of the fleet until it finds the database healthy.
func checked(ctx context.Context, t *testing.T, id uuid.UUID) oas.Database {
	t.Helper()
	return becomesBy(ctx, t, id, checkedWithin, []string{checkFleet}, oas.DatabaseHealthHealthy)
}

func becomesBy(
	ctx context.Context, t *testing.T, id uuid.UUID, within time.Duration, schedules []string, healths ...oas.DatabaseHealth,
) oas.Database {
	t.Helper()
	began := time.Now()
	var db oas.Database
	untilRun(ctx, t, "the database is "+string(healths[0]), func() bool {
		db = of(ctx, t, id)
		return !db.Health.Null && slices.Contains(healths, db.Health.Value.Status)
	}, schedules...)
	took := time.Since(began)
	t.Logf("the database was %s after %s", db.Health.Value.Status, took.Round(100*time.Millisecond))
	if took > within {
		t.Errorf("that it is %s showed after %s, want it within %s", db.Health.Value.Status, took, within)
	}
	return db
}

// healthEvents are what the timeline tells of the database's health, newest first.
func healthEvents(ctx context.Context, t *testing.T, id uuid.UUID) []oas.Event {
	t.Helper()
	events, err := stack.API.ListDatabaseEvents(ctx, oas.ListDatabaseEventsParams{ID: id, Limit: oas.NewOptInt(100)})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(events.Data, func(e oas.Event) bool { return e.Kind != oas.EventKindHealthChanged })
}

func TestFleetCountsWhatRunsFrozenDatabasesStayQuietAndALostPrimaryShows(t *testing.T) {
	parallel(t, long)
	ctx := t.Context()
	const name = "e2e-fleet" // of the tier and of the team, which no other test has
	makeTier(ctx, t, oas.CreateTierRequest{
		Name: name, CPU: "100m", Memory: "512Mi", StorageSize: "1Gi", DestructionStrategy: oas.DestructionStrategyFreeze,
	})
	rests, operation := createOn(ctx, t, name, name, "rests")
	runs, other := createOn(ctx, t, name, name, "runs")
	succeed(ctx, t, operation)
	succeed(ctx, t, other)
	for _, id := range []uuid.UUID{rests.ID, runs.ID} {
		db := checked(ctx, t, id)
		if len(db.Conditions) == 0 || db.Conditions[0].Type != oas.ConditionTypeReady || db.Conditions[0].Status != oas.ConditionStatusTrue {
			t.Errorf("the conditions are %+v, want it ready", db.Conditions)
		}
	}
	until(ctx, t, "both are healthy", func() bool { return slices.Equal(healthyOf(ctx, t, name), []uuid.UUID{rests.ID, runs.ID}) })
	wantFleet(ctx, t, name, 2)

	destroy(ctx, t, rests.ID, oas.OperationKindFreezeDatabase)
	staysQuiet(ctx, t, rests.ID, runs.ID)
	until(ctx, t, "one is healthy", func() bool { return slices.Equal(healthyOf(ctx, t, name), []uuid.UUID{runs.ID}) })
	wantFleet(ctx, t, name, 2) // a database that is frozen is one all the same
	losesItsPrimary(ctx, t, runs.ID)
	removeAll(ctx, t, rests.ID, runs.ID)
	wantFleet(ctx, t, name, 0)
}

// quietFor is for how long a frozen database is watched. In the long form that is longer than between two checks of the
// fleet; else the check runs on request.
func quietFor() time.Duration {
	if isLong() {
		return 70 * time.Second
	}
	return 10 * time.Second
}

// staysQuiet fails the test where anything of the health of the database that rests is told a while later, when the
// fleet was checked once more.
func staysQuiet(ctx context.Context, t *testing.T, rests, runs uuid.UUID) {
	t.Helper()
	since := of(ctx, t, rests).UpdatedAt
	untilRun(ctx, t, "the other is checked", func() bool {
		return of(ctx, t, runs).Health.Value.ObservedAt.Value.After(since.Add(quietFor()))
	}, checkFleet)
	db := of(ctx, t, rests)
	if !db.Health.Null || db.Conditions != nil {
		t.Errorf("%s it has the health %+v and the conditions %+v, want none", db.Status, db.Health, db.Conditions)
	}
	for _, e := range healthEvents(ctx, t, rests) {
		if e.CreatedAt.After(since) {
			t.Errorf("%s its timeline tells %q", db.Status, e.Message)
		}
	}
}

// healthyOf are the team's databases that are healthy, the oldest first.
func healthyOf(ctx context.Context, t *testing.T, team oas.TeamName) []uuid.UUID {
	t.Helper()
	list, err := stack.API.ListDatabases(ctx, oas.ListDatabasesParams{
		Team: oas.NewOptTeamName(team), Health: oas.NewOptDatabaseHealth(oas.DatabaseHealthHealthy),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []uuid.UUID
	for _, db := range list.Data {
		got = append(got, db.ID)
	}
	slices.Reverse(got)
	return got
}

// wantFleet fails the test unless the fleet has so many databases of the tier and of the team of the name, and agrees
// with itself.
func wantFleet(ctx context.Context, t *testing.T, name string, want int) {
	t.Helper()
	res, err := stack.API.GetFleet(ctx)
	if err != nil {
		t.Fatal(err)
	}
	fleet := res.Data.Databases
	ofTier, ofTeam, versions, statuses, healths := 0, 0, 0, 0, 0
	for _, of := range fleet.ByTier {
		if of.Tier == name {
			ofTier = of.Databases
		}
	}
	for _, of := range fleet.ByTeam {
		if of.Team == name {
			ofTeam = of.Databases
		}
	}
	for _, of := range fleet.ByPgVersion {
		versions += of.Databases
	}
	for _, of := range fleet.ByStatus {
		statuses += of.Databases
	}
	for _, of := range fleet.ByHealth {
		healths += of.Databases
	}
	if ofTier != want || ofTeam != want || versions != fleet.Total || statuses != fleet.Total || healths != res.Data.Sweep.Databases {
		t.Errorf("the fleet is %+v, swept %+v, want %d databases of %s", fleet, res.Data.Sweep, want, name)
	}
}

// losesItsPrimary kills the only instance of a database that is healthy: that shows within seconds, and in the timeline.
func losesItsPrimary(ctx context.Context, t *testing.T, id uuid.UUID) {
	t.Helper()
	rescan(ctx, t, id, "its PostgreSQL was asked", func() bool { // which is news of its health, too
		return of(ctx, t, id).Extensions.Value.State == oas.ExtensionsStateFresh
	})
	before := healthEvents(ctx, t, id)

	primary := primaryOf(ctx, t, daap.Namespace(id))
	if err := stack.Kubernetes.Delete(ctx, &primary, client.GracePeriodSeconds(0)); err != nil {
		t.Fatalf("kill the primary: %v", err)
	}
	becomes(ctx, t, id, showsWithin, oas.DatabaseHealthUnavailable, oas.DatabaseHealthDegraded)
	becomes(ctx, t, id, patience, oas.DatabaseHealthHealthy)

	told := healthEvents(ctx, t, id)
	told = told[:len(told)-len(before)]
	if len(told) < 2 || !strings.HasPrefix(told[0].Message, "The database is healthy; it was ") ||
		!strings.Contains(told[len(told)-1].Message, "; it was healthy.") {
		t.Errorf("the timeline tells %+v, want that it was healthy, was not, and is again", told)
	}
}
