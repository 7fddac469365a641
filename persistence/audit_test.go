package persistence_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/migrations"
	"github.com/daap-dev/daap/persistence"
	"github.com/daap-dev/daap/persistence/persistencetest"
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

// seal seals all there is.
func (f fixture) seal() {
	f.t.Helper()
	_, err := f.SealAudit(f.t.Context(), 1000)
	f.must(err)
}

func (f fixture) verify(heads ...daap.Seal) daap.AuditVerification {
	f.t.Helper()
	found, err := daap.VerifyAudit(f.t.Context(), f.Store, keptHeads(heads))
	f.must(err)
	return found
}

type keptHeads []daap.Seal

func (k keptHeads) Heads(context.Context) ([]daap.Seal, error) { return k, nil }

func TestChangeAndItsEntryAreThereOrNeitherIs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	db, _ := f.created("shop", "orders")
	text := "Orders"
	_, err := f.PatchDatabase(t.Context(), everyone, db.ID, daap.DatabasePatch{Description: &text})
	f.must(err)
	f.accepted(daap.DeleteDatabase, db.ID)

	taken, op := newDatabase(t, "shop", "orders")
	f.exec(`UPDATE databases SET status = 'ready'`) // so that its name is taken
	_, _, err = f.CreateDatabase(t.Context(), everyone, taken, op)
	wantCode(t, err, daap.CodeNameTaken)
	bell := "\a"
	_, err = f.PatchDatabase(t.Context(), everyone, db.ID, daap.DatabasePatch{Description: &bell})
	wantCode(t, err, daap.CodeValidationFailed)

	entries := f.logged(db.ID)
	want(t, "before of the patch", entries[1].Before, map[string]any{"description": ""})
	want(t, "after of the patch", entries[1].After, map[string]any{"description": "Orders"})
	want(t, "before of the delete", entries[len(entries)-1].Before, map[string]any{"status": "provisioning"})
	all, err := f.AuditEntries(t.Context(), daap.AuditFilter{Action: "updateDatabase", Page: daap.Page{Limit: 10}})
	f.must(err)
	if len(all) != 3 { // the fixture's grant is for this action
		t.Errorf("%d entries %v, want one for each change that happened", len(all), actions(all))
	}
	for _, e := range all {
		if e.Actor != "platform/alice" || e.KeyID != everyone.Caller.KeyID || e.RequestID != "request-1" || e.Status != 202 ||
			e.Address != "192.0.2.1" || e.Role != daap.RolePlatformTeam || e.Outcome != daap.OutcomeSucceeded {
			t.Errorf("entry %+v does not say who, from where and what came of it", e)
		}
	}
}

