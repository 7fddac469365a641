//go:build e2e

package e2e

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// TestCAIsHandedOverBeforeClientsNeedIt has the CA of a database end in ten days while the operator looks away, then the
// operator renew it, and then a person give it another key.
func TestCAIsHandedOverBeforeClientsNeedIt(t *testing.T) {
	parallel(t, long)
	ctx := t.Context()
	db, operation := create(ctx, t, "renewed")
	succeed(ctx, t, operation)
	first := bundleOf(ctx, t, db.ID)
	if left := time.Until(certificateOf(ctx, t, db.ID).ExpiresAt); left < 3600*24*time.Hour || strings.Count(first, "BEGIN") != 1 {
		t.Errorf("the first CA certificate ends in %s, want ten years, and is one of %d", left, strings.Count(first, "BEGIN"))
	}

	leaveAlone(ctx, t, db.ID)
	soon := endInTenDays(ctx, t, db.ID)
	look(ctx, t)
	until(ctx, t, "the database shows that its CA certificate ends", func() bool {
		return certificateOf(ctx, t, db.ID).Health == oas.CertificateHealthExpiring
	})
	bundle := bundleOf(ctx, t, db.ID)
	if bundle != soon+first || told(ctx, t, db.ID) != 1 {
		t.Errorf("handed out is\n%s\nwant the new one and the first, told once", bundle)
	}
	sessionsGoOn(ctx, t, db.ID, "with a CA that ends soon", first, soon, bundle)

	reconcile(ctx, t, db.ID, "enabled")
	until(ctx, t, "the operator renews it", func() bool { return !strings.Contains(secretOf(ctx, t, db.ID, "ca")["ca.crt"], soon) })
	sessionsGoOn(ctx, t, db.ID, "renewed, and nobody has looked", bundle)
	look(ctx, t)
	until(ctx, t, "the database shows that all is well", func() bool {
		return certificateOf(ctx, t, db.ID).Health == oas.CertificateHealthOk
	})
	renewed := bundleOf(ctx, t, db.ID)
	if !strings.HasSuffix(renewed, soon+first) || told(ctx, t, db.ID) != 2 {
		t.Errorf("handed out is\n%s\nwant the renewed one before the others", renewed)
	}
	sessionsGoOn(ctx, t, db.ID, "renewed", first, bundle, renewed)

	page, on := pageOf(t, "docs/operators/certificates.md"), []string{"database=" + db.ID.String(), "cluster=pg-1"}
	page.run(ctx, t, "new-ca", on...)
	look(ctx, t)
	until(ctx, t, "the CA of another key is handed out", func() bool { return told(ctx, t, db.ID) == 3 })
	both := bundleOf(ctx, t, db.ID)
	sessionsGoOn(ctx, t, db.ID, "with another key that has signed nothing yet", first, renewed, both)
	page.run(ctx, t, "new-leaves", on...)
	until(ctx, t, "those who have the old one alone are refused", func() bool {
		err := verifies(ctx, t, db.ID, renewed)
		return err != nil && strings.Contains(err.Error(), "certificate verify failed")
	})
	until(ctx, t, "those who have both connect", func() bool { return verifies(ctx, t, db.ID, both) == nil })
	remove(ctx, t, db.ID)
}

// look has the schedule look at certificates now.
func look(ctx context.Context, t *testing.T) {
	t.Helper()
	pageOf(t, "docs/operators/certificates.md").run(ctx, t, "check-certificates")
}

func bundleOf(ctx context.Context, t *testing.T, id uuid.UUID) string {
	t.Helper()
	conn, err := stack.API.GetDatabaseConnection(ctx, oas.GetDatabaseConnectionParams{ID: id})
	if err != nil {
		t.Fatalf("connection: %v", err)
	}
	if ends := certificateOf(ctx, t, id).ExpiresAt; !conn.Data.CaCertificateExpiresAt.Equal(ends) {
		t.Errorf("the connection says that the CA certificate ends at %s, the database %s", conn.Data.CaCertificateExpiresAt, ends)
	}
	return conn.Data.CaCertificate
}

func certificateOf(ctx context.Context, t *testing.T, id uuid.UUID) oas.CertificateState {
	t.Helper()
	got, err := stack.API.GetDatabase(ctx, oas.GetDatabaseParams{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return got.Data.Certificate.Value
}

// leaveAlone has the operator leave the Cluster alone, and waits until it does: what it was at then is done.
func leaveAlone(ctx context.Context, t *testing.T, id uuid.UUID) {
	t.Helper()
	reconcile(ctx, t, id, "disabled")
	until(ctx, t, "the operator leaves the Cluster alone", func() bool {
		log, err := exec.CommandContext(ctx, "kubectl", "--namespace", "cnpg-system", "logs", "deployment/cnpg-controller-manager",
			"--since=5m").Output()
		if err != nil {
			t.Fatalf("read the operator's log: %v", err)
		}
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, "Disable reconciliation loop annotation set") && strings.Contains(line, daap.Namespace(id)) {
				return true
			}
		}
		return false
	})
}

// reconcile has the operator leave the Cluster alone, or not.
func reconcile(ctx context.Context, t *testing.T, id uuid.UUID, how string) {
	t.Helper()
	var cluster cnpgv1.Cluster
	cluster.Namespace, cluster.Name = daap.Namespace(id), "pg-1"
	patch := client.RawPatch("application/merge-patch+json",
		[]byte(`{"metadata":{"annotations":{"cnpg.io/reconciliationLoop":"`+how+`"}}}`))
	if err := stack.Kubernetes.Patch(ctx, &cluster, patch); err != nil {
		t.Fatal(err)
	}
}

// secretOf is a Secret of the Cluster.
func secretOf(ctx context.Context, t *testing.T, id uuid.UUID, name string) map[string]string {
	t.Helper()
	var secret corev1.Secret
	if err := stack.Kubernetes.Get(ctx, client.ObjectKey{Namespace: daap.Namespace(id), Name: "pg-1-" + name}, &secret); err != nil {
		t.Fatal(err)
	}
	data := map[string]string{}
	for key, value := range secret.Data {
		data[key] = string(value)
	}
	return data
}

// endInTenDays has the CA of the database, with the key that it has, end in ten days.
func endInTenDays(ctx context.Context, t *testing.T, id uuid.UUID) string {
	t.Helper()
	has := secretOf(ctx, t, id, "ca")
	block, _ := pem.Decode([]byte(has["ca.crt"]))
	was, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	block, _ = pem.Decode([]byte(has["ca.key"]))
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	soon := signed(t, was.Subject, key, 10*24*time.Hour)
	var secret corev1.Secret
	if err := stack.Kubernetes.Get(ctx, client.ObjectKey{Namespace: daap.Namespace(id), Name: "pg-1-ca"}, &secret); err != nil {
		t.Fatal(err)
	}
	secret.Data["ca.crt"] = []byte(soon)
	if err := stack.Kubernetes.Update(ctx, &secret); err != nil {
		t.Fatal(err)
	}
	return soon
}

// signed is a CA certificate that the key signs for itself.
func signed(t *testing.T, subject pkix.Name, key crypto.Signer, lasts time.Duration) string {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: subject, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lasts),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// strangersCA is a well-formed CA certificate that signed nothing here.
func strangersCA(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signed(t, pkix.Name{CommonName: "stranger"}, key, time.Hour)
}

func inFile(t *testing.T, ca string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, []byte(ca), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
