package leak_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/daap-dev/daap/dev/leak"
)

const secret = `pa/ss "wörd"+42%`

func searchFor(t *testing.T, values ...string) *leak.Search {
	t.Helper()
	var all leak.Secrets
	for i, value := range values {
		all.Add(fmt.Sprintf("secret %d", i), value)
	}
	return all.Search()
}

func TestSecretIsFoundHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	search := searchFor(t, secret)
	payload := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`{"password": ` + mustJSON(t, secret) + `}`)}
	binary, err := proto.Marshal(&commonpb.Payloads{Payloads: []*commonpb.Payload{payload}})
	if err != nil {
		t.Fatal(err)
	}
	exported, err := protojson.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"as it is":                         "password=" + secret + "\n",
		"alone":                            secret,
		"JSON":                             mustJSON(t, map[string]string{"password": secret}),
		"JSON in JSON's log":               "line " + mustJSON(t, secret),
		"a URL":                            (&url.URL{Scheme: "postgres", User: url.UserPassword("daap", secret), Host: "h"}).String(),
		"a query":                          "https://h/?key=" + url.QueryEscape(secret),
		"a path":                           "https://h/" + url.PathEscape(secret),
		"bytea of a dump":                  `\x` + hex.EncodeToString([]byte("x"+secret)),
		"upper-case hex":                   strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"a Secret's data":                  base64.StdEncoding.EncodeToString([]byte(secret)),
		"basic authentication":             base64.StdEncoding.EncodeToString([]byte("u:" + secret)),
		"base64 of more":                   base64.StdEncoding.EncodeToString([]byte("us:" + secret + "\n...")),
		"base64 for URLs":                  base64.URLEncoding.EncodeToString([]byte("use:" + secret + "?")),
		"a payload in Temporal's database": string(binary),
		"a payload in an exported history": string(exported),
	} {
		if len(search.In([]byte("before "+text+" after"))) == 0 {
			t.Errorf("%s: it is not found in %q", name, text)
		}
	}
}

func mustJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatIsNoSecretIsNotFound(t *testing.T) {
	t.Parallel()
	search := searchFor(t, secret, "short", "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIDr1vyy7aCnGSSKGsCJCPXlWv1sVq2dJ\n-----END EC PRIVATE KEY-----\n")
	for _, text := range []string{
		"", "pa", secret[:len(secret)-1], secret[1:], "short", "-----BEGIN EC PRIVATE KEY-----",
		base64.StdEncoding.EncodeToString([]byte("another text of some length")),
	} {
		if found := search.In([]byte(text)); len(found) > 0 {
			t.Errorf("%v is found in %q", found, text)
		}
	}
	if found := search.In([]byte(`"MHcCAQEEIDr1vyy7aCnGSSKGsCJCPXlWv1sVq2dJ\n"`)); !slices.Equal(found, []string{"secret 2"}) {
		t.Errorf("a line of a key: %v is found", found)
	}
}

// TestSecretIsFoundAcrossReads puts it at each place around the border of what is read together.
func TestSecretIsFoundAcrossReads(t *testing.T) {
	t.Parallel()
	search := searchFor(t, secret)
	for at := 1<<20 - 60; at < 1<<20+120; at += 3 {
		text := append(bytes.Repeat([]byte("."), at), secret...)
		text = append(text, bytes.Repeat([]byte("."), 1000)...)
		if found, err := search.Read(iotest.DataErrReader(bytes.NewReader(text))); err != nil || !slices.Equal(found, []string{"secret 0"}) {
			t.Fatalf("at %d: %v, %v", at, found, err)
		}
	}
	if found, err := search.Read(io.LimitReader(strings.NewReader(secret), 3)); err != nil || len(found) > 0 {
		t.Errorf("%v is found in less (%v)", found, err)
	}
	if _, err := search.Read(iotest.ErrReader(io.ErrClosedPipe)); err == nil {
		t.Error("what cannot be read is searched")
	}
}

func BenchmarkSearch(b *testing.B) {
	var all leak.Secrets
	for i := range 1000 {
		all.Add("secret", fmt.Sprintf("secret-number-%d-%x", i, i*7919))
	}
	search := all.Search()
	text := bytes.Repeat([]byte(`{"level":"info","ts":"2026-01-01T00:00:00Z","msg":"a line of a log"}`+"\n"), 15000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		search.In(text)
	}
}
