package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/daap-dev/daap/workflows"
)

const uiOrigin = "https://temporal.example.com"

var someKeys = []workflows.CodecKey{{ID: "new", Secret: bytes.Repeat([]byte("n"), 32)}}

// codecServer is one with the keys that a worker has.
func codecServer(t *testing.T, origin string) *httptest.Server {
	t.Helper()
	codec, err := workflows.NewCodec(someKeys)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(codecHandler(codec, origin, zap.NewNop()))
	t.Cleanup(server.Close)
	return server
}

// ask sends a request and returns its status, its headers and its body.
func ask(t *testing.T, method, url, body string, headers ...string) (int, http.Header, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var read bytes.Buffer
	if _, err := read.ReadFrom(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, read.String()
}

// written is what a worker that encrypts gives to Temporal, as the UI sends it to be decoded.
func written(t *testing.T, value any) string {
	t.Helper()
	var options client.Options
	if err := workflows.Encrypt(&options, someKeys); err != nil {
		t.Fatal(err)
	}
	payloads, err := options.DataConverter.ToPayloads(value)
	if err != nil {
		t.Fatal(err)
	}
	body, err := protojson.Marshal(payloads)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestCodecServerDecryptsAWorkersPayloads(t *testing.T) {
	t.Parallel()
	server := codecServer(t, uiOrigin)
	for name, headers := range map[string][]string{"the CLI": nil, "the UI": {"Origin", uiOrigin}} {
		headers = append(headers, "Content-Type", "application/json")
		status, _, body := ask(t, http.MethodPost, server.URL+"/decode", written(t, "0190a0a0"), headers...)
		var decoded commonpb.Payloads
		if status != http.StatusOK || protojson.Unmarshal([]byte(body), &decoded) != nil {
			t.Fatalf("%s: %d %s", name, status, body)
		}
		var value string
		if err := converter.GetDefaultDataConverter().FromPayloads(&decoded, &value); err != nil || value != "0190a0a0" {
			t.Errorf("%s: it reads %q (%v)", name, value, err)
		}
	}
}

// TestCodecServerIsARemoteCodec: the CLI sends its input encoded.
func TestCodecServerIsARemoteCodec(t *testing.T) {
	t.Parallel()
	remote := converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{Endpoint: codecServer(t, "").URL})
	plain := []*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"0190a0a0"`)}}
	sealed, err := remote.Encode(plain)
	if err != nil || bytes.Contains(sealed[0].GetData(), []byte("0190a0a0")) {
		t.Fatalf("encode: %v, %v", sealed, err)
	}
	if opened, err := remote.Decode(sealed); err != nil || !proto.Equal(opened[0], plain[0]) {
		t.Errorf("decode: %v, %v", opened, err)
	}
}

func TestCodecServerRefuses(t *testing.T) {
	t.Parallel()
	body := written(t, "0190a0a0")
	const json = "application/json"
	for name, tt := range map[string]struct {
		origin, method, path, body string
		headers                    []string
		want                       int
	}{
		"another page":               {uiOrigin, "POST", "/decode", body, []string{"Origin", "https://evil.example", "Content-Type", json}, 403},
		"a page that is asking":      {uiOrigin, "OPTIONS", "/decode", "", []string{"Origin", "https://evil.example"}, 403},
		"a page of its own address":  {uiOrigin, "POST", "/decode", body, []string{"Origin", "http://127.0.0.1:8234", "Content-Type", json}, 403},
		"a page that hides":          {uiOrigin, "POST", "/decode", body, []string{"Origin", "null", "Content-Type", json}, 403},
		"any page, without a UI":     {"", "POST", "/decode", body, []string{"Origin", uiOrigin, "Content-Type", json}, 403},
		"what a page sends unasked":  {uiOrigin, "POST", "/decode", body, []string{"Content-Type", "text/plain"}, 415},
		"no type":                    {uiOrigin, "POST", "/decode", body, nil, 415},
		"reading by GET":             {uiOrigin, "GET", "/decode", "", nil, 404},
		"another path":               {uiOrigin, "POST", "/", body, []string{"Content-Type", json}, 404},
		"more than Temporal answers": {uiOrigin, "POST", "/decode", strings.Repeat("x", maxCodecBody+1), []string{"Content-Type", json}, 400},
		"what another key encrypted": {uiOrigin, "POST", "/decode", strings.Replace(body, "bmV3", "b2xk", 1), []string{"Content-Type", json}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, headers, answer := ask(t, tt.method, codecServer(t, tt.origin).URL+tt.path, tt.body, tt.headers...)
			if status != tt.want || strings.Contains(answer, "0190a0a0") {
				t.Errorf("it answers %d %s, want %d", status, answer, tt.want)
			}
			if tt.want == http.StatusForbidden && headers.Get("Access-Control-Allow-Origin") != "" {
				t.Error("it lets the page read the answer")
			}
			if name == "what another key encrypted" && !strings.Contains(answer, `"old"`) {
				t.Errorf("it answers %s, want the key's ID", answer)
			}
		})
	}
}

func TestCodecServerAllowsTheUI(t *testing.T) {
	t.Parallel()
	status, headers, _ := ask(t, http.MethodOptions, codecServer(t, uiOrigin).URL+"/decode", "", "Origin", uiOrigin,
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,x-namespace")
	if status != http.StatusNoContent || headers.Get("Access-Control-Allow-Origin") != uiOrigin ||
		!strings.Contains(headers.Get("Access-Control-Allow-Headers"), "X-Namespace") || headers.Get("Vary") != "Origin" {
		t.Errorf("it answers %d with %v", status, headers)
	}
}
