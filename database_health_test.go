package daap_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

func TestOnlyRunningDatabasesHaveAHealth(t *testing.T) {
	t.Parallel()
	runs := []daap.DatabaseStatus{daap.DatabaseReady, daap.DatabaseUpdating}
	for _, status := range daap.DatabaseStatuses() {
		for _, kind := range daap.OperationKinds() {
			db := daap.Database{Status: status, OperationKind: kind}
			want := slices.Contains(runs, status) || status == daap.DatabaseError && slices.Contains(runs, kind.During())
			if seen, got := db.HealthAt(noon); got != want || got && seen != (daap.HealthObservation{Health: daap.HealthUnknown}) {
				t.Errorf("%s, held by %s, has the health %+v, %t; want unknown, %t", status, kind, seen, got, want)
			}
		}
	}
	if (daap.Database{Status: daap.DatabaseError}).Runs() {
		t.Error("a database in error runs that no operation holds")
	}
}

func TestStaleHealthIsUnknown(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		seen   daap.DatabaseHealth
		after  time.Duration
		want   daap.DatabaseHealth
		wantAt time.Time
	}{
		"within five minutes":  {daap.HealthHealthy, 5 * time.Minute, daap.HealthHealthy, noon.Add(-time.Hour)},
		"later":                {daap.HealthHealthy, 5*time.Minute + time.Second, daap.HealthUnknown, noon.Add(5 * time.Minute)},
		"unknown already":      {daap.HealthUnknown, time.Hour, daap.HealthUnknown, noon.Add(-time.Hour)},
		"unavailable, a while": {daap.HealthUnavailable, time.Hour, daap.HealthUnknown, noon.Add(5 * time.Minute)},
	} {
		db := daap.Database{Status: daap.DatabaseReady, LastHealth: &daap.HealthObservation{
			Health: tt.seen, Since: noon.Add(-time.Hour), ObservedAt: noon,
		}}
		got, _ := db.HealthAt(noon.Add(tt.after))
		if want := (daap.HealthObservation{Health: tt.want, Since: tt.wantAt, ObservedAt: noon}); got != want {
			t.Errorf("%s: the health is %+v, want %+v", name, got, want)
		}
	}
}

func TestConditionHasTheTimeOfItsData(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	scanned := ago(7 * time.Minute)
	o := daap.Observed{
		Database: daap.Database{Status: daap.DatabaseReady, Profile: daap.Profile{Backups: daap.Backups{BackupEnabled: true}}},
		Backups:  daap.BackupState{ObservedAt: ago(30 * time.Second), Archiving: true},
		Scan:     daap.Scan{AttemptedAt: ago(2 * time.Minute), ScannedAt: &scanned},
	}
	found := daap.Conditions{
		{Type: daap.ConditionExtensionsScanned, Status: daap.ConditionFalse},
		{Type: daap.ConditionStorageHeadroom, Status: daap.ConditionTrue},
		{Type: daap.ConditionConnectionHeadroom, Status: daap.ConditionTrue},
		{Type: daap.ConditionReady, Status: daap.ConditionTrue},
	}
	want := map[daap.ConditionType]time.Time{
		daap.ConditionReady: noon, daap.ConditionQuotaConsistent: noon,
		daap.ConditionContinuousArchiving: ago(30 * time.Second), daap.ConditionBackupFresh: ago(30 * time.Second),
		daap.ConditionExtensionsScanned: ago(2 * time.Minute),
		daap.ConditionStorageHeadroom:   scanned, daap.ConditionConnectionHeadroom: scanned,
	}
	seen := o.Observe(found, noon)
	o.Conditions = slices.Clone(seen.Now)
	for i := range o.Conditions {
		o.Conditions[i].ObservedAt = noon // as the row has it
	}
	told := o.Reported(noon.Add(time.Minute))
	for _, all := range []daap.Conditions{seen.Now, told} {
		for kind, at := range want {
			i := slices.IndexFunc(all, func(c daap.Condition) bool { return c.Type == kind })
			if i < 0 || !all[i].ObservedAt.Equal(at) || !all[i].Since.Equal(at) {
				t.Errorf("%s is %+v, want it observed at %s", kind, all, at)
			}
		}
	}
	var order []daap.ConditionType
	for _, c := range told {
		order = append(order, c.Type)
	}
	inOrder := slices.DeleteFunc(daap.ConditionTypes(), func(k daap.ConditionType) bool { return !slices.Contains(order, k) })
	if !slices.Equal(slices.Compact(order), inOrder) {
		t.Errorf("conditions are %v, want %v", order, inOrder)
	}

	o.Backups.ObservedAt, o.Scan = noon.Add(time.Minute), daap.Scan{} // observed since, and never
	for _, c := range o.Reported(noon.Add(time.Minute)) {
		if !c.ObservedAt.Equal(noon) {
			t.Errorf("%s was observed at %s, want %s, like the database", c.Type, c.ObservedAt, noon)
		}
	}
	for _, c := range o.Reported(noon.Add(6 * time.Minute)) {
		if c.Status != daap.ConditionUnknown {
			t.Errorf("six minutes after the look %s is %s, want it unknown", c.Type, c.Status)
		}
	}
}

func TestStoppedDatabaseHasNoConditions(t *testing.T) {
	t.Parallel()
	for status, want := range map[daap.DatabaseStatus]bool{daap.DatabaseReady: true, daap.DatabaseFrozen: false, daap.DatabaseArchived: false} {
		s, db, at := newStore(t), daap.Database{ID: uuid.New(), OwnerTeam: "shop", Status: status}, time.Now()
		s.PutDatabase(db)
		seen := daap.Observed{Database: db}.Observe(daap.Conditions{{Type: daap.ConditionReady, Status: daap.ConditionTrue}}, at)
		if _, err := s.SaveHealth(t.Context(), at, []daap.Observation{seen}); err != nil {
			t.Fatal(err)
		}
		got, err := s.databases().Describe(t.Context(), product, db.ID)
		if err != nil || (len(got.Conditions) > 0) != want {
			t.Errorf("%s has the conditions %v, %v; want some: %t", status, got.Conditions, err, want)
		}
	}
}
