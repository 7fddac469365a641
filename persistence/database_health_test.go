package persistence_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

func (s suite) HealthIsKeptAndOnlyChangesAreEvents(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.ready("shop", "orders")
	begin := time.Now().Truncate(time.Microsecond)
	running := func() daap.Observed {
		t.Helper()
		all, err := f.RunningDatabases(t.Context(), uuid.Nil, 10)
		f.must(err)
		want(t, "databases", len(all), 1)
		return all[0]
	}
	save := func(was daap.Observed, at time.Time, status daap.ConditionStatus, message string) int {
		t.Helper()
		found := daap.Conditions{
			{Type: daap.ConditionReady, Status: status, Reason: "Told", Message: message},
			{Type: daap.ConditionPrimaryReachable, Status: daap.ConditionTrue},
		}
		again, err := f.SaveHealth(t.Context(), at, []daap.Observation{was.Observe(found, at)})
		f.must(err)
		return len(again)
	}
	events := func() int {
		t.Helper()
		all, err := f.Events(t.Context(), daap.EveryTeam, daap.EventFilter{DatabaseID: db.ID, Page: daap.Page{Limit: 100}})
		f.must(err)
		return len(all)
	}
	before := events()
	for i, tt := range []struct {
		after   time.Duration
		status  daap.ConditionStatus
		message string
		since   time.Duration
		events  int
	}{
		{0, daap.ConditionTrue, "one", 0, 1},
		{time.Minute, daap.ConditionTrue, "one", 0, 1},
		{2 * time.Minute, daap.ConditionTrue, "two", 0, 1},
		{3 * time.Minute, daap.ConditionFalse, "three", 3 * time.Minute, 2},
	} {
		want(t, "to look at again", save(running(), begin.Add(tt.after), tt.status, tt.message), 0)
		got := running().Conditions[0]
		if !got.Since.Equal(begin.Add(tt.since)) || !got.ObservedAt.Equal(begin.Add(tt.after)) ||
			got.Message != tt.message || events()-before != tt.events {
			t.Errorf("look %d: %q since %s of %s, %d events, want %d",
				i, got.Message, got.Since.Sub(begin), tt.since, events()-before, tt.events)
		}
	}
	was := running()
	want(t, "to look at again by the first", save(was, begin.Add(4*time.Minute), daap.ConditionTrue, "four"), 0)
	want(t, "to look at again by the second", save(was, begin.Add(4*time.Minute), daap.ConditionTrue, "four"), 1)
	want(t, "events of one change that two saw", events()-before, 3)
}
