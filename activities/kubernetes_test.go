package activities

import (
	"context"
	"errors"
	"testing"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	"go.temporal.io/sdk/testsuite"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

var orders = daap.Database{
	ID: uuid.MustParse("0190a0a0-0000-7000-8000-000000000002"), Name: "orders", OwnerTeam: "shop", Incarnation: 1,
	Tier: "small", Profile: small,
}

// small is a tier of which little is asked.
var small = daap.Profile{
	Instances: 1, CPU: resource.MustParse("100m"), Memory: resource.MustParse("512Mi"), StorageSize: resource.MustParse("1Gi"),
	PGVersion: "17", PoolMode: daap.PoolTransaction, MaxConnections: 100, DestructionStrategy: daap.StrategyHardDelete,
}

// oneDatabase is the record of orders, and of an operation that gives it the tier.
type oneDatabase struct{ tier *daap.Tier }

func (oneDatabase) Database(context.Context, daap.Scope, uuid.UUID) (daap.Database, error) {
	return orders, nil
}

func (d oneDatabase) Operation(_ context.Context, _ daap.Scope, id uuid.UUID) (daap.Operation, error) {
	return daap.Operation{ID: id, DatabaseID: orders.ID, Tier: d.tier}, nil
}

// kept is a receipt.
type kept struct{ receipt daap.Receipt }

func (k *kept) SaveReceipt(_ context.Context, _ uuid.UUID, counted daap.Receipt) error {
	k.receipt = k.receipt.With(counted)
	return nil
}

// holding is an operation that holds its database until lost.
type holding struct {
	lost  error
	steps []daap.Step
}

func (h *holding) HoldsDatabase(context.Context, uuid.UUID, bool) error { return h.lost }

func (h *holding) RecordStep(_ context.Context, _ uuid.UUID, step daap.Step) error {
	h.steps = append(h.steps, step)
	return nil
}

func kubernetesWith(t *testing.T, objects ...client.Object) *Kubernetes {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), cnpgv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return &Kubernetes{
		Client:    fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(),
		Watch:     &Watch{waiters: map[string]map[chan struct{}]struct{}{}},
		Databases: oneDatabase{},
		Holds:     &holding{},
		Receipts:  &kept{},
		Platform:  manifest.Platform{PostgresImages: daap.Catalog{"17": "localhost/postgresql:17"}},
	}
}

// run runs the activity as a Worker would.
func run(t *testing.T, do func(context.Context, Input) error) error {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(do)
	_, err := env.ExecuteActivity(do, Input{Operation: uuid.New(), Database: orders.ID, Step: daap.StepCluster})
	return err
}

func TestAppliedTwiceIsAppliedOnce(t *testing.T) {
	t.Parallel()
	k := kubernetesWith(t)
	for name, apply := range map[string]func(context.Context, Input) error{
		"namespace": k.ApplyNamespace, "cluster": k.ApplyCluster, "pooler": k.ApplyPooler,
	} {
		for range 2 {
			if err := run(t, apply); err != nil {
				t.Fatalf("apply %s: %v", name, err)
			}
		}
	}
	var clusters cnpgv1.ClusterList
	if err := k.Client.List(t.Context(), &clusters); err != nil || len(clusters.Items) != 1 {
		t.Fatalf("clusters = %d, %v, want one", len(clusters.Items), err)
	}
	if got := clusters.Items[0]; got.Name != "pg-1" || got.Labels[manifest.LabelTeam] != "shop" {
		t.Errorf("cluster is %s of %v, want pg-1 of shop", got.Name, got.Labels)
	}
}

func TestPasswordThatIsThereStays(t *testing.T) {
	t.Parallel()
	k := kubernetesWith(t)
	var passwords []string
	for range 2 {
		if err := run(t, k.CreateCredentials); err != nil {
			t.Fatal(err)
		}
		var secret corev1.Secret
		key := client.ObjectKey{Namespace: daap.Namespace(orders.ID), Name: daap.CredentialsSecret}
		if err := k.Client.Get(t.Context(), key, &secret); err != nil {
			t.Fatal(err)
		}
		passwords = append(passwords, string(secret.Data[corev1.BasicAuthPasswordKey]))
	}
	if passwords[0] != passwords[1] || len(passwords[0]) < 20 {
		t.Errorf("the password of %d characters changed: %v", len(passwords[0]), passwords[0] != passwords[1])
	}
}

func TestRemovalIsSatisfiedWithWhatIsGone(t *testing.T) {
	t.Parallel()
	namespace := daap.Namespace(orders.ID)
	everything := []client.Object{
		manifest.Namespace(orders), manifest.Cluster(orders, manifest.Platform{}), manifest.Pooler(orders, manifest.Platform{}),
	}
	for name, objects := range map[string][]client.Object{"all there": everything, "nothing there": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := kubernetesWith(t, objects...)
			for _, remove := range []func(context.Context, Input) error{k.DeleteWorkloads, k.DeleteNamespace, k.WaitVolumesGone} {
				if err := run(t, remove); err != nil {
					t.Fatal(err)
				}
			}
			var clusters cnpgv1.ClusterList
			if err := k.Client.List(t.Context(), &clusters, client.InNamespace(namespace)); err != nil || len(clusters.Items) > 0 {
				t.Errorf("clusters = %d, %v, want none", len(clusters.Items), err)
			}
		})
	}
}

func TestOnlyTheDatabasesOwnVolumesAreWaitedFor(t *testing.T) {
	t.Parallel()
	volume := func(namespace string, policy corev1.PersistentVolumeReclaimPolicy) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: "pv"},
			Spec: corev1.PersistentVolumeSpec{
				ClaimRef: &corev1.ObjectReference{Namespace: namespace}, PersistentVolumeReclaimPolicy: policy,
			},
		}
	}
	tests := map[string]struct {
		volume *corev1.PersistentVolume
		waits  bool
	}{
		"own":           {volume(daap.Namespace(orders.ID), corev1.PersistentVolumeReclaimDelete), true},
		"own, retained": {volume(daap.Namespace(orders.ID), corev1.PersistentVolumeReclaimRetain), false},
		"another's":     {volume("elsewhere", corev1.PersistentVolumeReclaimDelete), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := kubernetesWith(t, tt.volume)
			held := &holding{lost: daap.ErrSuperseded} // ends a wait at its first recheck
			k.Holds = held
			err := run(t, k.WaitVolumesGone)
			if (err != nil) != tt.waits || (len(held.steps) > 0) != tt.waits {
				t.Errorf("WaitVolumesGone() = %v with %v, want it to wait: %v", err, held.steps, tt.waits)
			}
		})
	}
}

func TestWakeReachesThoseWhoWaitInTheNamespaceOnly(t *testing.T) {
	t.Parallel()
	w := &Watch{waiters: map[string]map[chan struct{}]struct{}{}}
	here, end := w.subscribe("here")
	there, endThere := w.subscribe("there")
	defer endThere()
	for range 3 { // more wake-ups than are taken must not block the watch
		w.wake(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pg-1-1", Namespace: "here"}})
	}
	if len(here) != 1 || len(there) != 0 {
		t.Errorf("wake-ups here %d, there %d, want 1 and 0", len(here), len(there))
	}
	end()
	w.wake(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "there"}})
	if len(there) != 1 || len(w.waiters) != 1 {
		t.Errorf("after the end: there %d, %d namespaces waited in; want 1 and 1", len(there), len(w.waiters))
	}
}
