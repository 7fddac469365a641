//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// TestConnectionsAreEncryptedAndVerified tries each endpoint of a database with psql and with a client in Go.
func TestConnectionsAreEncryptedAndVerified(t *testing.T) {
	id := parallelOn(t, sharedPlain)
	ctx := t.Context()
	conn, err := stack.API.GetDatabaseConnection(ctx, oas.GetDatabaseConnectionParams{ID: id})
	if err != nil {
		t.Fatalf("connection: %v", err)
	}
	for name, tt := range map[string]struct {
		endpoint oas.Endpoint
		// plaintext and old are what it says to a client without TLS, and to one of TLS 1.2.
		plaintext, old string
	}{
		"pooled": {conn.Data.Pooled, "SSL required", "handshake failure"},
		"direct": {conn.Data.Direct, "no encryption", "protocol version not supported"},
	} {
		psql, err := stack.Psql(ctx, conn.Data, tt.endpoint, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name+" with psql", func(t *testing.T) { verifiesWithPsql(t, psql, tt.plaintext) })
		t.Run(name+" in Go", func(t *testing.T) { verifiesInGo(t, psql, conn.Data.CaCertificate, tt.plaintext, tt.old) })
		t.Run(name+" has all names", func(t *testing.T) { hasAllNames(t, psql, conn.Data.CaCertificate, id) })
	}
}

func verifiesWithPsql(t *testing.T, psql local.Psql, plaintext string) {
	t.Helper()
	got, err := psql.Run(t.Context(), "SELECT 42")
	if err != nil || got != "42" {
		t.Errorf("verify-full: %q, %v, want 42", got, err)
	}
	for name, refusal := range map[string]struct {
		change func(*local.Psql)
		says   string
	}{
		"wrong CA":   {func(p *local.Psql) { p.CAFile = inFile(t, strangersCA(t)) }, "certificate verify failed"},
		"wrong host": {func(p *local.Psql) { p.Host = "elsewhere.example" }, "does not match host name"},
		"plaintext":  {func(p *local.Psql) { p.SSLMode, p.CAFile = "disable", "" }, plaintext},
	} {
		changed := psql
		refusal.change(&changed)
		if out, err := changed.Run(t.Context(), "SELECT 1"); err == nil || !strings.Contains(err.Error(), refusal.says) {
			t.Errorf("%s: %q, %v, want an error with %q", name, out, err, refusal.says)
		}
	}
}

func verifiesInGo(t *testing.T, psql local.Psql, ca, plaintext, old string) {
	t.Helper()
	ctx := t.Context()
	state, err := handshake(ctx, psql, verifying(ca, psql.Host))
	if err != nil || state.Version != tls.VersionTLS13 {
		t.Errorf("verify-full: %s, %v, want TLS 1.3", tls.VersionName(state.Version), err)
	}
	for name, refusal := range map[string]struct {
		config *tls.Config
		says   string
	}{
		"wrong CA":   {verifying(strangersCA(t), psql.Host), "signed by unknown authority"},
		"wrong host": {verifying(ca, "elsewhere.example"), "not elsewhere.example"},
		"plaintext":  {nil, plaintext},
		"TLS 1.2":    {atMost(tls.VersionTLS12, verifying(ca, psql.Host)), "remote error: tls: " + old},
		"TLS 1.1":    {atMost(tls.VersionTLS11, verifying(ca, psql.Host)), "remote error: tls: protocol version not supported"},
	} {
		if _, err := handshake(ctx, psql, refusal.config); err == nil || !strings.Contains(err.Error(), refusal.says) {
			t.Errorf("%s: %v, want an error with %q", name, err, refusal.says)
		}
	}
}

// hasAllNames fails the test unless the certificate has each name by which a client in Kubernetes may call a Service.
func hasAllNames(t *testing.T, psql local.Psql, ca string, id uuid.UUID) {
	t.Helper()
	for _, service := range []string{daap.PrimaryService, daap.PoolerService} {
		in := service + "." + daap.Namespace(id)
		for _, name := range []string{service, in, in + ".svc", in + ".svc.cluster.local"} {
			if _, err := handshake(t.Context(), psql, verifying(ca, name)); err != nil {
				t.Errorf("as %s: %v", name, err)
			}
		}
	}
}

// handshake connects, runs a query and returns what TLS was agreed on.
func handshake(ctx context.Context, psql local.Psql, config *tls.Config) (tls.ConnectionState, error) {
	conn, err := psql.Connect(ctx, config)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := conn.Ping(ctx); err != nil {
		return tls.ConnectionState{}, err
	}
	encrypted, is := conn.PgConn().Conn().(*tls.Conn)
	if !is {
		return tls.ConnectionState{}, net.ErrClosed
	}
	return encrypted.ConnectionState(), nil
}

func verifying(ca, host string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca))
	return &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS10}
}

func atMost(version uint16, config *tls.Config) *tls.Config {
	config.MaxVersion = version
	return config
}

// verifies says whether psql connects with the CA certificates, and each of the endpoints by the stable names.
func verifies(ctx context.Context, t *testing.T, id uuid.UUID, ca string) error {
	t.Helper()
	conn, err := stack.API.GetDatabaseConnection(ctx, oas.GetDatabaseConnectionParams{ID: id})
	if err != nil {
		t.Fatalf("connection: %v", err)
	}
	for _, endpoint := range []oas.Endpoint{conn.Data.Direct, conn.Data.Pooled} {
		psql, err := stack.Psql(ctx, conn.Data, endpoint, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		psql.CAFile = inFile(t, ca)
		if _, err := psql.Run(ctx, "SELECT 1"); err != nil {
			return err
		}
	}
	return nil
}

// sessionsGoOn fails the test unless clients with the CA certificates connect.
func sessionsGoOn(ctx context.Context, t *testing.T, id uuid.UUID, when string, bundles ...string) {
	t.Helper()
	for i, ca := range bundles {
		if err := verifies(ctx, t, id, ca); err != nil {
			t.Errorf("%s, with CA certificates %d of %d: %v", when, i+1, len(bundles), err)
		}
	}
}

// told counts the events that the CA certificate changed.
func told(ctx context.Context, t *testing.T, id uuid.UUID) int {
	t.Helper()
	events, err := stack.API.ListDatabaseEvents(ctx, oas.ListDatabaseEventsParams{ID: id, Limit: oas.NewOptInt(100)})
	if err != nil {
		t.Fatal(err)
	}
	return len(slices.DeleteFunc(events.Data, func(e oas.Event) bool { return e.Kind != oas.EventKindCaCertificateChanged }))
}
