package api_test

import (
	"net/http"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// try is a request of one operation that succeeds, and one that is refused for what it asks.
type try struct {
	method, path, body string
	status             int
	// refused is a path that is answered 404, and badBody a body that is answered 422; one of them is given.
	refused, badBody string
}

// tries are all operations of the contract, each with things of its own.
func tries(s *service) map[string]try {
	missing := uuid.NewString()
	database := func() string {
		_, op := s.create("shop", "db-"+uuid.NewString()[:8])
		s.store.succeed(op)
		return "/databases/" + s.store.operations[op].DatabaseID.String()
	}
	parked := func() string {
		_, op := s.create("shop", "db-"+uuid.NewString()[:8])
		s.store.begin(op, daap.StepReady)
		s.store.park(op, daap.NewCause(daap.CauseDeadline, "Waited 10 minutes."))
		return "/operations/" + op.String()
	}
	key := func() string {
		id := uuid.Must(uuid.NewV7())
		s.store.keys[id] = daap.StoredKey{APIKey: daap.APIKey{ID: id, Name: "deploy", Team: "shop", Role: daap.RoleProductTeam}}
		return "/api-keys/" + id.String()
	}
	noDatabase, noOperation, noKey := "/databases/"+missing, "/operations/"+missing, "/api-keys/"+missing
	const bad = "?limit=0"
	return map[string]try{
		"getHealth":             {method: "GET", path: "/health", status: 200},
		"getOpenAPI":            {method: "GET", path: "/openapi.json", status: 200},
		"listDatabases":         {"GET", "/databases", "", 200, "/databases" + bad, ""},
		"createDatabase":        {"POST", "/databases", `{"name":"carts"}`, 202, "", `{}`},
		"getDatabase":           {"GET", database(), "", 200, noDatabase, ""},
		"updateDatabase":        {"PATCH", database(), `{}`, 200, noDatabase, ""},
		"deleteDatabase":        {"DELETE", database(), "", 202, noDatabase, ""},
		"getDatabaseConnection": {"GET", database() + "/connection", "", 200, noDatabase + "/connection", ""},
		"listDatabaseEvents":    {"GET", database() + "/events", "", 200, noDatabase + "/events", ""},
		"listOperations":        {"GET", "/operations", "", 200, "/operations" + bad, ""},
		"getOperation":          {"GET", parked(), "", 200, noOperation, ""},
		"retryOperation":        {"POST", parked() + "/retry", decided, 202, noOperation + "/retry", ""},
		"skipOperation":         {"POST", parked() + "/skip", decided, 202, noOperation + "/skip", ""},
		"abortOperation":        {"POST", parked() + "/abort", decided, 202, noOperation + "/abort", ""},
		"cancelOperation":       {"POST", parked() + "/cancel", decided, 202, noOperation + "/cancel", ""},
		"listAPIKeys":           {"GET", "/api-keys", "", 200, "/api-keys" + bad, ""},
		"createAPIKey":          {"POST", "/api-keys", `{"name":"deploy","team":"shop","role":"product-team"}`, 201, "", `{}`},
		"revokeAPIKey":          {"DELETE", key(), "", 200, noKey, ""},
		"rotateAPIKey":          {"POST", key() + "/rotate", `{}`, 200, noKey + "/rotate", ""},
		"listAuditLogs":         {"GET", "/audit-logs", "", 200, "/audit-logs" + bad, ""},
		"exportAuditLogs":       {"GET", "/audit-logs/export", "", 200, "/audit-logs/export?outcome=x", ""},
	}
}

func TestEveryOperationIsAnsweredAndAuditedOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	all := tries(s)
	for _, permission := range daap.Permissions() {
		operation := string(permission)
		r, known := all[operation]
		if !known {
			t.Errorf("no request for %s", operation)
			continue
		}
		s.store.logged()
		if got := s.do(r.method, r.path, r.body); got.status != r.status {
			t.Errorf("%s: got %d %s, want %d", operation, got.status, got.body, r.status)
		}
		if permission.Access() == daap.AccessOpen {
			wantNoEntry(t, operation, s.store.logged())
			continue
		}
		wantEntry(t, s.store.logged(), operation, daap.OutcomeSucceeded, r.status, "platform")

		path, body := r.refused, r.body
		if path == "" {
			path, body = r.path, r.badBody
		}
		got := s.do(r.method, path, body)
		wantEntry(t, s.store.logged(), operation, daap.OutcomeRefused, got.status, "platform")

		got = s.do(r.method, r.path, r.body, "X-API-Key", "")
		wantEntry(t, s.store.logged(), operation, daap.OutcomeRefused, got.status, "")
		if got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s without a key: got %d %v", operation, got.status, got.header)
		}
	}
}

func wantNoEntry(t *testing.T, operation string, log []daap.AuditEntry) {
	t.Helper()
	if len(log) > 0 {
		t.Errorf("%s: %+v is logged, want nothing", operation, log)
	}
}

func wantEntry(t *testing.T, log []daap.AuditEntry, operation string, outcome daap.Outcome, status int, team string) {
	t.Helper()
	if len(log) != 1 {
		t.Errorf("%s (%s): %d entries are logged, want one: %+v", operation, outcome, len(log), log)
		return
	}
	e := log[0]
	if e.Action != operation || e.Outcome != outcome || e.Status != status || e.Team != team {
		t.Errorf("%s: logged %s, %s, %d of %q; want %s, %d of %q", operation, e.Action, e.Outcome, e.Status, e.Team, outcome, status, team)
	}
	if e.RequestID == "" || e.Address != "127.0.0.1" {
		t.Errorf("%s: logged request %q from %q", operation, e.RequestID, e.Address)
	}
}

func TestEntryNamesWhatThePathNames(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := uuid.New()
	for path, kind := range map[string]string{
		"/databases/": daap.ResourceDatabase, "/operations/": daap.ResourceOperation,
	} {
		s.do(http.MethodGet, path+id.String(), "")
		if log := s.store.logged(); len(log) != 1 || log[0].Resource != (daap.Resource{Kind: kind, ID: id}) {
			t.Errorf("%s: logged %+v", path, log)
		}
	}
	s.do(http.MethodDelete, "/api-keys/"+id.String(), "")
	if log := s.store.logged(); len(log) != 1 || log[0].Resource != (daap.Resource{Kind: daap.ResourceAPIKey, ID: id}) {
		t.Errorf("logged %+v", log)
	}
	s.do(http.MethodGet, "/nowhere", "")
	wantNoEntry(t, "an unknown route", s.store.logged())
}

func TestFailureIsAuditedAsOne(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.store.panics = "oops"
	s.do(http.MethodGet, "/databases", "")
	s.store.panics = nil
	wantEntry(t, s.store.logged(), "listDatabases", daap.OutcomeFailed, http.StatusInternalServerError, "platform")
}
