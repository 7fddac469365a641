package api_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api"
)

// raw is the API as a process serves it, for requests that no client would send. Its log is written as a process does.
type raw struct {
	t       *testing.T
	store   *store
	address string
	log     *bytes.Buffer
	server  *http.Server
}

func startRaw(t *testing.T) *raw {
	t.Helper()
	var log bytes.Buffer
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	logger := zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(&log)), zap.DebugLevel))
	store := newStore(t)
	store.PutDatabase(daap.Database{ID: existing, Name: "orders", OwnerTeam: "shop", Status: daap.DatabaseReady})
	cfg := configOn(store)
	cfg.Log, cfg.TrustedProxies = logger, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(api.New(cfg), logger)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return &raw{t, store, listener.Addr().String(), &log, server}
}

// came is an answer.
type came struct {
	status int
	header http.Header
	body   []byte
}

// send sends a request as it stands and returns what comes back; of status 0 where nothing does.
func (r *raw) send(request string) came {
	r.t.Helper()
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(r.t.Context(), "tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	_, _ = io.WriteString(conn, request) // one that is refused early is not read to its end
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return came{}
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return came{res.StatusCode, res.Header, body}
}

// ask is a request to the target with lines of headers.
func ask(method, target string, headers ...string) string {
	lines := append([]string{
		method + " " + target + " HTTP/1.1", "Host: a", "Connection: close", "X-API-Key: " + platformKey,
	}, headers...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func TestTricksWithPathsReachNothing(t *testing.T) {
	t.Parallel()
	r := startRaw(t)
	id := existing.String()
	for _, target := range []string{
		"//databases", "/databases/", "/databases//", "//databases/" + id, "/databases//" + id, "/databases/" + id + "/", "/./databases",
		"/health/../databases", "/databases/../health", "/databases/..;/health", "/databases;a=b", "/databases/" + id + ";a=b",
		"/databases%00", "/databases/" + id + "%00", "/databases/" + id + "%20", "/databases/" + id + "%0d%0aX-Bad:%20yes",
		"/databases%2f" + id, "/databases/%2e%2e%2fhealth", "/databases/..%2fhealth", "/databases/%252e%252e/health", "/databases/" + id + "%2fconnection",
		"/databases/" + id + "/connection/../events", "/databases/" + id + "/connection%2f..", "/databases/" + id + "/.", "/databases/" + id + "/..",
		"/DATABASES", "/databases.json", "/databases/" + strings.ToUpper("urn:uuid:"+id) + "x", "/databases\\" + id, "/databases/*", "/.git/config",
		"/openapi.yaml", "/metrics", "/debug/pprof/", "/databases/" + id + "/" + strings.Repeat("a/", 2000), "/" + strings.Repeat("a", 12<<10),
		"/databases/%ff", "/databases/%", "/databases/%zz", "/data\x00bases", "/databases/\xff",
	} {
		got := r.send(ask(http.MethodGet, target))
		if got.status != http.StatusNotFound && got.status != http.StatusBadRequest || len(got.body) > 1<<10 ||
			got.header.Get("X-Bad") != "" || got.header.Get("Location") != "" {
			t.Errorf("%.80q is answered with %d %v %.300s", target, got.status, got.header, got.body)
		}
		r.send(ask(http.MethodDelete, target))
	}
	if r.store.database(existing).Status != daap.DatabaseReady || len(r.store.operations()) != 0 {
		t.Error("a path that is none changed something")
	}
}

func TestUnknownHeadersDoNothing(t *testing.T) {
	t.Parallel()
	r := startRaw(t)
	create := func(headers ...string) string {
		body := `{"name":"carts","owner_team":"shop","tier":"small"}`
		return ask(http.MethodPost, "/databases", append(headers, "Content-Type: application/json",
			fmt.Sprintf("Content-Length: %d", len(body)))...) + body
	}
	for name, row := range map[string]struct {
		request string
		want    int // 0 is no answer, or 400
	}{
		"a line break in X-Request-Id":    {ask(http.MethodGet, "/databases", "X-Request-Id: a\rX-Bad: yes"), 0},
		"NUL in X-Request-Id":             {ask(http.MethodGet, "/databases", "X-Request-Id: a\x00"), 0},
		"a folded header":                 {ask(http.MethodGet, "/databases", "X-Request-Id: a\r\n X-Bad: yes"), http.StatusOK},
		"a line break in Idempotency-Key": {create("Idempotency-Key: a\rX-Bad: yes"), 0},
		"NUL in Idempotency-Key":          {create("Idempotency-Key: a\x00b"), 0},
		"a long Idempotency-Key":          {create("Idempotency-Key: " + strings.Repeat("a", 256)), http.StatusUnprocessableEntity},
		"Idempotency-Key beyond ASCII":    {create("Idempotency-Key: \xc3\xa9"), http.StatusUnprocessableEntity},
		"two Idempotency-Keys":            {create("Idempotency-Key: a", "Idempotency-Key: b"), http.StatusUnprocessableEntity},
		"two lengths":                     {create("Content-Length: 7"), 0},
		"a length below nothing":          {ask(http.MethodPost, "/databases", "Content-Length: -1"), 0},
		"a strange encoding":              {ask(http.MethodPost, "/databases", "Transfer-Encoding: gzip"), http.StatusNotImplemented},
		"a method in a header":            {ask(http.MethodGet, "/databases/"+existing.String(), "X-HTTP-Method-Override: DELETE"), http.StatusOK},
		"a method in a query":             {ask(http.MethodGet, "/databases/"+existing.String()+"?_method=DELETE"), http.StatusUnprocessableEntity},
		"a path in a header":              {ask(http.MethodGet, "/nowhere", "X-Original-URL: /databases", "X-Rewrite-URL: /databases"), http.StatusNotFound},
		"another host":                    {strings.Replace(ask(http.MethodGet, "/databases"), "Host: a", "Host: evil.example/../", 1), 0},
		"no host":                         {strings.Replace(ask(http.MethodGet, "/databases"), "Host: a\r\n", "", 1), 0},
		"CONNECT":                         {ask("CONNECT", "169.254.169.254:80"), http.StatusNotFound},
		"TRACE":                           {ask("TRACE", "/databases"), http.StatusMethodNotAllowed},
		"no method":                       {ask("GE\x00T", "/databases"), 0},
	} {
		got := r.send(row.request)
		isNone := row.want == 0 && (got.status == 0 || got.status == http.StatusBadRequest)
		if !isNone && got.status != row.want || got.header.Get("X-Bad") != "" {
			t.Errorf("%s: %d %v %s, want %d", name, got.status, got.header, got.body, row.want)
		}
	}
	if r.store.database(existing).Status != daap.DatabaseReady || len(r.store.databases()) != 1 {
		t.Error("a refused request changed something")
	}
}

func TestForgedAddressIsNotAudited(t *testing.T) {
	t.Parallel()
	r := startRaw(t)
	for _, forwarded := range []string{
		"<script>", "192.0.2.1\t{}", "192.0.2.1:99999", "999.1.1.1", "::ffff:192.0.2.1%eth0", "fe80::1%\x7f", strings.Repeat("1", 8<<10), "\xff", ",,,",
	} {
		r.send(ask(http.MethodGet, "/databases/"+existing.String(), "X-Forwarded-For: "+forwarded))
	}
	_ = r.server.Shutdown(t.Context())
	for _, entry := range r.store.log() {
		if _, err := netip.ParseAddr(entry.Address); err != nil {
			t.Errorf("an entry is from %q", entry.Address)
		}
	}
	if len(r.store.log()) == 0 {
		t.Error("there is no entry at all")
	}
}

func TestLogLineIsJSONWhateverTheRequest(t *testing.T) {
	t.Parallel()
	r := startRaw(t)
	many := []string{
		"/%0a%7b%22level%22%3a%22error%22%7d", "/%1b%5b31mred", "/%e2%80%ae", "/%00", "/%ff%fe", "/\"},{\"", "/" + strings.Repeat("a", 10<<10), "/%e2%80%a8x",
	}
	for _, target := range many {
		r.send(ask(http.MethodGet, target, "User-Agent: a\"}\t{", "X-Request-Id: a\"}", "X-Forwarded-For: \"}", "Referer: \xc2\x9b31m"))
	}
	_ = r.server.Shutdown(t.Context())
	requests := 0
	for line := range strings.Lines(r.log.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("%q is no JSON: %v", line, err)
		}
		if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return !unicode.IsPrint(r) && r != unicode.ReplacementChar }) {
			t.Errorf("%q has what cannot be printed", line)
		}
		if len(line) > 1<<10 {
			t.Errorf("%.80q… has %d bytes", line, len(line))
		}
		if entry["msg"] == "request" {
			requests++
		}
	}
	if requests == 0 || requests > len(many) {
		t.Errorf("%d requests are in the log, of %d", requests, len(many))
	}
}

func TestMislabeledBodyIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	var bomb bytes.Buffer
	packed := gzip.NewWriter(&bomb)
	_, _ = packed.Write([]byte(`{"name":"orders","tier":"small","description":"` + strings.Repeat("a", 10<<20) + `"}`))
	_ = packed.Close()
	for name, row := range map[string]struct {
		body    string
		headers []string
		want    int
	}{
		"packed":            {bomb.String(), []string{"Content-Encoding", "gzip"}, http.StatusBadRequest},
		"UTF-16":            {"\xff\xfe{\x00}\x00", nil, http.StatusBadRequest},
		"UTF-7 by its type": {`+AHs-}`, []string{"Content-Type", "application/json; charset=utf-7"}, http.StatusBadRequest},
		"nested arrays":     {`{"labels":{"a":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}}`, nil, http.StatusBadRequest},
		"nested objects":    {`{"a":` + strings.Repeat(`{"a":`, 9000) + `1` + strings.Repeat(`}`, 9000) + `}`, nil, http.StatusBadRequest},
		"nested, just":      {`{"a":` + strings.Repeat(`[`, 15) + strings.Repeat(`]`, 15) + `}`, nil, http.StatusUnprocessableEntity},
		"nested too deep":   {`{"a":` + strings.Repeat(`[`, 16) + strings.Repeat(`]`, 16) + `}`, nil, http.StatusBadRequest},
		"keys by thousands": {`{` + strings.Repeat(`"a":1,`, 9000) + `"a":1}`, nil, http.StatusUnprocessableEntity},
		"NUL after it":      {`{"name":"orders","tier":"small"}` + "\x00", nil, http.StatusBadRequest},
		"a key of controls": {`{"\u0000\u001b\u009b\u202e":1,"name":"orders","tier":"small"}`, nil, http.StatusUnprocessableEntity},
		"a prototype":       {`{"__proto__":{"role":"platform-team"},"name":"orders","tier":"small"}`, nil, http.StatusUnprocessableEntity},
	} {
		got := s.do(http.MethodPost, "/databases", row.body, row.headers...)
		if got.status != row.want {
			t.Errorf("%s: %d %.300s, want %d", name, got.status, got.body, row.want)
		}
		if len(got.body) > 2<<10 || bytes.ContainsFunc(got.body, func(r rune) bool {
			return !unicode.IsPrint(r) && r != unicode.ReplacementChar
		}) {
			t.Errorf("%s is answered with %q", name, got.body)
		}
	}
	if len(s.store.databases()) != 0 {
		t.Error("a refused request changed something")
	}
}

