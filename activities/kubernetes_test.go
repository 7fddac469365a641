package activities

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	"go.temporal.io/sdk/testsuite"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
		// The schemas of Kubernetes' own kinds and those deduced for CNPG's do not go together in the fake's merge.
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
			WithTypeConverters(managedfields.NewDeducedTypeConverter()).
			WithInterceptorFuncs(rightsFrom(1)).Build(),
		Watch:     &Watch{waiters: map[string]map[chan struct{}]struct{}{}},
		Databases: oneDatabase{},
		Holds:     &holding{},
		Receipts:  &kept{},
		Platform:  manifest.Platform{PostgresImages: daap.Catalog{"17": "localhost/postgresql:17"}},
	}
}

// rightsFrom has Kubernetes see the worker's rights at the question of that number; never for zero.
func rightsFrom(question int) interceptor.Funcs {
	asked := 0
	return interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, o ...client.CreateOption) error {
			review, is := object.(*authorizationv1.SelfSubjectAccessReview)
			if !is {
				return c.Create(ctx, object, o...)
			}
			asked++
			review.Status.Allowed = question > 0 && asked >= question
			return nil
		},
	}
}

// intercept has the functions stand before the client.
func intercept(t *testing.T, k *Kubernetes, funcs interceptor.Funcs) {
	t.Helper()
	c, is := k.Client.(client.WithWatch)
	if !is {
		t.Fatalf("the client is a %T, which cannot be intercepted", k.Client)
	}
	k.Client = interceptor.NewClient(c, funcs)
}

// forbiddenTo is how RBAC refuses.
func forbiddenTo(what string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, "", errors.New(`User "daap" cannot `+what))
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
	passwords := map[string][]string{}
	for _, make := range []func(context.Context, Input) error{k.CreateCredentials, k.CreateCredentials, k.ApplyCluster} {
		if err := run(t, make); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{daap.CredentialsSecret, manifest.WorkerSecret} {
			var secret corev1.Secret
			if err := k.Client.Get(t.Context(), client.ObjectKey{Namespace: daap.Namespace(orders.ID), Name: name}, &secret); err != nil {
				t.Fatal(err)
			}
			passwords[name] = append(passwords[name], string(secret.Data[corev1.BasicAuthPasswordKey]))
		}
	}
	owner, worker := slices.Compact(passwords[daap.CredentialsSecret]), slices.Compact(passwords[manifest.WorkerSecret])
	if len(owner) != 1 || len(worker) != 1 || len(owner[0]) < 20 || len(worker[0]) < 20 || owner[0] == worker[0] {
		t.Errorf("there were %d passwords of the owner and %d of the worker, want one long one each, and not the same",
			len(owner), len(worker))
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

func TestNamespaceIsMadeOnceTheWorkersRightsAreSeen(t *testing.T) {
	t.Parallel()
	for question, least := range map[int]time.Duration{3: 2 * enterInterval, 0: enterTimeout} {
		k := kubernetesWith(t)
		intercept(t, k, rightsFrom(question))
		began := time.Now()
		if err := run(t, k.ApplyNamespace); err != nil {
			t.Fatalf("seen at question %d: %v", question, err)
		}
		if took := time.Since(began); took < least {
			t.Errorf("seen at question %d: took %s, want it to wait %s", question, took, least)
		}
	}
}

func TestNamespaceIsForTheWorkerAndTheTeam(t *testing.T) {
	t.Parallel()
	for name, apply := range map[string]func(*Kubernetes) error{
		"made": func(k *Kubernetes) error { return run(t, k.ApplyNamespace) },
		"half made, and to be deleted": func(k *Kubernetes) error {
			return errors.Join(k.apply(t.Context(), manifest.Namespace(orders)), run(t, k.DeleteWorkloads))
		},
	} {
		k := kubernetesWith(t)
		if err := apply(k); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var bound rbacv1.RoleBindingList
		if err := k.Client.List(t.Context(), &bound, client.InNamespace(daap.Namespace(orders.ID))); err != nil {
			t.Fatal(err)
		}
		roles := map[string]string{}
		for _, binding := range bound.Items {
			roles[binding.RoleRef.Name] = binding.Subjects[0].Name
		}
		want := map[string]string{"daap-database": "daap-worker"}
		if name == "made" {
			want["daap-connection"] = "daap:team:shop"
		}
		if !maps.Equal(roles, want) {
			t.Errorf("%s: roles are bound to %v, want %v", name, roles, want)
		}
	}
}

// TestRightsThatWentWithTheNamespaceAreNotMissed has Kubernetes refuse what the worker may do in a namespace alone.
func TestRightsThatWentWithTheNamespaceAreNotMissed(t *testing.T) {
	t.Parallel()
	going := manifest.Namespace(orders)
	going.Finalizers, going.DeletionTimestamp = []string{"kubernetes"}, &metav1.Time{Time: time.Now()}
	for name, tt := range map[string]struct {
		objects []client.Object
		refused bool
	}{
		"gone":  {nil, false},
		"going": {[]client.Object{going}, false},
		"stays": {[]client.Object{manifest.Namespace(orders)}, true},
	} {
		k := kubernetesWith(t, tt.objects...)
		intercept(t, k, interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
				if _, is := list.(*corev1.SecretList); is {
					if tt.objects == nil {
						t.Error("secrets are listed in a namespace that is gone")
					}
					return forbiddenTo("list secrets")
				}
				return c.List(ctx, list, o...)
			},
			DeleteAllOf: func(context.Context, client.WithWatch, client.Object, ...client.DeleteAllOfOption) error {
				return forbiddenTo("delete clusters")
			},
		})
		if err := run(t, k.DeleteWorkloads); (err != nil) != tt.refused {
			t.Errorf("where the namespace %s, DeleteWorkloads() = %v, want it refused: %t", name, err, tt.refused)
		}
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

// givenUpAt is an operation that is given up at the question of that number.
type givenUpAt struct {
	holding
	question, asked int
}

func (g *givenUpAt) HoldsDatabase(context.Context, uuid.UUID, bool) error {
	if g.asked++; g.asked >= g.question {
		return daap.ErrSuperseded
	}
	return nil
}

func TestOperationThatIsGivenUpLeavesNoBaseBackup(t *testing.T) {
	t.Parallel()
	for name, question := range map[string]int{"before it is made": 1, "while it is made": 2} {
		k := kubernetesWith(t)
		k.Holds = &givenUpAt{question: question}
		backup := manifest.Backup(orders, "first")
		if err := k.createBackup(t.Context(), Input{Database: orders.ID}, backup); !errors.Is(err, daap.ErrSuperseded) {
			t.Errorf("%s: createBackup() = %v, want ErrSuperseded", name, err)
		}
		if err := k.Client.Get(t.Context(), client.ObjectKeyFromObject(backup), backup); !apierrors.IsNotFound(err) {
			t.Errorf("%s: the base backup: %v, want not found", name, err)
		}
	}
	k := kubernetesWith(t)
	backup := manifest.Backup(orders, "first")
	if err := k.createBackup(t.Context(), Input{Database: orders.ID}, backup); err != nil {
		t.Fatal(err)
	}
	if err := k.Client.Get(t.Context(), client.ObjectKeyFromObject(backup), backup); err != nil {
		t.Errorf("the base backup of an operation that goes on: %v", err)
	}
}
