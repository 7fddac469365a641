package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/daap-dev/daap/workflows"
)

const temporalKey = "canary-of-the-api-key"

// authority is a CA, and what it signed for this machine.
type authority struct {
	pool      *x509.CertPool
	ca        []byte
	cert, key []byte
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	signed := func(template *x509.Certificate, key *ecdsa.PrivateKey) []byte {
		der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{
		pool: x509.NewCertPool(), ca: signed(ca, caKey), key: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}),
		cert: signed(&x509.Certificate{
			SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}, key),
	}
	a.pool.AppendCertsFromPEM(a.ca)
	return a
}

// call is what a frontend was asked, by whom.
type call struct {
	method, authorization string
	certified             bool
}

// frontend is a Temporal that requires a client certificate and answers only health checks.
type frontend struct {
	address string
	mu      sync.Mutex
	calls   []call
}

func newFrontend(t *testing.T, servers, clients authority) *frontend {
	t.Helper()
	pair, err := tls.X509KeyPair(servers.cert, servers.key)
	if err != nil {
		t.Fatal(err)
	}
	f := &frontend{}
	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients.pool, MinVersion: tls.VersionTLS12,
		})),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			f.took(ctx, info.FullMethod)
			return next(ctx, req)
		}),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			method, _ := grpc.MethodFromServerStream(stream)
			f.took(stream.Context(), method)
			return status.Error(codes.Unimplemented, "not implemented here")
		}))
	well := health.NewServer()
	well.SetServingStatus("temporal.api.workflowservice.v1.WorkflowService", healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(server, well)
	f.address = serve(t, func(l net.Listener) { _ = server.Serve(l) }, server.Stop)
	return f
}

func serve(t *testing.T, run func(net.Listener), stop func()) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() { defer close(over); run(listener) }()
	t.Cleanup(func() { stop(); _ = listener.Close(); <-over })
	return listener.Addr().String()
}

func (f *frontend) took(ctx context.Context, method string) {
	c := call{method: method}
	if header, ok := metadata.FromIncomingContext(ctx); ok {
		c.authorization = strings.Join(header.Get("authorization"), ",")
	}
	if from, ok := peer.FromContext(ctx); ok {
		if secured, ok := from.AuthInfo.(credentials.TLSInfo); ok {
			c.certified = len(secured.State.VerifiedChains) > 0
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, c)
}

func (f *frontend) taken() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// reach asks Temporal what api, worker and migrate ask of it first, each with the client that every process makes, and
// returns what the probe of /health says.
func reach(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	temporal, namespace, err := service{log: zap.NewNop()}.temporal()
	if err != nil {
		t.Fatal(err)
	}
	defer temporal.Close()
	probed := temporalProbe(temporal)(ctx)
	if probed == nil {
		quiet := func(error) {}
		_ = workflows.Check(ctx, temporal, namespace, quiet)   // the frontend supports none of these;
		_ = workflows.Prepare(ctx, temporal, namespace, quiet) // it records the calls
	}
	return probed
}

func setTemporal(t *testing.T, address string, servers, client authority) {
	t.Helper()
	t.Setenv("TEMPORAL_ADDRESS", address)
	t.Setenv("TEMPORAL_API_KEY", temporalKey)
	t.Setenv("TEMPORAL_TLS_SERVER_CA_CERT_DATA", string(servers.ca))
	t.Setenv("TEMPORAL_TLS_CLIENT_CERT_DATA", string(client.cert))
	t.Setenv("TEMPORAL_TLS_CLIENT_KEY_DATA", string(client.key))
}

func TestTemporalClientUsesCertificateAndAPIKey(t *testing.T) { //nolint:paralleltest // the environment is the process's
	servers, clients := newAuthority(t), newAuthority(t)
	f := newFrontend(t, servers, clients)
	setTemporal(t, f.address, servers, clients)
	if err := reach(t); err != nil {
		t.Fatalf("the probe says %v", err)
	}
	var methods []string
	for _, c := range f.taken() {
		methods = append(methods, c.method[strings.LastIndex(c.method, "/")+1:])
		if !c.certified || c.authorization != "Bearer "+temporalKey {
			t.Errorf("%s came with a certificate: %t, with the key: %t", c.method, c.certified, c.authorization != "")
		}
	}
	for _, want := range []string{"Check", "ListSearchAttributes", "RegisterNamespace"} {
		if !slices.Contains(methods, want) {
			t.Errorf("%s was not asked, only %v", want, methods)
		}
	}
}

func TestUntrustedTemporalIsRefused(t *testing.T) { //nolint:paralleltest // the environment is the process's
	servers, clients, strangers := newAuthority(t), newAuthority(t), newAuthority(t)
	for name, tt := range map[string]struct {
		servers, client authority
		unset           bool
	}{
		"a CA that did not sign it":         {servers: strangers, client: clients},
		"a certificate that it cannot know": {servers: servers, client: strangers},
		"no CA, no certificate":             {unset: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFrontend(t, servers, clients)
			setTemporal(t, f.address, tt.servers, tt.client)
			if tt.unset {
				for _, variable := range []string{"SERVER_CA_CERT", "CLIENT_CERT", "CLIENT_KEY"} {
					t.Setenv("TEMPORAL_TLS_"+variable+"_DATA", "")
				}
			}
			if err := reach(t); err == nil {
				t.Error("the probe reports it as healthy")
			}
			if calls := f.taken(); len(calls) > 0 {
				t.Errorf("it was asked %v", calls)
			}
		})
	}
}

// TestTemporalIsNotCalledInPlainText has a listener that knows no TLS: what it gets must be the beginning of TLS, also at
// the second try, and never the key.
func TestTemporalIsNotCalledInPlainText(t *testing.T) { //nolint:paralleltest // the environment is the process's
	var mu sync.Mutex
	var got [][]byte
	address := serve(t, func(l net.Listener) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			first := make([]byte, 4096)
			n, _ := io.ReadAtLeast(conn, first, 1)
			mu.Lock()
			got = append(got, first[:n])
			mu.Unlock()
			_ = conn.Close()
		}
	}, func() {})
	t.Setenv("TEMPORAL_ADDRESS", address)
	t.Setenv("TEMPORAL_API_KEY", temporalKey)
	if err := reach(t); err == nil {
		t.Error("the probe reports it as healthy")
	}
	mu.Lock()
	defer mu.Unlock()
	const handshake = 0x16
	if len(got) == 0 {
		t.Fatal("no connection")
	}
	for _, first := range got {
		if len(first) == 0 || first[0] != handshake || bytes.Contains(first, []byte(temporalKey)) {
			t.Errorf("it got %d bytes in the clear", len(first))
		}
	}
}