func TestReplayIsAuditedAsSuch(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for range 2 {
		db, op := newDatabase(t, "shop", "orders")
		_, _, err := f.CreateDatabase(t.Context(), once("a", 1), db, op)
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

func TestWhatAWorkflowChangesIsAuditedUnderTheOneWhoAsked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	by := grant("shop", daap.RoleProductTeam, daap.OfTeam("shop"))
	db, op := newDatabase(t, "shop", "orders")
	op.Origin = by.Origin()
	_, _, err := f.CreateDatabase(t.Context(), by, db, op)
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

func TestFilterChoosesEntries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
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

// odd are fields that JSON, PostgreSQL and Go may each write in their own way.
var odd = map[string]any{
	"int": 42, "big": int64(1) << 40, "float": 1.5, "null": nil, "text": "<&> ü\u2028 \"", "labels": map[string]string{"b": "2", "a": "1"},
	"list": []any{1, "x", nil}, "at": time.Unix(1, 5000),
}

func TestChainHoldsHoweverManySealAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var entries []daap.AuditEntry
	for range 300 {
		entries = append(entries, daap.AuditEntry{
			ID: newID(t), At: time.Now(), Action: "updateDatabase", Outcome: daap.OutcomeSucceeded, Before: odd, After: odd,
		})
	}
	f.must(f.AddAuditEntries(t.Context(), entries))
	for _, err := range atOnce(t.Context(), 4, func(ctx context.Context, _ int) error {
		for {
			if n, err := f.SealAudit(ctx, 7); err != nil || n == 0 {
				return err
			}
		}
	}) {
		f.must(err)
	}
	f.seal()
	if found := f.verify(); found.Break != nil || found.Last != 300 || found.Unsealed != 0 {
		t.Errorf("the chain is %+v (%+v), want 300 entries that hold", found, found.Break)
	}
	n, err := f.SealAudit(t.Context(), 10)
	if f.must(err); n != 0 {
		t.Errorf("%d entries are sealed twice", n)
	}
}

func TestTamperingShowsWhereItWasDone(t *testing.T) {
	t.Parallel()
	const nth = `(SELECT entry_id FROM audit_chain WHERE position = 5)`
	for name, tt := range map[string]struct {
		sql string
		at  int64
		why string
	}{
		"entry changed":       {`UPDATE audit_log SET actor = 'mallory' WHERE id = ` + nth, 5, "not the one that was sealed"},
		"field changed":       {`UPDATE audit_log SET after = '{"x": 2}' WHERE id = ` + nth, 5, "not the one that was sealed"},
		"entry removed":       {`DELETE FROM audit_log WHERE id = ` + nth, 5, "is gone"},
		"seal removed":        {`DELETE FROM audit_chain WHERE position = 5`, 6, "between 4 and this one"},
		"tail removed":        {`DELETE FROM audit_log WHERE id IN (SELECT entry_id FROM audit_chain WHERE position > 7)`, 8, "is gone"},
		"tail cut with seals": {`WITH cut AS (DELETE FROM audit_chain WHERE position > 7 RETURNING entry_id) DELETE FROM audit_log WHERE id IN (SELECT entry_id FROM cut)`, 10, "ends at 7"},
		"hidden from sealing": {`WITH e AS (INSERT INTO audit_log (id, at, action, outcome) VALUES (gen_random_uuid(), now() - interval '1 hour', 'x', 'failed') RETURNING id) SELECT 1`, 0, "1 entries are in no seal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			for range 10 {
				f.must(f.AddAuditEntries(t.Context(), []daap.AuditEntry{{
					ID: newID(t), At: time.Now(), Action: "getDatabase", Outcome: daap.OutcomeSucceeded, After: map[string]any{"x": 1},
				}}))
			}
			f.seal()
			head, err := f.AuditHead(t.Context())
			f.must(err)
			if found := f.verify(head); found.Break != nil {
				t.Fatalf("before: %+v", found.Break)
			}
			f.exec(`SET session_replication_role = replica; ` + tt.sql + `; RESET session_replication_role`)
			found := f.verify(head)
			if found.Break == nil || found.Break.Position != tt.at || !strings.Contains(found.Break.Why, tt.why) {
				t.Errorf("found %+v, want a break at %d that says %q", found.Break, tt.at, tt.why)
			}
		})
	}
}

func TestOldEntriesAreLetGoOfAndTheChainHolds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var entries []daap.AuditEntry
	for i := range 20 {
		at := time.Now()
		if i < 12 {
			at = at.Add(-400 * 24 * time.Hour)
		}
		entries = append(entries, daap.AuditEntry{ID: newID(t), At: at, Action: "getDatabase", Outcome: daap.OutcomeSucceeded})
	}
	f.must(f.AddAuditEntries(t.Context(), entries))
	f.seal()
	head, err := f.AuditHead(t.Context())
	f.must(err)
	for _, wantGone := range []int{12, 0} {
		gone, err := f.ForgetAudit(t.Context())
		if f.must(err); gone != wantGone {
			t.Errorf("%d entries went, want %d", gone, wantGone)
		}
	}
	early := daap.Seal{Position: 3, Hash: [sha256.Size]byte{1}} // of the part that went: nothing to compare with
	if found := f.verify(early, head); found.Break != nil || found.First != 12 || found.Last != 20 || found.Heads != 1 {
		t.Errorf("found %+v (%+v), want what is left to hold", found, found.Break)
	}
	left, err := f.AuditEntries(t.Context(), daap.AuditFilter{Page: daap.Page{Limit: 100}})
	if f.must(err); len(left) != 8 {
		t.Errorf("%d entries are left, want 8", len(left))
	}
}