// TestEndlessBodyIsCutOff sends more and more; the service must answer after the 64 KiB that it reads.
func TestEndlessBodyIsCutOff(t *testing.T) {
	t.Parallel()
	_, handler := bare(t)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	endless := io.MultiReader(strings.NewReader(`{"description":"`), repeated{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/databases", endless)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-API-Key", platformKey)
	res, err := server.Client().Do(req)
	if err != nil {
		t.Fatalf("it is not answered: %v", err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d", res.StatusCode)
	}
}

// repeated is text without an end.
type repeated struct{}

func (repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

func TestServersBoundsAreSet(t *testing.T) {
	t.Parallel()
	s := api.NewServer(http.NotFoundHandler(), zap.NewNop())
	for name, is := range map[string]time.Duration{
		"ReadHeaderTimeout": s.ReadHeaderTimeout, "ReadTimeout": s.ReadTimeout, "WriteTimeout": s.WriteTimeout, "IdleTimeout": s.IdleTimeout,
	} {
		if is <= 0 || is > 2*time.Minute {
			t.Errorf("%s is %s", name, is)
		}
	}
	if s.MaxHeaderBytes <= 0 || s.MaxHeaderBytes > 16<<10 {
		t.Errorf("MaxHeaderBytes is %d", s.MaxHeaderBytes)
	}
}
