package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api"
	"github.com/daap-dev/daap/api/oas"
)

// observed sends the log to where the test can read it.
func observed() (*observer.ObservedLogs, func(*api.Config)) {
	core, logs := observer.New(zap.DebugLevel)
	return logs, func(cfg *api.Config) { cfg.Log = zap.New(core) }
}

var everyRequest = []struct{ method, path, body string }{
	{http.MethodGet, "/databases", ""},
	{http.MethodPost, "/databases", `{"name":"orders","owner_team":"shop","tier":"small"}`},
	{http.MethodGet, "/databases/" + existing.String(), ""},
	{http.MethodPatch, "/databases/" + existing.String(), `{"description":"x"}`},
	{http.MethodDelete, "/databases/" + existing.String(), ""},
	{http.MethodGet, "/databases/" + existing.String() + "/connection", ""},
	{http.MethodGet, "/databases/" + existing.String() + "/events", ""},
	{http.MethodGet, "/operations", ""},
	{http.MethodGet, "/operations/" + existing.String(), ""},
	{http.MethodGet, "/operations/" + existing.String() + "?wait=1s", ""},
	{http.MethodPost, "/operations/" + existing.String() + "/retry", decided},
	{http.MethodPost, "/operations/" + existing.String() + "/skip", decided},
	{http.MethodPost, "/operations/" + existing.String() + "/abort", decided},
	{http.MethodPost, "/operations/" + existing.String() + "/cancel", decided},
	{http.MethodGet, "/api-keys", ""},
	{http.MethodPost, "/api-keys", `{"name":"deploy","team":"shop","role":"product-team"}`},
	{http.MethodDelete, "/api-keys/" + existing.String(), ""},
	{http.MethodPost, "/api-keys/" + existing.String() + "/rotate", `{}`},
	{http.MethodGet, "/audit-logs", ""},
	{http.MethodGet, "/audit-logs/export", ""},
}

func TestStoresFailureIsLoggedAndNeverShown(t *testing.T) {
	t.Parallel()
	logs, option := observed()
	s := start(t, option)
	s.store.fail(errors.New("dial 10.0.0.7: password=hunter2"))
	for _, r := range everyRequest {
		got := s.do(r.method, r.path, r.body, "X-Request-Id", "find-me")
		want := "The service failed; try again, or give the platform team request ID find-me."
		if got.status != http.StatusInternalServerError || got.Error.Message != want {
			t.Errorf("%s %s: got %d %s", r.method, r.path, got.status, got.body)
		}
		if bytes.Contains(got.body, []byte("hunter2")) {
			t.Errorf("%s %s: the client got %s", r.method, r.path, got.body)
		}
		entries := logs.FilterMessage("request failed").TakeAll()
		if len(entries) != 1 || !strings.Contains(fmt.Sprint(entries[0].ContextMap()["error"]), "hunter2") ||
			entries[0].ContextMap()["request_id"] != "find-me" {
			t.Errorf("%s %s: logged %v", r.method, r.path, entries)
		}
		logs.TakeAll()
	}
}

func TestErrorForPeopleIsShownWithoutItsWrapping(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.store.fail(fmt.Errorf("select from databases: %w", daap.Unavailable("PostgreSQL is down; try again.")))
	for _, r := range everyRequest {
		got := s.do(r.method, r.path, r.body)
		if got.Error.Code != oas.ErrorCodeUnavailable || got.Error.Message != "PostgreSQL is down; try again." {
			t.Errorf("%s %s: got %d %s", r.method, r.path, got.status, got.body)
		}
	}
}

func TestTimeoutOfTheStoreIsUnavailable(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, cause := range []error{context.DeadlineExceeded, context.Canceled} {
		s.store.fail(fmt.Errorf("query: %w", cause))
		for _, r := range everyRequest {
			got := s.do(r.method, r.path, r.body)
			want := "The service did not answer in time; try again."
			if got.Error.Code != oas.ErrorCodeUnavailable || got.Error.Message != want {
				t.Errorf("%s %s: got %d %s", r.method, r.path, got.status, got.body)
			}
		}
	}
}

func TestEveryCodeHasTheContractsStatus(t *testing.T) {
	t.Parallel()
	s := start(t)
	for code, status := range documentedStatuses() {
		s.store.fail(&daap.Error{Code: daap.Code(code), Message: "Told."})
		if got := s.do(http.MethodGet, "/databases", ""); got.status != status || got.Error.Message != "Told." {
			t.Errorf("%s: got %d %s", code, got.status, got.body)
		}
	}
}

func TestTemporaryRefusalHasRetryAfter(t *testing.T) {
	t.Parallel()
	s := start(t)
	for code := range documentedStatuses() {
		s.store.fail(&daap.Error{Code: daap.Code(code), Message: "Told."})
		want := map[daap.Code]string{daap.CodeRequestInProgress: "2", daap.CodeUnavailable: "5"}[daap.Code(code)]
		if got := s.do(http.MethodGet, "/databases", "").header.Get("Retry-After"); got != want {
			t.Errorf("%s: got Retry-After %q, want %q", code, got, want)
		}
	}
}

