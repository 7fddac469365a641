package objectstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/net/dns/dnsmessage"
)

func TestAddressesOfTheMachineAndItsCloudAreNotDialed(t *testing.T) {
	t.Parallel()
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}
	tests := map[string]struct {
		dialed  string
		allowed []netip.Prefix
		want    string // a part of the error; empty if it is dialed
	}{
		"loopback":                     {dialed: "127.0.0.1:9000", want: "loopback"},
		"loopback's other end":         {dialed: "127.255.255.254:9000", want: "loopback"},
		"loopback of IPv6":             {dialed: "[::1]:9000", want: "loopback"},
		"loopback, mapped":             {dialed: "[::ffff:127.0.0.1]:9000", want: "loopback"},
		"loopback by NAT64":            {dialed: "[64:ff9b::7f00:1]:9000", want: "loopback"},
		"loopback, IPv4-compatible":    {dialed: "[::127.0.0.1]:9000", want: "unspecified"},
		"unspecified":                  {dialed: "0.0.0.0:9000", want: "unspecified"},
		"unspecified of IPv6":          {dialed: "[::]:9000", want: "unspecified"},
		"unspecified, mapped":          {dialed: "[::ffff:0.0.0.0]:9000", want: "unspecified"},
		"link-local":                   {dialed: "169.254.1.1:80", want: "link-local"},
		"link-local of IPv6, its zone": {dialed: "[fe80::1%eth0]:80", want: "link-local"},
		"link-local of IPv6":           {dialed: "[febf::1]:80", want: "link-local"},
		"metadata":                     {dialed: "169.254.169.254:80", want: "metadata"},
		"metadata, mapped":             {dialed: "[::ffff:169.254.169.254]:80", want: "metadata"},
		"metadata by NAT64":            {dialed: "[64:ff9b::a9fe:a9fe]:80", want: "metadata"},
		"metadata, AWS by IPv6":        {dialed: "[fd00:ec2::254]:80", want: "metadata"},
		"metadata, AWS with a zone":    {dialed: "[fd00:ec2::254%1]:80", want: "metadata"},
		"metadata, Google by IPv6":     {dialed: "[fd20:ce::254]:80", want: "metadata"},
		"metadata, Alibaba":            {dialed: "100.100.100.200:80", want: "metadata"},
		"metadata, Oracle":             {dialed: "192.0.0.192:80", want: "metadata"},
		"metadata, Azure":              {dialed: "168.63.129.16:80", want: "metadata"},
		"multicast":                    {dialed: "224.0.0.1:80", want: "multicast"},
		"multicast of IPv6":            {dialed: "[ff02::1]:80", want: "multicast"},
		"broadcast":                    {dialed: "255.255.255.255:80", want: "broadcast"},
		"not an address":               {dialed: "somewhere", want: "not an address"},

		"public":                          {dialed: "198.51.100.7:443"},
		"public by IPv6":                  {dialed: "[2001:db8::1]:443"},
		"public by NAT64":                 {dialed: "[64:ff9b::c633:6407]:443"},
		"private":                         {dialed: "10.200.0.1:9000"},
		"private, of Docker":              {dialed: "172.30.42.12:9000"},
		"private, at home":                {dialed: "192.168.1.1:9000"},
		"unique local of IPv6":            {dialed: "[fd00::1]:9000"},
		"shared":                          {dialed: "100.64.0.1:9000"},
		"allowed loopback":                {dialed: "127.0.0.1:9000", allowed: local},
		"allowed loopback, mapped":        {dialed: "[::ffff:127.0.0.1]:9000", allowed: local},
		"allowed link-local, with a zone": {dialed: "[fe80::1%eth0]:9000", allowed: local},
		"metadata, loopback allowed":      {dialed: "169.254.169.254:80", allowed: local, want: "metadata"},
		"IPv6's loopback, not allowed":    {dialed: "[::1]:9000", allowed: local, want: "loopback"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := DialGuard{Allowed: tt.allowed}.check("s3.example:9000", tt.dialed)
			if tt.want == "" && err != nil {
				t.Errorf("check(%s) = %v, want it dialed", tt.dialed, err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("check(%s) = %v, want it refused as %s", tt.dialed, err, tt.want)
			}
		})
	}
}

// names is a resolver that returns the current result of the function as a name's addresses.
func names(t *testing.T, addresses func() []string) *net.Resolver {
	t.Helper()
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer func() { _ = server.Close() }()
			for answerName(server, addresses) == nil {
			}
		}()
		return client, nil
	}}
}

