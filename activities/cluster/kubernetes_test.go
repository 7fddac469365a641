package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

var orders = daap.Database{
	ID: uuid.MustParse("0190a0a0-0000-7000-8000-000000000002"), Name: "orders", OwnerTeam: "shop", Incarnation: 1,
	Tier: "small", Profile: small,
}

// small is a tier with few resources.
var small = daap.Profile{
	Instances: 1, CPU: resource.MustParse("100m"), Memory: resource.MustParse("512Mi"), StorageSize: resource.MustParse("1Gi"),
	PGVersion: "17", PoolMode: daap.PoolTransaction, MaxConnections: 100, DestructionStrategy: daap.StrategyHardDelete,
}

// kubernetesWith returns a client of a Kubernetes with the objects.
func kubernetesWith(t *testing.T, objects ...client.Object) *Kubernetes {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), cnpgv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return &Kubernetes{
		// In the fake's merge, the schemas of Kubernetes' own kinds are incompatible with the schemas deduced for
		// CNPG's.
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
			WithTypeConverters(managedfields.NewDeducedTypeConverter()).Build(),
		Watch: &Watch{},
	}
}

func instance(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: daap.Namespace(orders.ID), Name: name, Labels: map[string]string{
		manifest.LabelCluster: manifest.ClusterName(orders), manifest.LabelPodRole: manifest.RoleInstance,
	}}
}

func TestGrantWaitsUntilKubernetesHasTheRights(t *testing.T) {
	t.Parallel()
	for question, least := range map[int]time.Duration{3: 2 * grantInterval, 0: grantTimeout} {
		asked := 0
		k := kubernetesWith(t)
		c, is := k.Client.(client.WithWatch)
		if !is {
			t.Fatalf("the client is a %T, which cannot be intercepted", k.Client)
		}
		k.Client = interceptor.NewClient(c, interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, object client.Object, o ...client.CreateOption) error {
				review, is := object.(*authorizationv1.SelfSubjectAccessReview)
				if !is {
					return c.Create(ctx, object, o...)
				}
				asked++
				review.Status.Allowed = question > 0 && asked >= question
				return nil
			},
		})
		began := time.Now()
		if err := k.GrantWorker(t.Context(), orders); err != nil {
			t.Fatalf("granted at check %d: %v", question, err)
		}
		if took := time.Since(began); took < least {
			t.Errorf("granted at check %d: took %s, want it to wait %s", question, took, least)
		}
	}
}
