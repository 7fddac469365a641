package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api"
	"github.com/daap-dev/daap/api/oas"
)

func TestOneKeyInEitherHeaderIsAccepted(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, row := range map[string]struct {
		headers []string
		want    int
	}{
		"none":                {[]string{"X-API-Key", ""}, 401},
		"bearer of nothing":   {[]string{"X-API-Key", "", "Authorization", "Bearer"}, 401},
		"bearer of a space":   {[]string{"X-API-Key", "", "Authorization", "Bearer   "}, 401},
		"X-API-Key":           {[]string{"X-API-Key", shopKey}, 200},
		"bearer":              {[]string{"X-API-Key", "", "Authorization", "Bearer " + shopKey}, 200},
		"bearer in small":     {[]string{"X-API-Key", "", "Authorization", "bearer " + shopKey}, 200},
		"both the same":       {[]string{"X-API-Key", shopKey, "Authorization", "Bearer " + shopKey}, 200},
		"both different":      {[]string{"X-API-Key", shopKey, "Authorization", "Bearer " + billingKey}, 401},
		"X-API-Key twice":     {[]string{"X-API-Key", shopKey, "X-API-Key", shopKey}, 401},
		"Authorization twice": {[]string{"X-API-Key", "", "Authorization", "Bearer " + shopKey, "Authorization", "Basic x"}, 401},
		"another scheme":      {[]string{"X-API-Key", "", "Authorization", "Basic " + shopKey}, 401},
		"not valid":           {[]string{"X-API-Key", "let me in"}, 401},
		"valid beside not":    {[]string{"X-API-Key", shopKey, "Authorization", "Bearer let-me-in"}, 401},
		"too often":           {[]string{"X-API-Key", eagerKey}, 429},
	} {
		got := s.do(http.MethodGet, "/databases", "", row.headers...)
		if got.status != row.want {
			t.Errorf("%s: got %d %s, want %d", name, got.status, got.body, row.want)
		}
		if challenged := got.header.Get("WWW-Authenticate") == `Bearer realm="daap"`; challenged != (row.want == 401) {
			t.Errorf("%s: got WWW-Authenticate %q", name, got.header.Get("WWW-Authenticate"))
		}
		if row.want == 429 && got.header.Get("Retry-After") != "2" {
			t.Errorf("%s: got Retry-After %q, want 1.5 s rounded up", name, got.header.Get("Retry-After"))
		}
	}
}

// counting counts how often it is asked.
type counting struct {
	keyring
	asked *atomic.Int32
}

func (c counting) Authenticate(ctx context.Context, presented, address string) (daap.Caller, error) {
	c.asked.Add(1)
	return c.keyring.Authenticate(ctx, presented, address)
}

func TestRequestWithItsKeyInBothHeadersIsAuthenticatedOnce(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	s := start(t, func(cfg *api.Config) { cfg.Authenticator = counting{callers, &asked} })
	s.do(http.MethodGet, "/databases", "", "X-API-Key", shopKey, "Authorization", "Bearer "+shopKey)
	if n := asked.Load(); n != 1 {
		t.Errorf("it was checked %d times", n)
	}
	s.do(http.MethodGet, "/health", "")
	if n := asked.Load(); n != 1 {
		t.Errorf("a request that needs no key was checked %d times", n-1)
	}
}

func TestAuthenticationComesFirst(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, row := range []struct{ method, path, body string }{
		{"GET", "/databases/not-an-id", ""},
		{"GET", "/databases?limit=0", ""},
		{"POST", "/databases", "not JSON"},
		{"POST", "/databases", strings.Repeat("x", 100<<10)},
		{"POST", "/operations/x/retry", ""},
		{"DELETE", "/api-keys/x", ""},
	} {
		if got := s.do(row.method, row.path, row.body, "X-API-Key", "", "Content-Type", "text/plain"); got.status != 401 {
			t.Errorf("%s %s: got %d %s", row.method, row.path, got.status, got.body)
		}
	}
}

func TestContractRequiresAKeyWhereTheTableDoes(t *testing.T) {
	t.Parallel()
	doc, _ := contract()
	rows := make(map[daap.Permission]bool)
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			permission := daap.Permission(op.OperationID)
			rows[permission] = true
			if permission.Access() == daap.AccessNobody {
				t.Errorf("%s %s: %s has no row in the table of accesses", method, path, permission)
			}
			if open := op.Security != nil && len(*op.Security) == 0; open != (permission.Access() == daap.AccessOpen) {
				t.Errorf("%s: the contract says open %t, the table %t", permission, open, !open)
			}
		}
	}
	for _, permission := range daap.Permissions() {
		if !rows[permission] {
			t.Errorf("%s is no operation of the contract", permission)
		}
	}
	if len(doc.Security) == 0 || doc.Components.SecuritySchemes["apiKey"] == nil {
		t.Error("the contract has no security schemes")
	}
}

