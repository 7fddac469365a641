package api_test

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// ready makes a database of the team that is ready.
func (s *service) ready(team, name string) uuid.UUID {
	s.t.Helper()
	db, op := s.create(team, name)
	s.store.succeed(op)
	return db.ID
}

func condition(kind daap.ConditionType, status daap.ConditionStatus) daap.Condition {
	return daap.Condition{Type: kind, Status: status, Reason: "Told", Message: "Of the Cluster pg-1."}
}

// show asks for the database, alone and in the list that has nothing else.
func (s *service) show(id uuid.UUID) (alone, listed oas.Database) {
	s.t.Helper()
	one, err := s.client.GetDatabase(s.t.Context(), oas.GetDatabaseParams{ID: id})
	if err != nil {
		s.t.Fatal(err)
	}
	all, err := s.client.ListDatabases(s.t.Context(), oas.ListDatabasesParams{})
	if err != nil || len(all.Data) != 1 {
		s.t.Fatalf("got %+v, %v; want one database", all, err)
	}
	return one.Data, all.Data[0]
}

func TestDatabaseShowsItsHealthWhileItRuns(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := s.ready("shop", "orders")
	now := time.Now().Truncate(time.Second)
	up, reached := condition(daap.ConditionReady, daap.ConditionTrue), condition(daap.ConditionPrimaryReachable, daap.ConditionTrue)
	down := condition(daap.ConditionPrimaryReachable, daap.ConditionFalse)
	for _, row := range []struct {
		name  string
		at    time.Time
		found []daap.Condition
		want  oas.DatabaseHealth
	}{
		{"healthy", now, []daap.Condition{up, reached}, oas.DatabaseHealthHealthy},
		{"its primary is gone", now, []daap.Condition{up, down}, oas.DatabaseHealthUnavailable},
		{"its standbys are", now, []daap.Condition{up, reached, condition(daap.ConditionReplication, daap.ConditionFalse)}, oas.DatabaseHealthDegraded},
		{"no check", now.Add(-6 * time.Minute), []daap.Condition{up, reached}, oas.DatabaseHealthUnknown},
	} {
		s.store.look(id, row.at, row.found...)
		alone, listed := s.show(id)
		if alone.Health != listed.Health || alone.Health.Value.Status != row.want || !alone.Health.Value.ObservedAt.Value.Equal(row.at) {
			t.Errorf("%s: got %+v alone and %+v in the list, want %s", row.name, alone.Health, listed.Health, row.want)
		}
		first := slices.IndexFunc(alone.Conditions, func(c oas.Condition) bool { return c.Type == oas.ConditionTypeReady })
		if listed.Conditions != nil || first != 0 || alone.Conditions[0].ObservedAt.IsZero() || alone.Conditions[0].Reason == "" {
			t.Errorf("%s: got the conditions %+v alone and %+v in the list, want Ready first, and none", row.name, alone.Conditions, listed.Conditions)
		}
		if stale := alone.Conditions[0].Status == oas.ConditionStatusUnknown; stale != (row.want == oas.DatabaseHealthUnknown) {
			t.Errorf("%s: got %+v, want it unknown without a check", row.name, alone.Conditions[0])
		}
	}
	s.store.freeze(id)
	if alone, listed := s.show(id); !alone.Health.Null || !listed.Health.Null || alone.Conditions != nil {
		t.Errorf("frozen it has the health %+v, in the list %+v, and the conditions %+v; want none", alone.Health, listed.Health, alone.Conditions)
	}
}

func TestUncheckedDatabaseIsUnknown(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, op := s.create("shop", "orders")
	if alone, _ := s.show(db.ID); !alone.Health.Null || alone.Conditions != nil {
		t.Errorf("while it is made it has the health %+v and the conditions %+v, want none", alone.Health, alone.Conditions)
	}
	s.store.succeed(op)
	alone, listed := s.show(db.ID)
	health := alone.Health.Value
	if health.Status != oas.DatabaseHealthUnknown || !health.ObservedAt.Null || !health.Since.Null || listed.Health != alone.Health ||
		alone.Conditions == nil || len(alone.Conditions) > 0 {
		t.Errorf("got the health %+v and the conditions %v, want unknown and an empty list", alone.Health, alone.Conditions)
	}
}

func TestProductTeamSeesTheSameConditions(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := s.ready("shop", "orders")
	s.store.look(id, time.Now(), condition(daap.ConditionReady, daap.ConditionFalse))
	path := "/databases/" + id.String()
	var platform, product oas.DatabaseResponse
	for key, res := range map[string]*oas.DatabaseResponse{platformKey: &platform, shopKey: &product} {
		if err := res.UnmarshalJSON(s.do(http.MethodGet, path, "", "X-API-Key", key).body); err != nil {
			t.Fatal(err)
		}
	}
	if len(product.Data.Conditions) == 0 || !reflect.DeepEqual(product.Data.Conditions, platform.Data.Conditions) {
		t.Errorf("a product team sees %+v, the platform team %+v", product.Data.Conditions, platform.Data.Conditions)
	}
}

