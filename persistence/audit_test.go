package persistence_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// logged returns what the audit log has of the resource, oldest first.
func (f fixture) logged(resource uuid.UUID) []daap.AuditEntry {
	f.t.Helper()
	entries, err := f.AuditEntries(f.t.Context(), daap.AuditFilter{Resource: &resource, Page: daap.Page{Limit: 100}})
	f.must(err)
	slices.Reverse(entries)
	return entries
}

func actions(entries []daap.AuditEntry) []string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Action)
	}
	return all
}

func (s suite) ChangeAndItsEntryAreThereOrNeitherIs(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.created("shop", "orders")
	text := "Orders"
	_, err := f.patch(t.Context(), everyone, db.ID, daap.DatabasePatch{Description: &text})
	f.must(err)
	f.accepted(daap.DeleteDatabase, db.ID)

	f.created("shop", "carts")
	taken, op := newDatabase(t, "shop", "carts")
	_, _, err = f.CreateDatabase(t.Context(), everyone, taken, nil, op)
	wantCode(t, err, daap.CodeNameTaken)
	bell := "\a"
	_, err = f.patch(t.Context(), everyone, db.ID, daap.DatabasePatch{Description: &bell})
	wantCode(t, err, daap.CodeValidationFailed)

	entries := f.logged(db.ID)
	want(t, "before of the patch", entries[1].Before, map[string]any{"description": ""})
	want(t, "after of the patch", entries[1].After, map[string]any{"description": "Orders"})
	want(t, "before of the delete", entries[len(entries)-1].Before, map[string]any{"status": "provisioning"})
	all, err := f.AuditEntries(t.Context(), daap.AuditFilter{Action: "updateDatabase", Page: daap.Page{Limit: 10}})
	f.must(err)
	if len(all) != 4 { // the fixture's grant is for this action
		t.Errorf("%d entries %v, want one for each change that happened", len(all), actions(all))
	}
	for _, e := range all {
		if e.Actor != "platform/alice" || e.KeyID != everyone.Caller.KeyID || e.RequestID != "request-1" || e.Status != 202 ||
			e.Address != "192.0.2.1" || e.Role != daap.RolePlatformTeam || e.Outcome != daap.OutcomeSucceeded {
			t.Errorf("entry %+v does not have its actor, address and outcome", e)
		}
	}
}

