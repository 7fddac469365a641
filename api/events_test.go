package api_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// timeline returns the events of a database on the pages that follow one another.
func (s *service) timeline(db uuid.UUID, limit int) (events []oas.Event, pages int) {
	s.t.Helper()
	params := oas.ListDatabaseEventsParams{ID: db, Limit: oas.NewOptInt(limit)}
	for {
		res, err := s.client.ListDatabaseEvents(s.t.Context(), params)
		if err != nil {
			s.t.Fatal(err)
		}
		pages++
		events = append(events, res.Data...)
		next, more := res.Meta.NextCursor.Get()
		if !more {
			return events, pages
		}
		params.Cursor = oas.NewOptString(next)
	}
}

func TestTimelineIsNewestFirstOverAllPages(t *testing.T) {
	t.Parallel()
	s := start(t)
	op := s.parked("orders", daap.StepCluster)
	db := s.store.operation(op).DatabaseID
	s.parked("carts", daap.StepCluster) // another database has a timeline of its own
	s.decide(op, "retry", http.StatusAccepted)
	s.store.succeed(op)
	events, pages := s.timeline(db, 2)
	var kinds []oas.EventKind
	for _, e := range events {
		kinds = append(kinds, e.Kind)
		if e.OperationID.Value != op || e.Message == "" || e.CreatedAt.IsZero() {
			t.Errorf("got %+v", e)
		}
	}
	want := []oas.EventKind{
		oas.EventKindSucceeded, oas.EventKindDecided, oas.EventKindParked, oas.EventKindStarted, oas.EventKindAccepted,
	}
	if !slices.Equal(kinds, want) || pages != 3 {
		t.Errorf("got %v on %d pages, want %v on 3", kinds, pages, want)
	}
}

func TestEventHasItsStepCauseAndActor(t *testing.T) {
	t.Parallel()
	s := start(t)
	op := s.parked("orders", daap.StepCluster)
	s.decide(op, "retry", http.StatusAccepted)
	events, _ := s.timeline(s.store.operation(op).DatabaseID, 100)
	decision, parked, begun := events[0], events[1], events[2]
	if decision.Actor.Value != "platform/alice" || decision.Message != "retry: The quota is raised." || !decision.Cause.Null {
		t.Errorf("the decision is %+v", decision)
	}
	if parked.Cause.Value != oas.CauseCodeQUOTA || parked.Step.Value != "cluster" || !parked.Actor.Null {
		t.Errorf("the park is %+v", parked)
	}
	if !begun.Step.Null || !begun.Cause.Null || !begun.Actor.Null {
		t.Errorf("the start is %+v", begun)
	}
}

func TestTimelineOfAnUnknownDatabaseIsNotFound(t *testing.T) {
	t.Parallel()
	got := start(t).do(http.MethodGet, "/databases/"+uuid.NewString()+"/events", "")
	if got.status != http.StatusNotFound || got.Error.Message != "There is no such database." {
		t.Errorf("got %d %s", got.status, got.body)
	}
}
