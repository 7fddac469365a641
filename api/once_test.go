package api_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

const (
	keyHeader  = "Idempotency-Key"
	ruleHeader = "must be 1 to 255 printable ASCII characters without spaces"
	orders     = `{"name":"orders","owner_team":"shop","tier":"small"}`
)

// wantReplay fails unless a request was accepted and its repetition got the same data.
func wantReplay(t *testing.T, status int, first, again answer) {
	t.Helper()
	if first.status != status || again.status != status {
		t.Fatalf("got %d %s, then %d %s", first.status, first.body, again.status, again.body)
	}
	if first.data(t) != again.data(t) || first.header.Get("Location") != again.header.Get("Location") {
		t.Errorf("got %s, then %s", first.body, again.body)
	}
}

func TestCreateWithTheSameKeyCreatesOneDatabase(t *testing.T) {
	t.Parallel()
	s := start(t)
	first := s.do(http.MethodPost, "/databases", orders, keyHeader, "one")
	for _, op := range s.store.operations() {
		s.store.succeed(op.ID) // the answer is the first one, whatever has happened since
	}
	wantReplay(t, http.StatusAccepted, first, s.do(http.MethodPost, "/databases", orders, keyHeader, "one"))
	if len(s.store.databases()) != 1 || len(s.store.operations()) != 1 {
		t.Errorf("there are %d databases and %d operations", len(s.store.databases()), len(s.store.operations()))
	}
}

func TestConcurrentRequestsWithAKeyCreateOneDatabase(t *testing.T) {
	t.Parallel()
	s := start(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got := s.do(http.MethodPost, "/databases", orders, keyHeader, "one"); got.status != http.StatusAccepted {
				t.Errorf("got %d %s", got.status, got.body)
			}
		})
	}
	all.Wait()
	if len(s.store.databases()) != 1 || len(s.store.operations()) != 1 {
		t.Errorf("there are %d databases and %d operations", len(s.store.databases()), len(s.store.operations()))
	}
}

func TestRequestsWithDistinctKeysEachTakeEffect(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, headers := range [][]string{nil, nil, {keyHeader, "one"}, {keyHeader, "two"}} {
		body := `{"name":"orders","owner_team":"t` + strings.Repeat("x", 1+len(s.store.databases())) + `","tier":"small"}`
		if got := s.do(http.MethodPost, "/databases", body, headers...); got.status != http.StatusAccepted {
			t.Errorf("got %d %s", got.status, got.body)
		}
	}
	if len(s.store.databases()) != 4 {
		t.Errorf("there are %d databases", len(s.store.databases()))
	}
}

func TestPatchWithTheSameKeyIsAppliedOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, _ := s.create("shop", "orders")
	patch := func(description string, headers ...string) answer {
		return s.do(http.MethodPatch, "/databases/"+db.ID.String(), `{"description":"`+description+`"}`, headers...)
	}
	first := patch("a", keyHeader, "one")
	patch("b")
	wantReplay(t, http.StatusOK, first, patch("a", keyHeader, "one"))
	if got := s.store.database(db.ID).Description; got != "b" {
		t.Errorf("the description is %q, want the later patch's", got)
	}
}

func TestDeleteWithTheSameKeyIsAcceptedOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, _ := s.create("shop", "orders")
	first := s.do(http.MethodDelete, "/databases/"+db.ID.String(), "", keyHeader, "one")
	wantReplay(t, http.StatusAccepted, first, s.do(http.MethodDelete, "/databases/"+db.ID.String(), "", keyHeader, "one"))
	if got := s.do(http.MethodDelete, "/databases/"+db.ID.String(), ""); got.Error.Code != oas.ErrorCodeDatabaseBusy {
		t.Errorf("without the key: got %s", got.body)
	}
}

func TestDecisionWithTheSameKeyIsTakenOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, op := s.create("shop", "orders")
	s.store.begin(op, daap.StepCluster)
	s.store.park(op, daap.NewCause(daap.CauseQuota, "Too many pods."))
	first := s.decide(op, "retry", http.StatusAccepted, keyHeader, "one")
	s.store.succeed(op)
	wantReplay(t, http.StatusAccepted, first, s.decide(op, "retry", http.StatusAccepted, keyHeader, "one"))
	decisions := 0
	for _, e := range s.store.events(s.store.operation(op).DatabaseID) {
		if e.Kind == daap.EventDecided {
			decisions++
		}
	}
	if decisions != 1 {
		t.Errorf("%d decisions were taken", decisions)
	}
	s.decide(op, "retry", http.StatusConflict)
}

func TestDifferentRequestWithTheSameKeyIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, op := s.create("shop", "carts")
	path := "/databases/" + db.ID.String()
	s.do(http.MethodPost, "/databases", orders, keyHeader, "create")
	s.do(http.MethodPatch, path, `{}`, keyHeader, "patch")
	s.decide(op, "cancel", http.StatusAccepted, keyHeader, "cancel")
	for name, row := range map[string]refusal{
		"body":       {method: http.MethodPost, path: "/databases", body: orders + " ", headers: []string{keyHeader, "create"}},
		"path":       {method: http.MethodPatch, path: "/databases/" + uuid.NewString(), body: `{}`, headers: []string{keyHeader, "patch"}},
		"method":     {method: http.MethodDelete, path: path, headers: []string{keyHeader, "patch"}},
		"everything": {method: http.MethodDelete, path: path, headers: []string{keyHeader, "create"}},
		"decision": {
			method: http.MethodPost, path: "/operations/" + op.String() + "/abort", body: decided,
			headers: []string{keyHeader, "cancel"},
		},
	} {
		got := s.do(row.method, row.path, row.body, row.headers...)
		if got.status != http.StatusUnprocessableEntity || got.Error.Code != oas.ErrorCodeIdempotencyKeyReused ||
			len(got.Error.Details) != 1 || got.Error.Details[0].Field != keyHeader {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
	}
}

func TestKeyOfARefusedRequestMayBeUsedAgain(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, _ := s.create("shop", "orders")
	if got := s.do(http.MethodPost, "/databases", orders, keyHeader, "one"); got.Error.Code != oas.ErrorCodeNameTaken {
		t.Errorf("got %d %s", got.status, got.body)
	}
	s.store.succeed(s.delete(db.ID))
	if got := s.do(http.MethodPost, "/databases", orders, keyHeader, "one"); got.status != http.StatusAccepted {
		t.Errorf("once the name is free: got %d %s", got.status, got.body)
	}
}

func TestBadKeyIsRefusedNamingTheHeader(t *testing.T) {
	t.Parallel()
	rows := map[string]refusal{}
	at := existing.String()
	for _, request := range []refusal{
		{method: http.MethodPost, path: "/databases", body: orders},
		{method: http.MethodPatch, path: "/databases/" + at, body: `{}`},
		{method: http.MethodDelete, path: "/databases/" + at},
		{method: http.MethodPost, path: "/operations/" + at + "/retry", body: decided},
		{method: http.MethodPost, path: "/operations/" + at + "/skip", body: decided},
		{method: http.MethodPost, path: "/operations/" + at + "/abort", body: decided},
		{method: http.MethodPost, path: "/operations/" + at + "/cancel", body: decided},
		{method: http.MethodPost, path: "/api-keys", body: `{"name":"deploy","team":"shop","role":"product-team"}`},
		{method: http.MethodDelete, path: "/api-keys/" + at},
		{method: http.MethodPost, path: "/api-keys/" + at + "/rotate", body: `{}`},
	} {
		row := func(name string, headers []string, query string, fields ...string) {
			bad := request
			bad.headers, bad.fields = headers, fields
			bad.path += query
			rows[request.method+" "+request.path+" "+name] = bad
		}
		for what, value := range map[string]string{
			"empty": "", "a space": "a b", "a tab": "a\tb", "not ASCII": "é", "not UTF-8": "\xff", "long": strings.Repeat("a", 256),
		} {
			row(what, []string{keyHeader, value}, "", keyHeader, ruleHeader)
		}
		row("twice", []string{keyHeader, "a", keyHeader, "b"}, "", keyHeader, "must be given once")
		row("the same twice", []string{keyHeader, "a", keyHeader, "a"}, "", keyHeader, "must be given once")
		row("bad twice", []string{keyHeader, "a b", keyHeader, "a"}, "", keyHeader, "must be given once")
		row("bad with an unknown parameter", []string{keyHeader, "a b"}, "?x", keyHeader, ruleHeader, "x", "is not a known parameter")
		row("twice with an unknown parameter", []string{keyHeader, "a", keyHeader, "b"}, "?x",
			keyHeader, "must be given once", "x", "is not a known parameter")
	}
	refuseAll(t, rows)
}

func TestLongestKeyIsAcceptedAndReadsIgnoreKeys(t *testing.T) {
	t.Parallel()
	s := start(t)
	if got := s.do(http.MethodPost, "/databases", orders, keyHeader, strings.Repeat("~", 255)); got.status != http.StatusAccepted {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if got := s.do(http.MethodGet, "/databases", "", keyHeader, "not a key"); got.status != http.StatusOK {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestFullBacklogHasRetryAfter(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, op := s.create("shop", "orders")
	s.store.succeed(op)
	for range backlog + 1 {
		waits := pending()
		s.store.PutOperation(waits)
	}
	for _, got := range []answer{
		s.do(http.MethodPost, "/databases", `{"name":"carts","owner_team":"shop","tier":"small"}`),
		s.do(http.MethodDelete, "/databases/"+db.ID.String(), ""),
	} {
		if got.Error.Code != oas.ErrorCodeUnavailable || got.header.Get("Retry-After") != "5" {
			t.Errorf("got %d, Retry-After %s, %s", got.status, got.header.Get("Retry-After"), got.body)
		}
	}
	if len(s.store.databases()) != 1 || s.store.database(db.ID).Status != daap.DatabaseReady {
		t.Error("a refused request changed something")
	}
}
