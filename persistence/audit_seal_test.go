package persistence_test

import (
	"context"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/daap-dev/daap"
)

// seal seals everything.
func (f postgres) seal() {
	f.t.Helper()
	_, err := f.SealAudit(f.t.Context(), 1000)
	f.must(err)
}

func (f postgres) verify(heads ...daap.Seal) daap.AuditVerification {
	f.t.Helper()
	found, err := daap.VerifyAudit(f.t.Context(), f.Store, keptHeads(heads))
	f.must(err)
	return found
}

type keptHeads []daap.Seal

func (k keptHeads) Heads(context.Context) ([]daap.Seal, error) { return k, nil }

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
		"entry changed":       {`UPDATE audit_log SET actor = 'mallory' WHERE id = ` + nth, 5, "changed after it was sealed"},
		"field changed":       {`UPDATE audit_log SET after = '{"x": 2}' WHERE id = ` + nth, 5, "changed after it was sealed"},
		"entry removed":       {`DELETE FROM audit_log WHERE id = ` + nth, 5, "is missing"},
		"seal removed":        {`DELETE FROM audit_chain WHERE position = 5`, 6, "between 4 and this one"},
		"tail removed":        {`DELETE FROM audit_log WHERE id IN (SELECT entry_id FROM audit_chain WHERE position > 7)`, 8, "is missing"},
		"tail cut with seals": {`WITH cut AS (DELETE FROM audit_chain WHERE position > 7 RETURNING entry_id) DELETE FROM audit_log WHERE id IN (SELECT entry_id FROM cut)`, 10, "ends at 7"},
		"hidden from sealing": {`WITH e AS (INSERT INTO audit_log (id, at, action, outcome) VALUES (gen_random_uuid(), now() - interval '1 hour', 'x', 'failed') RETURNING id) SELECT 1`, 0, "1 entries are not sealed"},
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

func TestAnEntryThatWasRemovedIsNotLetGoOf(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for range 5 {
		f.must(f.AddAuditEntries(t.Context(), []daap.AuditEntry{{
			ID: newID(t), At: time.Now().Add(-400 * 24 * time.Hour), Action: "getDatabase", Outcome: daap.OutcomeSucceeded,
		}}))
	}
	f.seal()
	f.exec(`DELETE FROM audit_log WHERE id = (SELECT entry_id FROM audit_chain WHERE position = 3)`)
	gone, err := f.ForgetAudit(t.Context())
	f.must(err)
	want(t, "entries that went", gone, 2)
	if found := f.verify(); found.Break == nil || found.Break.Position != 3 {
		t.Errorf("found %+v, want a break at 3 still", found)
	}
}