func TestAChangeThatFailsAfterItsEntryLeavesNeither(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]string{
		"the answer is not kept": "UPDATE ON idempotency_keys", "the entry is not added": "INSERT ON audit_log",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.exec(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'fails'; END $$`)
			f.exec(`CREATE TRIGGER fails BEFORE ` + table + ` FOR EACH ROW EXECUTE FUNCTION fail()`)
			db, op := newDatabase(t, "shop", "orders")
			if _, _, err := f.CreateDatabase(t.Context(), once("a", 1), db, nil, op); err == nil {
				t.Error("CreateDatabase() = nil, want an error")
			}
			_, err := f.Database(t.Context(), daap.EveryTeam, db.ID)
			wantCode(t, err, daap.CodeNotFound)
			want(t, "entries", len(f.logged(db.ID)), 0)
		})
	}
}

func (s suite) ReplayIsAuditedAsSuch(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	for range 2 {
		db, op := newDatabase(t, "shop", "orders")
		_, _, err := f.CreateDatabase(t.Context(), once("a", 1), db, nil, op)
		f.must(err)
	}
	f.must(f.Remember(t.Context(), once("b", 1), daap.Operation{}))
	_, found, err := f.Remembered(t.Context(), once("b", 1))
	if f.must(err); !found {
		t.Error("the answer is not found again")
	}
	all, err := f.AuditEntries(t.Context(), daap.AuditFilter{Outcome: daap.OutcomeReplayed, Page: daap.Page{Limit: 10}})
	f.must(err)
	if len(all) != 2 {
		t.Errorf("%d replays are logged, want two", len(all))
	}
}

func (s suite) WhatAWorkflowChangesIsAuditedUnderTheOneWhoAsked(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	by := grant("shop", daap.RoleProductTeam, daap.OfTeam("shop"))
	db, op := newDatabase(t, "shop", "orders")
	op.Origin = by.Origin()
	_, _, err := f.CreateDatabase(t.Context(), by, db, nil, op)
	f.must(err)
	f.must(f.BeginOperation(t.Context(), op.ID, false))
	done := daap.Step{Name: daap.StepNamespace, State: daap.StepDone, Attempts: 1}
	f.must(f.RecordStep(t.Context(), op.ID, done))
	f.must(f.RecordStep(t.Context(), op.ID, done)) // twice is once
	f.must(f.ParkOperation(t.Context(), op.ID, daap.StepCluster, failed))
	decision := retry
	decision.Origin = grant("platform", daap.RolePlatformTeam, daap.EveryTeam).Origin()
	f.must(f.ResumeOperation(t.Context(), op.ID, decision))
	f.must(f.FinishOperation(t.Context(), op.ID))

	entries := f.logged(db.ID)
	want(t, "actions", actions(entries), []string{
		"updateDatabase", "provision_database.started", "provision_database.namespace", "provision_database.parked",
		"provision_database.succeeded",
	})
	for _, e := range entries {
		if e.Actor != "shop/alice" || e.KeyID != by.Caller.KeyID {
			t.Errorf("%s is of %q, want of the one who asked for the operation", e.Action, e.Actor)
		}
	}
	decided := f.logged(op.ID)
	if len(decided) != 1 || decided[0].Action != "retryOperation" || decided[0].Actor != "platform/alice" || decided[0].Status != 202 {
		t.Errorf("the decision is logged as %+v, want retryOperation of platform/alice", decided)
	}
}

func (s suite) FilterChoosesEntries(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	now := time.Now()
	make := func(i int, change func(*daap.AuditEntry)) daap.AuditEntry {
		e := daap.AuditEntry{ID: newID(t), At: now.Add(time.Duration(i) * time.Second), Action: "getDatabase", Outcome: daap.OutcomeSucceeded}
		change(&e)
		return e
	}
	key, thing := uuid.New(), uuid.New()
	entries := []daap.AuditEntry{
		make(0, func(e *daap.AuditEntry) { e.Team = "shop" }),
		make(0, func(e *daap.AuditEntry) { e.KeyID = key }),
		make(0, func(e *daap.AuditEntry) { e.Action = "listDatabases" }),
		make(0, func(e *daap.AuditEntry) { e.Resource = daap.Resource{Kind: daap.ResourceDatabase, ID: thing} }),
		make(0, func(e *daap.AuditEntry) { e.Outcome = daap.OutcomeRefused }),
	}
	f.must(f.AddAuditEntries(t.Context(), entries))
	f.must(f.AddAuditEntries(t.Context(), entries)) // twice is once
	page, err := f.AuditEntries(t.Context(), daap.AuditFilter{Page: daap.Page{Limit: 2, After: entries[4].ID}})
	f.must(err)
	want(t, "second page", []uuid.UUID{page[0].ID, page[1].ID}, []uuid.UUID{entries[3].ID, entries[2].ID})
	for i, filter := range []daap.AuditFilter{
		{Team: "shop"}, {KeyID: &key}, {Action: "listDatabases"}, {Resource: &thing}, {Outcome: daap.OutcomeRefused},
	} {
		filter.Page.Limit = 10
		got, err := f.AuditEntries(t.Context(), filter)
		if f.must(err); len(got) != 1 || got[0].ID != entries[i].ID {
			t.Errorf("by %+v = %v, want entry %d alone", filter, got, i)
		}
	}
	for name, tt := range map[string]struct {
		from, until time.Time
		want        int
	}{
		"all":          {now, now.Add(time.Minute), 5},
		"from its end": {now.Add(time.Millisecond), time.Time{}, 0},
		"until it":     {time.Time{}, now, 0},
		"open":         {time.Time{}, time.Time{}, 5},
	} {
		got, err := f.AuditEntries(t.Context(), daap.AuditFilter{From: tt.from, Until: tt.until, Page: daap.Page{Limit: 10}})
		if f.must(err); len(got) != tt.want {
			t.Errorf("%s: %d entries, want %d", name, len(got), tt.want)
		}
	}
}