// asService returns a Store on the same database under a role of its own with the service's rights.
func asService(t *testing.T, url string) (*persistence.Store, *pgx.Conn) {
	t.Helper()
	role := "daap_service_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:16]
	owner, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Close(t.Context()) })
	if _, err := owner.Exec(t.Context(), fmt.Sprintf(`CREATE ROLE %s LOGIN`, role)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // twice is once
		if err := migrations.Grant(t.Context(), url, role); err != nil {
			t.Fatal(err)
		}
	}
	if err := migrations.KeepAudit(t.Context(), url, 48*time.Hour); err != nil {
		t.Fatal(err)
	}
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	service := strings.Replace(url, cfg.User+"@", role+"@", 1)
	pool, err := persistence.Open(t.Context(), service)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), service)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pool.Close()
		_ = conn.Close(context.Background())
		_, _ = owner.Exec(context.Background(), `DROP OWNED BY `+role+`; DROP ROLE `+role)
	})
	return persistence.New(pool), conn
}

func TestServicesRoleDoesItsWorkAndMayNotTouchTheAuditLog(t *testing.T) {
	t.Parallel()
	url := persistencetest.URL(t)
	store, conn := asService(t, url)
	f := fixture{Store: store, t: t}
	db, op := f.created("shop", "orders")
	f.must(f.BeginOperation(t.Context(), op.ID, false))
	f.must(f.FinishOperation(t.Context(), op.ID))
	f.must(f.AddAuditEntries(t.Context(), []daap.AuditEntry{{
		ID: newID(t), At: time.Now().Add(-72 * time.Hour), Action: "getDatabase", Outcome: daap.OutcomeSucceeded,
	}}))
	f.seal()
	if found := f.verify(); found.Break != nil || found.Last != 4 {
		t.Errorf("found %+v (%+v), want four entries that hold", found, found.Break)
	}
	_, err := f.ForgetAudit(t.Context())
	f.must(err)
	f.must(f.ForgetAnswers(t.Context()))
	_ = db
	for _, sql := range []string{
		`UPDATE audit_log SET actor = 'x'`, `DELETE FROM audit_log`, `TRUNCATE audit_log`,
		`UPDATE audit_chain SET hash = hash`, `DELETE FROM audit_chain`, `TRUNCATE audit_chain`,
		`UPDATE audit_retention SET keep = interval '1 day'`, `DROP TABLE audit_log`, `ALTER TABLE audit_log DISABLE TRIGGER ALL`,
		`UPDATE goose_db_version SET version_id = 0`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s = %v, want it refused", sql, err)
		}
	}
	if protected, err := store.AuditIsProtected(t.Context()); err != nil || !protected {
		t.Errorf("AuditIsProtected() = %t, %v; want true", protected, err)
	}
	if protected, err := newFixture(t).AuditIsProtected(t.Context()); err != nil || protected {
		t.Errorf("AuditIsProtected() of the owner = %t, %v; want false", protected, err)
	}
}

func TestNobodyUpdatesTheAuditLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.created("shop", "orders")
	f.seal()
	for _, sql := range []string{
		`UPDATE audit_log SET actor = 'x'`, `TRUNCATE audit_log CASCADE`, `UPDATE audit_chain SET hash = hash`, `TRUNCATE audit_chain`,
	} {
		if _, err := f.pool.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "only ever added") {
			t.Errorf("%s by the owner = %v, want it refused", sql, err)
		}
	}
}