func TestAddressIsTheClients(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ forwarded, want string }{
		"not forwarded":            {"", "127.0.0.1"},
		"by a proxy":               {"198.51.100.7", "198.51.100.7"},
		"by two":                   {"198.51.100.7, 10.1.2.3", "198.51.100.7"},
		"what the client makes up": {"1.2.3.4, 198.51.100.7", "198.51.100.7"},
		"junk":                     {"unknown", "127.0.0.1"},
		"junk before":              {"junk, 198.51.100.7", "198.51.100.7"},
		"junk by a proxy":          {"1.2.3.4, junk", "127.0.0.1"},
		"with a port":              {"198.51.100.7:4711", "198.51.100.7"},
		"IPv6 with a port":         {"[2001:db8::1]:4711", "2001:db8::1"},
		"from inside":              {"10.1.2.4, 10.1.2.3", "10.1.2.4"},
		"IPv6":                     {"2001:db8::1", "2001:db8::1"},
		"IPv4 in IPv6":             {"::ffff:198.51.100.7", "198.51.100.7"},
	} {
		s := start(t, func(cfg *api.Config) {
			cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
		})
		var headers []string
		if row.forwarded != "" {
			headers = []string{"X-Forwarded-For", row.forwarded}
		}
		s.do(http.MethodGet, "/databases", "", headers...)
		if log := s.store.logged(); log[0].Address != row.want {
			t.Errorf("%s: %q, want %s", name, log[0].Address, row.want)
		}
	}
	s := start(t)
	s.do(http.MethodGet, "/databases", "", "X-Forwarded-For", "198.51.100.7")
	if log := s.store.logged(); log[0].Address != "127.0.0.1" {
		t.Errorf("an untrusted proxy is trusted: %q", log[0].Address)
	}
}

func TestSecretIsShownOnceAndNeverLogged(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	s := start(t, func(cfg *api.Config) { cfg.Log = zap.New(core) })
	const body = `{"name":"deploy","team":"shop","role":"product-team","expires_at":null}`
	made := s.do(http.MethodPost, "/api-keys", body, "Idempotency-Key", "a")
	var first oas.IssuedAPIKeyResponse
	if err := first.UnmarshalJSON(made.body); err != nil || first.Data.Key.Null {
		t.Fatalf("got %s (%v)", made.body, err)
	}
	credential, ok := daap.ParseCredential(first.Data.Key.Value)
	if !ok || credential.KeyID != first.Data.APIKey.ID || !strings.HasPrefix(first.Data.Key.Value, first.Data.APIKey.Prefix+"_") {
		t.Errorf("the key %+v is none", first.Data.APIKey)
	}
	again := s.do(http.MethodPost, "/api-keys", body, "Idempotency-Key", "a")
	var second oas.IssuedAPIKeyResponse
	if err := second.UnmarshalJSON(again.body); err != nil || !second.Data.Key.Null || second.Data.APIKey.ID != first.Data.APIKey.ID {
		t.Errorf("sent again: got %s (%v), want the same without its secret", again.body, err)
	}
	listed := s.do(http.MethodGet, "/api-keys", "")
	rotated := s.do(http.MethodPost, "/api-keys/"+credential.KeyID.String()+"/rotate", `{"overlap_seconds":60}`)
	var other oas.IssuedAPIKeyResponse
	if err := other.UnmarshalJSON(rotated.body); err != nil || other.Data.Key.Value == first.Data.Key.Value {
		t.Errorf("rotated: got %s (%v)", rotated.body, err)
	}
	if made.header.Get("Cache-Control") != "no-store" || rotated.header.Get("Cache-Control") != "no-store" {
		t.Error("an answer with a secret may be cached")
	}
	secret := strings.Split(first.Data.Key.Value, "_")[2]
	var all strings.Builder
	for _, line := range logs.All() {
		text, err := json.Marshal(line.ContextMap())
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	for what, text := range map[string]string{"the log": all.String(), "the list": string(listed.body), "the rotation": string(rotated.body)} {
		if strings.Contains(text, secret) {
			t.Errorf("%s has the secret", what)
		}
	}
	if !strings.Contains(all.String(), callers[platformKey].KeyID.String()) {
		t.Error("the log does not say whose request it was")
	}
}
