package activities

import (
	"context"
	"maps"
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
	k := kubernetesWith(t)
	k.Client = fake.NewClientBuilder().WithScheme(k.Client.Scheme()).WithObjects(secrets...).Build()
	c := &Certificates{Kubernetes: k, Databases: r}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(c.LookAtCertificates)
	if _, err := env.ExecuteActivity(c.LookAtCertificates); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(r.pem, want) {
		t.Errorf("recorded %v, want %v", r.pem, want)
	}
}
