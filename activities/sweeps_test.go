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
)

// renewed keeps what is recorded of the certificates of some databases.
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

// TestCertificatesAreRecordedOfAllThatHaveOne has one database whose Cluster is gone, and one whose Secret is empty.
func TestCertificatesAreRecordedOfAllThatHaveOne(t *testing.T) {
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

// notes keeps what is recorded of scans.
type notes struct {
	sweptRows
	mu        sync.Mutex
	databases []daap.Database
	scans     map[uuid.UUID]daap.Scan
}

func (n *notes) DatabasesToScan(_ context.Context, after uuid.UUID, limit int) ([]daap.Database, error) {
	if after != uuid.Nil {
		return nil, nil
	}
	return n.databases[:min(limit, len(n.databases))], nil
}

func (n *notes) SaveScan(_ context.Context, id uuid.UUID, scan daap.Scan, _ []daap.Extension) error {
	defer n.mu.Unlock()
	n.mu.Lock()
	n.scans[id] = scan
	return nil
}

func TestDatabaseThatCannotBeAskedIsRecordedAsOne(t *testing.T) {
	t.Parallel()
	n := &notes{scans: map[uuid.UUID]daap.Scan{}}
	for range 20 {
		n.databases = append(n.databases, daap.Database{ID: uuid.New(), Incarnation: 1}) // of which Kubernetes has nothing
	}
	s := &Sweeps{Steps: stepsWith(t), Rows: n}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(s.ScanExtensions)
	if _, err := env.ExecuteActivity(s.ScanExtensions); err != nil {
		t.Fatal(err)
	}
	for _, db := range n.databases {
		if scan := n.scans[db.ID]; scan.AttemptedAt.IsZero() || scan.Reason != "ConnectFailed" || !strings.Contains(scan.Message, "not found") || scan.ScannedAt != nil || scan.ListedAt != nil {
			t.Errorf("recorded %+v, want that it cannot be asked", scan)
		}
	}
}

func TestScanThatIsStoppedTellsNothingOfTheDatabase(t *testing.T) {
	t.Parallel()
	n := &notes{scans: map[uuid.UUID]daap.Scan{}}
	s := &Sweeps{Steps: stepsWith(t), Rows: n}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := s.scan(ctx, orders); err == nil || len(n.scans) > 0 {
		t.Errorf("scan() = %v, recorded %v; want nothing", err, n.scans)
	}
}
