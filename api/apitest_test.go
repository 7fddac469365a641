package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/ogen-go/ogen/ogenerrors"
	"go.uber.org/zap"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api"
	"github.com/daap-dev/daap/api/oas"
)

// service is the API on a store in memory. Every answer that comes out of it is held against the contract.
type service struct {
	t      testing.TB
	store  *store
	url    string
	http   *http.Client
	client *oas.Client
}

// backlog is how many operations may wait for their start.
const backlog = 1000

// configOn is the API's configuration on the store, with callers as those who are known.
func configOn(store *store) api.Config {
	return api.Config{
		Databases:     daap.NewDatabases(store, store, store, backlog),
		Operations:    daap.NewOperations(store, store, store, store),
		Tiers:         daap.NewTiers(store, catalog, store),
		Extensions:    daap.NewExtensions(store),
		Orphans:       daap.NewOrphans(store, store),
		APIKeys:       daap.NewAPIKeys(store, fixedHash{}),
		AuditLogs:     daap.NewAuditLogs(store),
		Authenticator: callers,
		Audit:         store,
		Version:       "v1.2.3",
		Log:           zap.NewNop(),
	}
}

// start serves the API until the test ends; each option may change the configuration before.
func start(t testing.TB, options ...func(*api.Config)) *service {
	t.Helper()
	store := newStore(t)
	cfg := configOn(store)
	for _, option := range options {
		option(&cfg)
	}
	server := httptest.NewServer(api.New(cfg))
	t.Cleanup(server.Close)
	s := &service{t: t, store: store, url: server.URL}
	s.http = &http.Client{Transport: contractKeeper{t: t, next: server.Client().Transport}}
	client, err := oas.NewClient(server.URL, platformTeam{}, oas.WithClient(s.http))
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	return s
}

// platformTeam is the source of the platform team's key.
type platformTeam struct{}

func (platformTeam) ApiKey(context.Context, oas.OperationName) (oas.ApiKey, error) {
	return oas.ApiKey{APIKey: platformKey}, nil
}

func (platformTeam) Bearer(context.Context, oas.OperationName) (oas.Bearer, error) {
	return oas.Bearer{}, ogenerrors.ErrSkipClientSecurity
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	oas.ErrorResponse
}

// data is what the answer gives, as JSON.
func (a answer) data(t *testing.T) string {
	t.Helper()
	var envelope struct{ Data json.RawMessage }
	if err := json.Unmarshal(a.body, &envelope); err != nil {
		t.Fatal(err)
	}
	return string(envelope.Data)
}

// do sends a request; the body's Content-Type is JSON and the key the platform team's unless headers, in pairs, say
// otherwise; an empty X-API-Key is left out.
func (s *service) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("X-API-Key", platformKey)
	given := make(http.Header)
	for i := 0; i < len(headers); i += 2 {
		given.Add(headers[i], headers[i+1])
	}
	maps.Copy(req.Header, given)
	if req.Header.Get("X-API-Key") == "" {
		req.Header.Del("X-API-Key")
	}
	res, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, body: raw}
	if res.StatusCode >= http.StatusBadRequest && method != http.MethodHead {
		if err := a.UnmarshalJSON(raw); err != nil {
			s.t.Fatalf("%s %s: %v in %s", method, path, err, raw)
		}
	}
	return a
}

// contractKeeper fails the test for every answer that the contract does not promise.
type contractKeeper struct {
	t    testing.TB
	next http.RoundTripper
}

func (k contractKeeper) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := k.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	_ = res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(body))
	if err := keepsContract(req, res, body); err != nil {
		k.t.Errorf("%s %s answered %d %s\nagainst the contract: %v", req.Method, req.URL, res.StatusCode, body, err)
	}
	return res, nil
}

func keepsContract(req *http.Request, res *http.Response, body []byte) error {
	if res.Header.Get("X-Request-Id") == "" {
		return fmt.Errorf("no X-Request-Id")
	}
	if req.Method == http.MethodHead || res.StatusCode == http.StatusNoContent {
		if len(body) > 0 {
			return fmt.Errorf("it has a body")
		}
		return nil
	}
	if res.StatusCode == http.StatusOK && strings.HasPrefix(res.Header.Get("Content-Type"), "application/x-ndjson") {
		return nil // a line-based body has its own test
	}
	var envelope struct {
		Data, Error json.RawMessage
		Meta        struct {
			RequestID string `json:"request_id"`
		}
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return err
	}
	isDocument := req.URL.Path == "/openapi.json" && res.StatusCode == http.StatusOK
	if !isDocument {
		if envelope.Meta.RequestID != res.Header.Get("X-Request-Id") {
			return fmt.Errorf("meta.request_id is not X-Request-Id")
		}
		if (string(envelope.Data) == "null") == (string(envelope.Error) == "null") {
			return fmt.Errorf("not exactly one of data and error is null")
		}
	}
	if res.StatusCode >= http.StatusBadRequest {
		if err := keepsErrorTable(res.StatusCode, envelope.Error); err != nil {
			return err
		}
	}
	return matchesSchema(req, res, body)
}

func matchesSchema(req *http.Request, res *http.Response, body []byte) error {
	doc, router := contract()
	route, params, err := router.FindRoute(req)
	if err != nil { // the contract has no operation for it: only an error may answer
		if res.StatusCode != http.StatusNotFound && res.StatusCode != http.StatusMethodNotAllowed {
			return fmt.Errorf("no operation of the contract answers this: %w", err)
		}
		var value any
		if err := json.Unmarshal(body, &value); err != nil {
			return err
		}
		return doc.Components.Schemas["ErrorResponse"].Value.VisitJSON(value)
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, Route: route, PathParams: params},
		Status:                 res.StatusCode,
		Header:                 res.Header,
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	return openapi3filter.ValidateResponse(req.Context(), input.SetBodyBytes(body))
}

// keepsErrorTable holds an error against the table in the contract that gives each code its status.
func keepsErrorTable(status int, raw json.RawMessage) error {
	var e struct{ Code string }
	if err := json.Unmarshal(raw, &e); err != nil {
		return err
	}
	if want := documentedStatuses()[e.Code]; want != status {
		return fmt.Errorf("code %s belongs to status %d", e.Code, want)
	}
	return nil
}

var contract = sync.OnceValues(func() (*openapi3.T, routers.Router) {
	doc, err := openapi3.NewLoader().LoadFromData(daap.OpenAPI)
	if err != nil {
		panic(err)
	}
	doc.Servers = nil // the tests' server has an address of its own
	router, err := legacy.NewRouter(doc)
	if err != nil {
		panic(err)
	}
	return doc, router
})

var documentedStatuses = sync.OnceValue(func() map[string]int {
	doc, _ := contract()
	statuses := make(map[string]int)
	table := doc.Components.Schemas["ErrorCode"].Value.Description
	for _, row := range regexp.MustCompile("`(\\w+)` \\| (\\d+) ").FindAllStringSubmatch(table, -1) {
		statuses[row[1]], _ = strconv.Atoi(row[2])
	}
	return statuses
})