func TestUnknownCodeIsAnInternalFailure(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.store.fail(&daap.Error{Code: "made_up", Message: "Told."})
	if got := s.do(http.MethodGet, "/databases", ""); got.Error.Code != oas.ErrorCodeInternal {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestPanicIsAnInternalFailure(t *testing.T) {
	t.Parallel()
	logs, option := observed()
	s := start(t, option)
	s.store.panics("password=hunter2")
	got := s.do(http.MethodGet, "/databases", "", "X-Request-Id", "find-me")
	if got.status != http.StatusInternalServerError || bytes.Contains(got.body, []byte("hunter2")) {
		t.Errorf("got %d %s", got.status, got.body)
	}
	entries := logs.FilterMessage("panic").All()
	if len(entries) != 1 || entries[0].ContextMap()["request_id"] != "find-me" {
		t.Errorf("logged %v", entries)
	}
	s.store.panics(nil)
	if got := s.do(http.MethodGet, "/databases", ""); got.status != http.StatusOK {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestClientsRequestIDIsKeptIfSafe(t *testing.T) {
	t.Parallel()
	s := start(t)
	made := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	for id, kept := range map[string]bool{
		"a": true, "A.b_c-9": true, strings.Repeat("a", 64): true,
		"": false, strings.Repeat("a", 65): false, "a b": false, "a\tb": false, "é": false, "a/b": false, `a"`: false,
	} {
		got := s.do(http.MethodGet, "/databases", "", "X-Request-Id", id).header.Get("X-Request-Id")
		if kept && got != id || !kept && !made.MatchString(got) {
			t.Errorf("%q became %q", id, got)
		}
	}
}

func TestAccessLogNamesCallerActionAndResource(t *testing.T) {
	t.Parallel()
	logs, option := observed()
	s := start(t, option)
	db, op := s.create("shop", "orders")
	s.do(http.MethodHead, "/databases/"+db.ID.String(), "", "X-Request-Id", "two")
	s.do(http.MethodGet, "/operations/"+op.String(), "")
	s.do(http.MethodGet, "/databases/nonsense", "")
	s.do(http.MethodGet, "/nowhere", "")
	want := []map[string]any{
		{
			"method": "POST", "route": "createDatabase", "status": int64(202),
			"database_id": db.ID.String(), "operation_id": op.String(),
		},
		{"method": "HEAD", "route": "getDatabase", "status": int64(200), "database_id": db.ID.String(), "request_id": "two"},
		{"method": "GET", "route": "getOperation", "status": int64(200), "operation_id": op.String()},
		{"method": "GET", "route": "getDatabase", "status": int64(404), "database_id": nil},
		{"method": "GET", "route": nil, "status": int64(404), "path": "/nowhere"},
	}
	entries := logs.FilterMessage("request").All()
	if len(entries) != len(want) {
		t.Fatalf("got %d lines, want %d", len(entries), len(want))
	}
	for i, entry := range entries {
		got := entry.ContextMap()
		for field, value := range want[i] {
			if got[field] != value {
				t.Errorf("line %d: %s is %v, want %v", i, field, got[field], value)
			}
		}
		if got["duration"] == nil || got["request_id"] == "" {
			t.Errorf("line %d: got %v", i, got)
		}
	}
}

func TestAccessLogNamesAKeyApartFromTheCallers(t *testing.T) {
	t.Parallel()
	logs, option := observed()
	s := start(t, option)
	id := uuid.NewString()
	s.do(http.MethodDelete, "/api-keys/"+id, "")
	line := logs.FilterMessage("request").All()[0].ContextMap()
	caller := callers[platformKey]
	if line["api_key_id"] != id || line["key_id"] != caller.KeyID.String() || line["team"] != caller.Team {
		t.Errorf("logged %v", line)
	}
}

func TestHealthProbesAreNotInTheAccessLogUnlessTheyFail(t *testing.T) {
	t.Parallel()
	logs, option := observed()
	start(t, option, dependencies(nil, nil)).do(http.MethodGet, "/health", "")
	if lines := logs.FilterMessage("request").All(); len(lines) != 1 || lines[0].Level != zap.DebugLevel {
		t.Errorf("got %v", lines)
	}
	logs, option = observed()
	start(t, option, dependencies(errors.New("dial: refused"), nil)).do(http.MethodGet, "/health", "")
	if lines := logs.FilterMessage("request").All(); len(lines) != 1 || lines[0].Level != zap.WarnLevel {
		t.Errorf("got %v", lines)
	}
	down := logs.FilterMessage("dependency is down").All()
	if len(down) != 1 {
		t.Fatalf("got %v", down)
	}
	if line := down[0].ContextMap(); line["dependency"] != "postgresql" || line["error"] != "dial: refused" {
		t.Errorf("got %v", line)
	}
}

func TestHeadAnswersAsGetWithoutABody(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, _ := s.create("shop", "orders")
	for _, path := range []string{
		"/databases", "/databases/" + db.ID.String(), "/databases/" + uuid.NewString(), "/health",
	} {
		get, head := s.do(http.MethodGet, path, ""), s.do(http.MethodHead, path, "")
		sameType := get.header.Get("Content-Type") == head.header.Get("Content-Type")
		if get.status != head.status || !sameType || len(head.body) != 0 {
			t.Errorf("%s: GET answers %d, HEAD %d %q", path, get.status, head.status, head.body)
		}
	}
}