func TestListFiltersByHealth(t *testing.T) {
	t.Parallel()
	s := start(t)
	up, reached := condition(daap.ConditionReady, daap.ConditionTrue), condition(daap.ConditionPrimaryReachable, daap.ConditionTrue)
	s.store.look(s.ready("shop", "well"), time.Now(), up, reached)
	s.store.look(s.ready("shop", "stale"), time.Now().Add(-time.Hour), up, reached)
	s.store.look(s.ready("shop", "down"), time.Now(), condition(daap.ConditionPrimaryReachable, daap.ConditionFalse))
	frozen := s.ready("shop", "frozen")
	s.store.look(frozen, time.Now(), up, reached)
	s.store.freeze(frozen)
	s.ready("billing", "new")
	s.create("shop", "provisioning")
	for health, want := range map[oas.DatabaseHealth][]string{
		"healthy": {"well"}, "unavailable": {"down"}, "unknown": {"new", "stale"}, "degraded": nil,
	} {
		if got, _ := s.list(oas.ListDatabasesParams{Health: oas.NewOptDatabaseHealth(health)}); !slices.Equal(got, want) {
			t.Errorf("%s are %v, want %v", health, got, want)
		}
	}
	got := s.do(http.MethodGet, "/databases?health=ill", "")
	if got.Error.Code != oas.ErrorCodeValidationFailed || got.Error.Details[0].Message != "must be one of healthy, degraded, unavailable, unknown" {
		t.Errorf("a health that there is not: got %s", got.body)
	}
}

func TestFleetHasEveryStatusAndHealth(t *testing.T) {
	t.Parallel()
	s := start(t)
	res, err := s.client.GetFleet(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	empty := res.Data
	if len(empty.Databases.ByStatus) != len(daap.DatabaseStatuses())-1 || len(empty.Databases.ByHealth) != len(daap.DatabaseHealths()) ||
		len(empty.Databases.ByTier)+len(empty.Operations.Open)+len(empty.Operations.Parked) > 0 || empty.Sweep.Behind || !empty.Sweep.LastAt.Null {
		t.Errorf("of no databases the fleet is %+v", empty)
	}

	s.do(http.MethodPost, "/tiers", large)
	up, reached := condition(daap.ConditionReady, daap.ConditionTrue), condition(daap.ConditionPrimaryReachable, daap.ConditionTrue)
	behind := condition(daap.ConditionReplication, daap.ConditionFalse)
	late, updating, stuck := s.ready("shop", "late"), s.ready("shop", "updating"), s.ready("shop", "stuck")
	s.store.look(late, time.Now().Add(-3*time.Minute), up, reached, behind)
	s.store.look(updating, time.Now(), up, reached, behind)
	db := s.store.database(late)
	db.UpdatedAt = time.Now().Add(-time.Hour)
	s.store.PutDatabase(db)
	var updates []uuid.UUID
	for _, id := range []uuid.UUID{updating, stuck} {
		s.do(http.MethodPatch, "/databases/"+id.String(), `{"tier":"large"}`)
		updates = append(updates, *s.store.database(id).OperationID)
		s.store.begin(updates[len(updates)-1], daap.StepCheck)
	}
	s.store.park(updates[1], daap.NewCause(daap.CauseQuota, "Too many pods."))
	if res, err = s.client.GetFleet(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := res.Data
	statuses := map[oas.DatabaseStatus]int{}
	for _, of := range got.Databases.ByStatus {
		if of.Databases > 0 {
			statuses[of.Status] = of.Databases
		}
	}
	degraded, healthy := got.Databases.ByHealth[1], got.Databases.ByHealth[0]
	open, parked := got.Operations.Open[0], got.Operations.Parked[0]
	if got.Databases.Total != 3 || !maps.Equal(statuses, map[oas.DatabaseStatus]int{"ready": 1, "updating": 1, "error": 1}) ||
		got.Databases.ByTier[0].Tier != "small" || got.Databases.ByTeam[0].Team != "shop" || got.Databases.ByPgVersion[0].PgVersion != "17" {
		t.Errorf("the databases are %+v", got.Databases)
	}
	if degraded.Health != "degraded" || degraded.Oldest.Value.DatabaseID != late || degraded.Databases != 2 || !healthy.Oldest.Null {
		t.Errorf("degraded are %+v, healthy %+v", degraded, healthy)
	}
	if open.Operations != 2 || open.NeedsAttention != 1 || open.Oldest.OperationID != updates[0] || parked.Cause != "QUOTA" || parked.Oldest.OperationID != updates[1] {
		t.Errorf("open are %+v, parked %+v", open, parked)
	}
	if !got.Sweep.Behind || got.Sweep.Late != 1 || got.Sweep.Databases != 3 || got.Sweep.LastAt.Null {
		t.Errorf("the sweep is %+v", got.Sweep)
	}
}

func TestOnlyThePlatformTeamSeesTheFleet(t *testing.T) {
	t.Parallel()
	got := start(t).do(http.MethodGet, "/fleet", "", "X-API-Key", shopKey)
	if got.status != http.StatusForbidden || got.Error.Code != oas.ErrorCodeForbidden {
		t.Errorf("got %d %s", got.status, got.body)
	}
}
