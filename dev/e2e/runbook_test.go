//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/daap-dev/daap/api/oas"
)

// TestRunbookMovesAParkedOperation runs every command of the runbook, as it stands, against an operation that
// needs attention: in the API, with temporal and with tctl.
func TestRunbookMovesAParkedOperation(t *testing.T) {
	parallel(t, needsStore)
	ctx := t.Context()
	refuseClustersOf(ctx, t, "runbook")
	db, operation := createFor(ctx, t, "runbook", "runbook")
	op := parked(ctx, t, operation)
	runbook := pageOf(t, "docs/operators/runbook.md")
	run := func(name string) string {
		t.Helper()
		return runbook.run(ctx, t, name, "operation="+operation.String(), "cause=REJECTED")
	}
	workflow := "workflow=" + op.WorkflowID
	isListed := func() bool { // Temporal lists a moment after the rows have it
		return strings.Contains(shell(ctx, t, `temporal workflow count --namespace daap \
			--query "WorkflowId = '$workflow' AND DaapState = 'needs_attention'"`, workflow), "Total: 1")
	}
	until(ctx, t, "it is listed as parked", isListed)
	listed(t, run("list"), operation.String(), op.WorkflowID)
	listed(t, run("inspect"), "REJECTED", "parked", "Pending", "daap.decide", "Needs attention")

	for i, name := range []string{"retry-api", "retry-temporal", "retry-tctl", "retry-all"} {
		run(name)
		until(ctx, t, name+" is carried out, and it parks again", func() bool {
			count := countEvents(ctx, t, db.ID)
			return count[oas.EventKindDecided] == i+1 && count[oas.EventKindParked] == i+2
		})
		until(ctx, t, "it is listed as parked again", isListed)
	}
	run("reset")
	until(ctx, t, "the reset run parks", func() bool {
		return strings.Contains(shell(ctx, t, `temporal workflow metadata --namespace daap --workflow-id "$workflow"`, workflow), "Needs attention")
	})
	listed(t, run("abort"), `"cancelled"`, `"cancelled_by": "platform/local"`)
	nothingLeft(ctx, t, db.ID)
}

// TestRunbookKeepsKeysAndTheAuditLog runs the commands of their page on a team's key.
func TestRunbookKeepsKeysAndTheAuditLog(t *testing.T) {
	parallel(t, needsStore)
	ctx := t.Context()
	o := newTeam(ctx, t, "careless")
	if _, err := o.api.ListDatabases(ctx, oas.ListDatabasesParams{}); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, "the audit log has what the key did", func() bool {
		return len(auditOf(ctx, t, oas.ListAuditLogsParams{KeyID: oas.NewOptUUID(o.keyID)})) > 0
	})
	t.Cleanup(func() { revokeAll(context.WithoutCancel(ctx), t, "platform", "again") })
	page, secrets := pageOf(t, "docs/operators/keys-and-audit.md"), t.TempDir()
	out := map[string]string{}
	for _, name := range []string{"key-create", "key-inspect", "key-rotate", "key-revoke", "key-first", "audit-verify"} {
		out[name] = page.run(ctx, t, name, "key="+o.keyID.String(), "TMPDIR="+secrets)
	}
	watching.keysIn(t, secrets)
	listed(t, out["key-create"], `"team": "billing"`, `"status": "active"`)
	listed(t, out["key-inspect"], o.keyID.String(), "careless", "listDatabases")
	listed(t, out["key-rotate"], `"old_secret_until": "2`)
	listed(t, out["key-revoke"], `"status": "revoked"`)
	listed(t, out["key-first"], "again", "console/", "active")
	listed(t, out["audit-verify"], "The audit log is intact")
}

// revokeAll revokes the keys of the team that have the name.
func revokeAll(ctx context.Context, t *testing.T, team oas.TeamName, name string) {
	t.Helper()
	keys, err := stack.API.ListAPIKeys(ctx, oas.ListAPIKeysParams{Team: oas.NewOptTeamName(team)})
	if err != nil {
		t.Fatalf("list the keys of %s: %v", team, err)
	}
	for _, key := range keys.Data {
		if key.Name != name {
			continue
		}
		if _, err := stack.API.RevokeAPIKey(ctx, oas.RevokeAPIKeyParams{ID: key.ID}); err != nil {
			t.Errorf("revoke key %s: %v", key.ID, err)
		}
	}
}

func listed(t *testing.T, out string, want ...string) {
	t.Helper()
	for _, part := range want {
		if !strings.Contains(out, part) {
			t.Errorf("it does not print %q:\n%s", part, out)
		}
	}
}