// answerName answers one DNS question over a stream.
func answerName(conn io.ReadWriter, addresses func() []string) error {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	asked := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, asked); err != nil {
		return err
	}
	var message dnsmessage.Message
	if err := message.Unpack(asked); err != nil {
		return err
	}
	message.Response, message.RecursionAvailable = true, true
	message.Additionals = nil
	if question := message.Questions[0]; question.Type == dnsmessage.TypeA {
		for _, address := range addresses() {
			message.Answers = append(message.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class},
				Body:   &dnsmessage.AResource{A: netip.MustParseAddr(address).As4()},
			})
		}
	}
	answer, err := message.Pack()
	if err != nil {
		return err
	}
	_, err = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	return err
}

// listening serves at the address, and counts the requests.
func listening(t *testing.T, address string) (at string, asked *atomic.Int32) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int32)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return listener.Addr().String(), asked
}

func TestNameIsCheckedEachTimeItResolves(t *testing.T) {
	t.Parallel()
	inside, askedInside := listening(t, "127.0.0.1:0")
	_, port, err := net.SplitHostPort(inside)
	if err != nil {
		t.Fatal(err)
	}
	_, askedOutside := listening(t, "127.0.0.2:"+port)
	addresses := []string{"127.0.0.2"}
	guard := DialGuard{
		Allowed:  []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, // represents addresses outside
		Resolver: names(t, func() []string { return addresses }),
	}
	transport, err := guard.Transport(false)
	if err != nil {
		t.Fatal(err)
	}
	transport.DisableKeepAlives = true
	get := func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://s3.example:"+port, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := transport.RoundTrip(req)
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}
	if err := get(); err != nil || askedOutside.Load() != 1 {
		t.Fatalf("the first address is outside: %v, %d requests there, want one", err, askedOutside.Load())
	}
	addresses = []string{"127.0.0.1"}
	err = get()
	want := fmt.Sprintf("s3.example:%s resolves to 127.0.0.1, a loopback address, which is refused unless DAAP_S3_ALLOW contains "+
		"its network", port)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the second address is inside: %v, want %q", err, want)
	}
	addresses = []string{"127.0.0.1", "127.0.0.2"}
	if err := get(); err != nil || askedOutside.Load() != 2 {
		t.Errorf("one of two addresses is inside: %v, %d requests outside, want two", err, askedOutside.Load())
	}
	if n := askedInside.Load(); n != 0 {
		t.Errorf("%d requests arrived inside", n)
	}
}

// guardedStore is a client of the store at the address, like a worker's.
func guardedStore(t *testing.T, guard DialGuard, address string) *Store {
	t.Helper()
	transport, err := guard.Transport(false)
	if err != nil {
		t.Fatal(err)
	}
	client, err := minio.New(address, &minio.Options{
		Creds: credentials.NewStaticV4("access", "secret", ""), Transport: transport, MaxRetries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &Store{Client: client}
}

// probe returns the text of the error of a store that cannot be used.
func probe(t *testing.T, store *Store) string {
	t.Helper()
	err := store.Probe(t.Context(), "s3://backups/team")
	if err == nil {
		t.Fatal("Probe() = nil, want an error")
	}
	return err.Error()
}

func TestProbeSaysWhichAddressIsNotDialed(t *testing.T) {
	t.Parallel()
	at, asked := listening(t, "127.0.0.1:0")
	refused := probe(t, guardedStore(t, DialGuard{}, at))
	if !strings.Contains(refused, at+" resolves to 127.0.0.1, a loopback address") || !strings.Contains(refused, "DAAP_S3_ALLOW") {
		t.Errorf("Probe() is refused with %q", refused)
	}
	if asked.Load() != 0 {
		t.Error("the store received a request")
	}
}

func TestProxyOfTheEnvironmentIsNotUsed(t *testing.T) {
	t.Parallel()
	transport, err := DialGuard{}.Transport(true)
	if err != nil {
		t.Fatal(err)
	}
	// http.ProxyFromEnvironment reads the variables once per process, so the test checks only that nothing calls it.
	if transport.Proxy != nil {
		t.Error("the transport has a proxy")
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere, asked := listening(t, "127.0.0.1:0")
	for _, status := range []int{
		http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect,
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://"+elsewhere+r.URL.Path, status)
			}))
			t.Cleanup(server.Close)
			guard := DialGuard{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
			refused := probe(t, guardedStore(t, guard, strings.TrimPrefix(server.URL, "http://")))
			if refused == "" || asked.Load() != 0 {
				t.Errorf("Probe() is refused with %q, after %d requests to the target", refused, asked.Load())
			}
		})
	}
}
