package api_test

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
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
		return "/databases/" + s.store.operation(op).DatabaseID.String()
	}
	backedUp := func() string {
		path := database()
		id := uuid.MustParse(strings.TrimPrefix(path, "/databases/"))
		s.store.backUp(id)
		return path
	}
	orphan := func() string {
		id := uuid.Must(uuid.NewV7())
		s.store.must(s.store.SaveOrphans(s.t.Context(), time.Now(), []daap.Orphan{{ID: id, Kind: daap.OrphanNamespace, Name: "daap-" + id.String()}}))
		return "/orphans/" + id.String()
	}
	frozen := func() string {
		path := database()
		s.store.freeze(uuid.MustParse(strings.TrimPrefix(path, "/databases/")))
		return path
	}
	parked := func() string {
		_, op := s.create("shop", "db-"+uuid.NewString()[:8])
		s.store.begin(op, daap.StepReady)
		s.store.park(op, daap.NewCause(daap.CauseDeadline, "Waited 10 minutes."))
		return "/operations/" + op.String()
	}
	key := func() string { return "/api-keys/" + s.key(func(*daap.APIKey) {}).String() }
	noTier := "/tiers/" + missing
	tier := func() string {
		id := uuid.Must(uuid.NewV7())
		s.store.PutTier(smallTier(id, "t-"+id.String()[24:]))
		return "/tiers/" + id.String()
	}
	noDatabase, noOperation, noKey := "/databases/"+missing, "/operations/"+missing, "/api-keys/"+missing
	const bad = "?limit=0"
	return map[string]try{
		"getHealth":             {method: "GET", path: "/health", status: 200},
		"getOpenAPI":            {method: "GET", path: "/openapi.json", status: 200},
		"listDatabases":         {"GET", "/databases", "", 200, "/databases" + bad, ""},
		"createDatabase":        {"POST", "/databases", `{"name":"carts","tier":"small"}`, 202, "", `{}`},
		"getDatabase":           {"GET", database(), "", 200, noDatabase, ""},
		"updateDatabase":        {"PATCH", database(), `{}`, 200, noDatabase, ""},
		"deleteDatabase":        {"DELETE", database(), "", 202, noDatabase, ""},
		"previewDelete":         {"GET", database() + "/delete-preview", "", 200, noDatabase + "/delete-preview", ""},
		"unfreezeDatabase":      {"POST", frozen() + "/unfreeze", "", 202, noDatabase + "/unfreeze", ""},
		"getDatabaseConnection": {"GET", database() + "/connection", "", 200, noDatabase + "/connection", ""},
		"listDatabaseEvents":    {"GET", database() + "/events", "", 200, noDatabase + "/events", ""},
		"listBackups":           {"GET", database() + "/backups", "", 200, noDatabase + "/backups", ""},
		"backUpDatabase":        {"POST", backedUp() + "/backups", "", 202, noDatabase + "/backups", ""},
		"restoreDatabase":       {"POST", backedUp() + "/restore", `{"name":"again","target_time":"latest"}`, 202, noDatabase + "/restore", ""},
		"reconcileDatabase":     {"POST", database() + "/reconcile", "", 202, noDatabase + "/reconcile", ""},
		"listOperations":        {"GET", "/operations", "", 200, "/operations" + bad, ""},
		"getOperation":          {"GET", parked(), "", 200, noOperation, ""},
		"retryOperation":        {"POST", parked() + "/retry", decided, 202, noOperation + "/retry", ""},
		"skipOperation":         {"POST", parked() + "/skip", decided, 202, noOperation + "/skip", ""},
		"abortOperation":        {"POST", parked() + "/abort", decided, 202, noOperation + "/abort", ""},
		"cancelOperation":       {"POST", parked() + "/cancel", decided, 202, noOperation + "/cancel", ""},
		"listTiers":             {"GET", "/tiers", "", 200, "/tiers" + bad, ""},
		"createTier":            {"POST", "/tiers", large, 201, "", `{}`},
		"getTier":               {"GET", tier(), "", 200, noTier, ""},
		"updateTier":            {"PATCH", tier(), `{}`, 200, noTier, ""},
		"deleteTier":            {"DELETE", tier(), "", 200, noTier, ""},
		"getTierQuota":          {"GET", tier() + "/quota", "", 200, noTier + "/quota", ""},
		"setTierQuota":          {"PUT", tier() + "/quota", `{}`, 200, noTier + "/quota", ""},
		"getFleet":              {"GET", "/fleet", "", 200, "/fleet" + bad, ""},
		"listExtensions":        {"GET", "/extensions", "", 200, "/extensions?older_than=1", ""},
		"listOrphans":           {"GET", "/orphans", "", 200, "/orphans" + bad, ""},
		"removeOrphan":          {"DELETE", orphan(), "", 200, "/orphans/" + missing, ""},
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

func TestTierChangeIsAcceptedAndAudited(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.do(http.MethodPost, "/tiers", large)
	db, op := s.create("shop", "orders")
	s.store.succeed(op)
	at, patch := "/databases/"+db.ID.String(), `{"tier":"large","description":"more"}`
	for _, outcome := range []daap.Outcome{daap.OutcomeSucceeded, daap.OutcomeReplayed} {
		s.store.logged()
		got := s.do(http.MethodPatch, at, patch, keyHeader, "a")
		wantEntry(t, s.store.logged(), "updateDatabase", outcome, http.StatusAccepted, "platform")
		if got.status != http.StatusAccepted || !strings.HasPrefix(got.header.Get("Location"), "/operations/") {
			t.Errorf("%s: got %d %v %s", outcome, got.status, got.header, got.body)
		}
	}
	var update daap.Operation
	for _, op := range s.store.operations() {
		if op.Kind == daap.UpdateDatabase {
			update = s.store.operation(op.ID)
		}
	}
	got := s.do(http.MethodGet, "/operations/"+update.ID.String(), "")
	if !strings.Contains(got.data(t), `"tier":"large"`) || len(update.Steps) != len(daap.UpdateDatabase.Plan(false)) {
		t.Errorf("got %s", got.body)
	}
	if got := s.do(http.MethodPatch, at, `{"tier":"small"}`); got.Error.Code != oas.ErrorCodeDatabaseBusy || got.Error.OperationID.Value != update.ID {
		t.Errorf("while it is under way: got %d %s", got.status, got.body)
	}
}

func TestDryRunChangesNothingAndIsAudited(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.do(http.MethodPost, "/tiers", large)
	db, op := s.create("shop", "orders", "env", "prod")
	s.store.succeed(op)
	at := "/databases/" + db.ID.String()
	before := s.do(http.MethodGet, at, "").data(t)
	for name, row := range map[string]struct {
		method, path, body, want string
	}{
		"create": {
			http.MethodPost, "/databases", `{"name":"carts","tier":"small"}`,
			`{"operation":"provision_database","restarts":false,` +
				`"changes":[{"field":"name","from":null,"to":"carts"},{"field":"owner_team","from":null,"to":"platform"},`,
		},
		"another tier": {
			http.MethodPatch, at, `{"tier":"large","labels":{"env":null}}`,
			`{"operation":"update_database","restarts":true,` +
				`"changes":[{"field":"tier","from":"small","to":"large"},{"field":"instances","from":"1","to":"3"},` +
				`{"field":"ha_replicas","from":"0","to":"1"},{"field":"cpu","from":"500m","to":"2"},` +
				`{"field":"memory","from":"512Mi","to":"4Gi"},{"field":"storage_size","from":"1Gi","to":"20Gi"},` +
				`{"field":"pool_mode","from":"transaction","to":"session"},{"field":"max_connections","from":"100","to":"400"},` +
				`{"field":"labels.env","from":"prod","to":null}],"quotas":[{"tier":"large",`,
		},
		"what takes no time": {
			http.MethodPatch, at, `{"description":"more","tier":"small"}`,
			`{"operation":null,"restarts":false,"changes":[{"field":"description","from":"","to":"more"}],"quotas":[]}`,
		},
	} {
		s.store.logged()
		got := s.do(row.method, row.path+"?dry_run=true", row.body, keyHeader, "the-same")
		if got.status != http.StatusOK || !strings.HasPrefix(got.data(t), row.want) {
			t.Errorf("%s: got %d %s\nwant %s", name, got.status, got.body, row.want)
		}
		log := s.store.logged()
		if len(log) != 1 || log[0].After["dry_run"] != true || log[0].Status != http.StatusOK || log[0].Outcome != daap.OutcomeSucceeded {
			t.Errorf("%s: logged %+v, want one entry of a dry run", name, log)
		}
	}
	if after := s.do(http.MethodGet, at, "").data(t); after != before || len(s.store.databases()) != 1 || len(s.store.operations()) != 1 {
		t.Errorf("%d databases, %d operations, and\n%s\nwant\n%s", len(s.store.databases()), len(s.store.operations()), after, before)
	}
}

func TestDryRunGetsTheErrorOfTheRequest(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, _ := s.create("shop", "orders")
	at := "/databases/" + db.ID.String()
	for _, row := range []struct {
		method, path, body string
		code               oas.ErrorCode
	}{
		{http.MethodPost, "/databases", `{"name":"orders","tier":"small","owner_team":"shop"}`, oas.ErrorCodeNameTaken},
		{http.MethodPost, "/databases", `{"name":"carts","tier":"none"}`, oas.ErrorCodeValidationFailed},
		{http.MethodPatch, at, `{"tier":"none"}`, oas.ErrorCodeValidationFailed},
		{http.MethodPatch, "/databases/" + uuid.NewString(), `{}`, oas.ErrorCodeNotFound},
	} {
		s.store.logged()
		got, real := s.do(row.method, row.path+"?dry_run=true", row.body), s.do(row.method, row.path, row.body)
		if got.Error.Code != row.code || real.Error.Code != row.code || got.Error.Message != real.Error.Message {
			t.Errorf("%s %s: got %s, and %s without dry_run; want %s", row.method, row.body, got.body, real.body, row.code)
		}
	}
}

func TestProductTeamsPreviewHidesInfrastructure(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.do(http.MethodPost, "/tiers", large)
	db, op := s.create("shop", "orders")
	s.store.succeed(op)
	got := s.do(http.MethodPatch, "/databases/"+db.ID.String()+"?dry_run=true", `{"tier":"large"}`, "X-API-Key", shopKey)
	for _, field := range []string{"instances", "ha_replicas", "cpu", "memory", "storage_size", "pool_mode", "max_connections"} {
		if strings.Contains(got.data(t), `"field":"`+field+`"`) {
			t.Errorf("a product team sees %s: %s", field, got.body)
		}
	}
	if !strings.Contains(got.data(t), `{"field":"storage","from":"1Gi for your data.","to":"20Gi for your data."}`) {
		t.Errorf("got %d %s", got.status, got.body)
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

func TestPlatformOperationsAreForbiddenToOthersAndAudited(t *testing.T) {
	t.Parallel()
	s := start(t)
	for operation, r := range tries(s) {
		if daap.Permission(operation).Access() != daap.AccessPlatform {
			continue
		}
		s.store.logged()
		got := s.do(r.method, r.path, r.body, "X-API-Key", shopKey)
		if got.status != http.StatusForbidden || got.Error.Code != oas.ErrorCodeForbidden || got.header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: got %d %s", operation, got.status, got.body)
		}
		wantEntry(t, s.store.logged(), operation, daap.OutcomeRefused, http.StatusForbidden, "shop")
	}
}

func TestAnotherTeamsResourceLooksMissing(t *testing.T) {
	t.Parallel()
	s := start(t)
	for operation, r := range tries(s) {
		if daap.Permission(operation).Access() != daap.AccessOwn || !strings.Contains(r.path, "-") {
			continue // it names nothing that anybody owns
		}
		headers := []string{"X-API-Key", billingKey, "X-Request-Id", "same"}
		missing := s.do(r.method, r.refused, r.body, headers...)
		got := s.do(r.method, r.path, r.body, headers...)
		if got.status != http.StatusNotFound || !bytes.Equal(got.body, missing.body) {
			t.Errorf("%s: got %d %s, and %s for one that is missing", operation, got.status, got.body, missing.body)
		}
	}
}

func TestRepeatedRequestIsAuditedAsReplayed(t *testing.T) {
	t.Parallel()
	s := start(t)
	for operation, r := range tries(s) {
		if r.method == http.MethodGet {
			continue
		}
		s.do(r.method, r.path, r.body, keyHeader, operation)
		s.store.logged()
		s.do(r.method, r.path, r.body, keyHeader, operation)
		wantEntry(t, s.store.logged(), operation, daap.OutcomeReplayed, r.status, "platform")
	}
}

func TestEntryOfAnUnknownCallerHasNulls(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.do(http.MethodGet, "/databases", "", "X-API-Key", "", "X-Request-Id", "find-me")
	res, err := s.client.ListAuditLogs(t.Context(), oas.ListAuditLogsParams{})
	if err != nil || len(res.Data) != 1 {
		t.Fatalf("got %+v, %v", res, err)
	}
	e := res.Data[0]
	if !e.Actor.Null || !e.KeyID.Null || !e.Team.Null || !e.Role.Null || !e.Resource.Null || !e.Before.Null || !e.After.Null {
		t.Errorf("got %+v", e)
	}
	if e.RequestID.Value != "find-me" || e.Status.Value != http.StatusUnauthorized || e.Outcome != oas.AuditOutcomeRefused {
		t.Errorf("got %+v", e)
	}
}

func TestResponsesAreNotCachedOrSniffed(t *testing.T) {
	t.Parallel()
	s := start(t)
	paths := []string{"/nowhere", "/databases/x"}
	for operation, r := range tries(s) {
		if operation != "getOpenAPI" {
			paths = append(paths, r.path)
		}
	}
	for _, path := range paths {
		got := s.do(http.MethodGet, path, "").header
		if got.Get("Cache-Control") != "no-store" || got.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got %v", path, got)
		}
	}
	if got := s.do(http.MethodGet, "/openapi.json", "").header; got.Get("Cache-Control") != "" {
		t.Errorf("the contract may not be kept: %v", got)
	}
}

func TestKeysAppearInNoLogAndNoResponse(t *testing.T) {
	t.Parallel()
	logs, option := observed()
	s := start(t, option)
	for _, key := range []string{platformKey, shopKey, "wrong-key"} {
		for operation, r := range tries(s) {
			got := s.do(r.method, r.path, r.body, "X-API-Key", key)
			again := s.do(r.method, r.path, r.body, "X-API-Key", "", "Authorization", "Bearer "+key)
			if bytes.Contains(got.body, []byte(key)) || bytes.Contains(again.body, []byte(key)) {
				t.Errorf("%s: the answer has the key: %s", operation, got.body)
			}
		}
	}
	for _, line := range logs.All() {
		if text := fmt.Sprint(line.Message, line.ContextMap()); regexp.MustCompile(`\b(platform|shop|wrong)-key\b`).MatchString(text) {
			t.Errorf("logged %s", text)
		}
	}
}

func TestEntryNamesThePathsResource(t *testing.T) {
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

func TestFailureIsAudited(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.store.panics("oops")
	s.do(http.MethodGet, "/databases", "")
	s.store.panics(nil)
	wantEntry(t, s.store.logged(), "listDatabases", daap.OutcomeFailed, http.StatusInternalServerError, "platform")
}
