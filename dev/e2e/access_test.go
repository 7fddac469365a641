//go:build e2e

package e2e

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// team is one that uses the API with a key of its own.
type team struct {
	name  string
	key   string
	keyID uuid.UUID
	api   *oas.Client
}

// newTeam has the platform team make a key for the team; it is revoked when the test ends.
func newTeam(ctx context.Context, t *testing.T, name string) team {
	t.Helper()
	made, err := stack.API.CreateAPIKey(ctx, &oas.CreateAPIKeyRequest{
		Name: "e2e", Team: oas.TeamName(name), Role: oas.RoleProductTeam,
	}, oas.CreateAPIKeyParams{})
	if err != nil {
		t.Fatalf("make a key for team %s: %v", name, err)
	}
	id := made.Data.APIKey.ID
	t.Cleanup(func() {
		if _, err := stack.API.RevokeAPIKey(context.WithoutCancel(ctx), oas.RevokeAPIKeyParams{ID: id}); err != nil {
			t.Errorf("revoke the key of team %s: %v", name, err)
		}
	})
	api, err := local.NewClient(stack.URL, made.Data.Key.Value)
	if err != nil {
		t.Fatal(err)
	}
	return team{name, made.Data.Key.Value, id, api}
}

func (o team) actor() string { return o.name + "/e2e" }

// seesNothingOf asks for the database and its operation in every way that the contract has for teams: the answer is
// that of what does not exist, byte for byte.
func (o team) seesNothingOf(ctx context.Context, t *testing.T, database, operation uuid.UUID) {
	t.Helper()
	contract, err := openapi3.NewLoader().LoadFromData(daap.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for path, item := range contract.Paths.Map() {
		for method, op := range item.Operations() {
			if daap.Permission(op.OperationID).Access() != daap.AccessOwn || !strings.Contains(path, "{id}") {
				continue
			}
			id := database
			if strings.HasPrefix(path, "/operations/") {
				id = operation
			}
			asked++
			status, theirs := o.send(ctx, t, method, strings.ReplaceAll(path, "{id}", id.String()))
			_, nobodys := o.send(ctx, t, method, strings.ReplaceAll(path, "{id}", uuid.NewString()))
			if status != http.StatusNotFound || theirs != nobodys {
				t.Errorf("%s of another team's: %d %s, want 404 and %s", op.OperationID, status, theirs, nobodys)
			}
		}
	}
	if asked == 0 {
		t.Error("the contract has nothing that is asked for by its id")
	}
}

// send sends a request that would be taken for what is the team's own, and returns the answer.
func (o team) send(ctx context.Context, t *testing.T, method, path string) (int, string) {
	t.Helper()
	body := map[string]string{
		http.MethodPost:  `{"reason": "curious"}`,
		http.MethodPatch: `{"description": "curious"}`,
	}[method]
	if strings.HasSuffix(path, "/restore") {
		body = `{"name": "curious", "target_time": "latest"}`
	}
	request, err := http.NewRequestWithContext(ctx, method, stack.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-API-Key", o.key)
	request.Header.Set("X-Request-Id", "the-same")
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(raw)
}

// isRevoked revokes the team's key while it is in use, and fails the test unless it is refused within a second.
func (o team) isRevoked(ctx context.Context, t *testing.T) {
	t.Helper()
	if _, err := o.api.ListDatabases(ctx, oas.ListDatabasesParams{}); err != nil {
		t.Fatalf("list databases with a key that is valid: %v", err)
	}
	if _, err := stack.API.RevokeAPIKey(ctx, oas.RevokeAPIKeyParams{ID: o.keyID}); err != nil {
		t.Fatalf("revoke the key: %v", err)
	}
	revoked := time.Now()
	taken := revoked // when the last request was sent that was
	until(ctx, t, "the key is refused", func() bool {
		sent := time.Now()
		_, err := o.api.ListDatabases(ctx, oas.ListDatabasesParams{})
		if err == nil {
			taken = sent
		}
		var answer *oas.ErrorStatusCodeWithHeaders
		return errors.As(err, &answer) && answer.StatusCode == http.StatusUnauthorized
	})
	if took := taken.Sub(revoked); took > time.Second {
		t.Errorf("a revoked key was taken for %s, want at most a second", took)
	}
}

// didAllOf fails the test unless the audit log has, under the team's key, both requests and what their workflows
// changed, each once.
func (o team) didAllOf(ctx context.Context, t *testing.T, database, provision, deletion uuid.UUID) {
	t.Helper()
	want := map[string]int{"createDatabase": 1, "deleteDatabase": 1}
	for kind, id := range map[daap.OperationKind]uuid.UUID{daap.ProvisionDatabase: provision, daap.DeleteDatabase: deletion} {
		for _, step := range kind.Plan(false) {
			if step.Name != daap.StepFinish { // its end is that of the operation
				want[string(kind)+"."+string(step.Name)+" "+id.String()]++
			}
		}
		want[string(kind)+".started "+id.String()]++
		want[string(kind)+".succeeded "+id.String()]++
	}
	got := map[string]int{}
	for _, entry := range auditOf(ctx, t, oas.ListAuditLogsParams{ResourceID: oas.NewOptUUID(database), KeyID: oas.NewOptUUID(o.keyID)}) {
		if entry.Actor.Value != o.actor() || entry.Outcome != oas.AuditOutcomeSucceeded {
			t.Errorf("%s of %s: %s, want %s to have succeeded", entry.Action, entry.Actor.Value, entry.Outcome, o.actor())
		}
		what := entry.Action
		if operation := string(entry.After.Value["operation_id"]); entry.Status.Null {
			what += " " + strings.Trim(operation, `"`)
		}
		got[what]++
	}
	for what, times := range want {
		if got[what] != times {
			t.Errorf("the audit log has %s %d times, want %d (all: %v)", what, got[what], times, got)
		}
	}
}

// wasRefused waits for the entries of what the team was refused.
func (o team) wasRefused(ctx context.Context, t *testing.T, database uuid.UUID) {
	t.Helper()
	until(ctx, t, "the audit log has what was refused", func() bool {
		refused := auditOf(ctx, t, oas.ListAuditLogsParams{
			ResourceID: oas.NewOptUUID(database), Team: oas.NewOptTeamName(oas.TeamName(o.name)),
			Outcome: oas.NewOptAuditOutcome(oas.AuditOutcomeRefused),
		})
		return slices.ContainsFunc(refused, func(e oas.AuditEntry) bool {
			return e.Action == "deleteDatabase" && e.Status.Value == http.StatusNotFound && e.KeyID.Value == o.keyID
		})
	})
}

func auditOf(ctx context.Context, t *testing.T, params oas.ListAuditLogsParams) []oas.AuditEntry {
	t.Helper()
	params.Limit = oas.NewOptInt(100)
	page, err := stack.API.ListAuditLogs(ctx, params)
	if err != nil {
		t.Fatalf("list the audit log: %v", err)
	}
	return page.Data
}
