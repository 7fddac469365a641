package daap_test

import (
	"testing"
	"time"

	"github.com/daap-dev/daap"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// seen are conditions observed at noon, by type.
func seen(all map[daap.ConditionType]daap.ConditionStatus) daap.Conditions {
	var conditions daap.Conditions
	for kind, status := range all {
		conditions = append(conditions, daap.Condition{Type: kind, Status: status, ObservedAt: noon, Since: noon.Add(-time.Hour)})
	}
	return conditions
}

func TestHealthIsTheWorstCondition(t *testing.T) {
	t.Parallel()
	const yes, no, maybe = daap.ConditionTrue, daap.ConditionFalse, daap.ConditionUnknown
	for name, tt := range map[string]struct {
		conditions map[daap.ConditionType]daap.ConditionStatus
		want       daap.DatabaseHealth
	}{
		"a standby is not ready":         {map[daap.ConditionType]daap.ConditionStatus{"Ready": no, "PrimaryReachable": yes}, daap.HealthDegraded},
		"nothing is known":               {nil, daap.HealthUnknown},
		"all checks pass":                {map[daap.ConditionType]daap.ConditionStatus{"Ready": yes, "PrimaryReachable": yes}, daap.HealthHealthy},
		"the primary was not asked":      {map[daap.ConditionType]daap.ConditionStatus{"Ready": yes}, daap.HealthUnknown},
		"the primary is unknown":         {map[daap.ConditionType]daap.ConditionStatus{"Ready": yes, "PrimaryReachable": maybe}, daap.HealthUnknown},
		"the primary does not answer":    {map[daap.ConditionType]daap.ConditionStatus{"Ready": yes, "PrimaryReachable": no}, daap.HealthUnavailable},
		"no backup comes":                {map[daap.ConditionType]daap.ConditionStatus{"Ready": yes, "PrimaryReachable": yes, "BackupFresh": no}, daap.HealthDegraded},
		"it drifted":                     {map[daap.ConditionType]daap.ConditionStatus{"Ready": yes, "PrimaryReachable": yes, "Drift": yes}, daap.HealthDegraded},
		"it did not drift":               {map[daap.ConditionType]daap.ConditionStatus{"Ready": yes, "PrimaryReachable": yes, "Drift": no, "CertificateExpiry": no}, daap.HealthHealthy},
		"drift alone":                    {map[daap.ConditionType]daap.ConditionStatus{"Drift": yes}, daap.HealthUnknown},
		"not ready, and no backup comes": {map[daap.ConditionType]daap.ConditionStatus{"Ready": no, "BackupFresh": no}, daap.HealthUnknown},
	} {
		if got := seen(tt.conditions).Health(); got != tt.want {
			t.Errorf("%s: the database is %s, want %s", name, got, tt.want)
		}
	}
}

func TestStaleConditionsAreUnknown(t *testing.T) {
	t.Parallel()
	well := seen(map[daap.ConditionType]daap.ConditionStatus{"Ready": daap.ConditionTrue, "PrimaryReachable": daap.ConditionTrue})
	if got := well.AsOf(noon.Add(5 * time.Minute)).Health(); got != daap.HealthHealthy {
		t.Errorf("after five minutes the database is %s, want healthy", got)
	}
	stale := well.AsOf(noon.Add(5*time.Minute + time.Second))
	if got := stale.Health(); got != daap.HealthUnknown {
		t.Errorf("a second later the database is %s, want unknown", got)
	}
	if got := stale[0]; got.Reason != "Stale" || !got.Since.Equal(noon.Add(5*time.Minute)) {
		t.Errorf("the condition is %+v, want stale since then", got)
	}
}

func TestConditionKeepsSinceWhileItsStatusStays(t *testing.T) {
	t.Parallel()
	was := seen(map[daap.ConditionType]daap.ConditionStatus{"Ready": daap.ConditionTrue, "Drift": daap.ConditionTrue})
	later := noon.Add(time.Minute)
	for status, since := range map[daap.ConditionStatus]time.Time{
		daap.ConditionTrue: noon.Add(-time.Hour), daap.ConditionFalse: later, daap.ConditionUnknown: later,
	} {
		is := was.MergeSince(daap.Conditions{{Type: "Ready", Status: status, ObservedAt: later}})
		if len(is) != 1 || !is[0].Since.Equal(since) || !is[0].ObservedAt.Equal(later) {
			t.Errorf("the conditions became %+v, want one that is %s since %s", is, status, since)
		}
	}
}
