package activities

import (
	"context"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"go.temporal.io/sdk/testsuite"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/persistence/memory"
)

// renewed keeps the recorded certificates of some databases.
type renewed struct {
	sweptRows
	mu        sync.Mutex
	databases []daap.Database
	pem       map[uuid.UUID]string
}

func (r *renewed) CertifiedDatabases(_ context.Context, after uuid.UUID, limit int) ([]daap.Database, error) {
	if after != uuid.Nil {
		return nil, nil
	}
	return r.databases[:min(limit, len(r.databases))], nil
}

func (r *renewed) RenewCACertificate(_ context.Context, id uuid.UUID, pem string) error {
	defer r.mu.Unlock()
	r.mu.Lock()
	r.pem[id] = pem
	return nil
}

// TestEveryExistingCertificateIsRecorded has one database whose Cluster is gone, and one whose Secret is empty.
func TestEveryExistingCertificateIsRecorded(t *testing.T) {
	t.Parallel()
	r := &renewed{pem: map[uuid.UUID]string{}}
	want := map[uuid.UUID]string{}
	var secrets []client.Object
	for _, data := range []map[string][]byte{{"ca.crt": []byte("one")}, nil, {}, {"ca.crt": []byte("two")}} {
		db := daap.Database{ID: uuid.New(), Incarnation: 1}
		r.databases = append(r.databases, db)
		if data != nil {
			secrets = append(secrets, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: daap.Namespace(db.ID), Name: manifest.CASecret(db)}, Data: data,
			})
		}
		if pem, has := data["ca.crt"]; has {
			want[db.ID] = string(pem)
		}
	}
	k := stepsWith(t)
	k.Cluster.Client = fake.NewClientBuilder().WithScheme(k.Cluster.Client.Scheme()).WithObjects(secrets...).Build()
	c := &Sweeps{Steps: k, Rows: r}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(c.CheckCertificates)
	if _, err := env.ExecuteActivity(c.CheckCertificates); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(r.pem, want) {
		t.Errorf("recorded %v, want %v", r.pem, want)
	}
}

// scanOf returns the database's recorded scan.
func scanOf(t *testing.T, rows *memory.Store, id uuid.UUID) daap.Scan {
	t.Helper()
	view, err := rows.DescribeDatabase(t.Context(), daap.EveryTeam, id)
	if err != nil {
		t.Fatal(err)
	}
	return view.Scan
}

func TestFailedScanIsRecordedWithItsReason(t *testing.T) {
	t.Parallel()
	rows := memory.New()
	var ids []uuid.UUID
	for range 20 {
		db := daap.Database{ID: uuid.New(), OwnerTeam: "shop", Status: daap.DatabaseReady, Incarnation: 1} // without objects in Kubernetes
		rows.PutDatabase(db)
		ids = append(ids, db.ID)
	}
	s := &Sweeps{Steps: stepsWith(t), Rows: rows}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(s.ScanExtensions)
	if _, err := env.ExecuteActivity(s.ScanExtensions); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if scan := scanOf(t, rows, id); scan.AttemptedAt.IsZero() || scan.Reason != "ConnectFailed" || !strings.Contains(scan.Message, "not found") || scan.ScannedAt != nil || scan.ListedAt != nil {
			t.Errorf("recorded %+v, want a failed connection", scan)
		}
	}
}

func TestStoppedScanRecordsNothing(t *testing.T) {
	t.Parallel()
	rows := memory.New()
	rows.PutDatabase(orders)
	s := &Sweeps{Steps: stepsWith(t), Rows: rows}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	err := s.scan(ctx, orders)
	if scan := scanOf(t, rows, orders.ID); err == nil || !scan.AttemptedAt.IsZero() {
		t.Errorf("scan() = %v, recorded %+v; want nothing", err, scan)
	}
}
