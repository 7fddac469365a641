package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	sdkinterceptor "go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
	"github.com/daap-dev/daap/activities/cluster"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/objectstore"
	"github.com/daap-dev/daap/activities/postgres"
	"github.com/daap-dev/daap/workflows"
)

// kinds are the operations with the workflow that carries each out.
var kinds = workflows.Workflows{}.Of()

var input = workflows.Input{
	Operation: uuid.MustParse("0190a0a0-0000-7000-8000-000000000001"),
	Database:  uuid.MustParse("0190a0a0-0000-7000-8000-000000000002"),
	BacksUp:   true, // so that every step there is has its turn
}

// world is what a run works on: the real activities of Kubernetes on a model of its API in which CNPG does its
// work at once, rows in memory, and nothing else.
type world struct {
	t    *testing.T
	kind daap.OperationKind
	kube client.Client
	rows rows
	env  *testsuite.TestWorkflowEnvironment

	// fail is the error of one attempt of a step, in place of what it does; nil lets it be.
	fail func(at visit) error
	// twice lets every activity run twice, as when the answer of the first run is lost.
	twice bool

	// deadline is the platform's for a step.
	deadline time.Duration

	// effect is held by the activity at work: as on a server, a run does not go on before what changes something
	// has ended, also where it is cancelled.
	effect sync.Mutex
	mu     sync.Mutex
	tries  map[visit]int
	ran    []visit
}

// visit is a step that is tried, forward or back.
type visit struct {
	step daap.StepName
	undo bool
}

// newWorld returns the world before an operation of the kind: empty for a provision, else with all that one makes.
func newWorld(t *testing.T, kind daap.OperationKind) *world {
	t.Helper()
	// The fake client makes a REST mapper of the whole scheme with each apply: other groups would double its time.
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), appsv1.AddToScheme(scheme), rbacv1.AddToScheme(scheme),
		networkingv1.AddToScheme(scheme), authorizationv1.AddToScheme(scheme), cnpgv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	stores := schema.GroupVersion{Group: "barmancloud.cnpg.io", Version: "v1"}
	scheme.AddKnownTypeWithName(stores.WithKind("ObjectStore"), &unstructured.Unstructured{})
	scheme.AddKnownTypeWithName(stores.WithKind("ObjectStoreList"), &unstructured.UnstructuredList{})
	w := &world{t: t, kind: kind, rows: newRows(t, kind), tries: map[visit]int{}}
	// The schemas of Kubernetes' own kinds and those deduced for CNPG's do not go together in the fake's merge.
	deduced := managedfields.NewDeducedTypeConverter()
	w.kube = fake.NewClientBuilder().WithScheme(scheme).WithTypeConverters(deduced).WithReturnManagedFields().WithInterceptorFuncs(interceptor.Funcs{
		Create: operatorCreates, Apply: operatorApplies, DeleteAllOf: operatorDeletes, Delete: namespaceTakesAll,
	}).Build()
	if !kind.Makes() {
		w.after(daap.ProvisionDatabase)
	}
	if kind == daap.UnfreezeDatabase {
		w.after(daap.FreezeDatabase)
	}
	return w
}

// after has the world be as an operation of the kind leaves it.
func (w *world) after(kind daap.OperationKind) {
	w.t.Helper()
	before := &world{t: w.t, kind: kind, kube: w.kube, rows: newRows(w.t, kind), tries: map[visit]int{}}
	before.run()
}

// operatorApplies applies the object and does what CNPG does with it.
func operatorApplies(ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	if err := c.Apply(ctx, obj, opts...); err != nil {
		return err
	}
	named, ok := obj.(interface {
		GetKind() string
		GetName() string
		GetNamespace() string
	})
	if !ok {
		return fmt.Errorf("apply %T: it has no name", obj)
	}
	meta := metav1.ObjectMeta{Namespace: named.GetNamespace(), Name: named.GetName()}
	switch named.GetKind() {
	case "Cluster":
		if hibernates(ctx, c, meta) {
			return hibernated(ctx, c, meta)
		}
		claim := meta
		claim.Labels = map[string]string{manifest.LabelCluster: meta.Name}
		return errors.Join(healthy(ctx, c, meta), there(ctx, c, &corev1.PersistentVolumeClaim{ObjectMeta: claim}),
			there(ctx, c, &corev1.PersistentVolume{
				ObjectMeta: metav1.ObjectMeta{Name: "pv-" + meta.Namespace},
				Spec:       corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: meta.Namespace}},
			}))
	case "Pooler":
		return there(ctx, c, &appsv1.Deployment{ObjectMeta: meta, Status: appsv1.DeploymentStatus{UpdatedReplicas: 1, ReadyReplicas: 1}})
	}
	return nil
}

// operatorCreates creates the object; a base backup is completed at once.
func operatorCreates(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
	if backup, is := obj.(*cnpgv1.Backup); is {
		backup.Name = strings.TrimRight(backup.Name, "0123456789") + "now" // its name ends with the time
		backup.Status.Phase = cnpgv1.BackupPhaseCompleted
	}
	if review, is := obj.(*authorizationv1.SelfSubjectAccessReview); is {
		review.Status.Allowed = true
		return nil
	}
	return c.Create(ctx, obj, opts...)
}

// bucketsThere is an object store that has every bucket.
type bucketsThere struct{}

func (bucketsThere) EnsureBucket(context.Context, string) error { return nil }

func (bucketsThere) Reach(context.Context, string) error { return nil }

func (bucketsThere) Objects(context.Context, string, string) (map[string]objectstore.Object, error) {
	return nil, nil
}

func (bucketsThere) Prefixes(context.Context, string, string) ([]string, error) { return nil, nil }

func (bucketsThere) Read(context.Context, string, string) ([]byte, error) { return nil, nil }

func (bucketsThere) Count(context.Context, string, string) (objectstore.Removed, error) {
	return objectstore.Removed{}, nil
}

func (bucketsThere) AbortUploads(context.Context, string, string) error { return nil }

func (bucketsThere) RemoveSome(context.Context, string, string, func(string) bool) (objectstore.Removed, error) {
	return objectstore.Removed{}, nil
}

func there(ctx context.Context, c client.Client, obj client.Object) error {
	return client.IgnoreAlreadyExists(c.Create(ctx, obj))
}

func hibernates(ctx context.Context, c client.Client, meta metav1.ObjectMeta) bool {
	var cluster cnpgv1.Cluster
	err := c.Get(ctx, client.ObjectKey{Namespace: meta.Namespace, Name: meta.Name}, &cluster)
	return err == nil && cluster.Annotations[manifest.AnnotationHibernation] == manifest.HibernationOn
}

func hibernated(ctx context.Context, c client.Client, meta metav1.ObjectMeta) error {
	var cluster cnpgv1.Cluster
	if err := c.Get(ctx, client.ObjectKey{Namespace: meta.Namespace, Name: meta.Name}, &cluster); err != nil {
		return err
	}
	cluster.Status.ReadyInstances = 0
	cluster.Status.Conditions = append(cluster.Status.Conditions,
		metav1.Condition{Type: manifest.AnnotationHibernation, Status: metav1.ConditionTrue})
	return c.Update(ctx, &cluster)
}

func healthy(ctx context.Context, c client.Client, meta metav1.ObjectMeta) error {
	var cluster cnpgv1.Cluster
	if err := c.Get(ctx, client.ObjectKey{Namespace: meta.Namespace, Name: meta.Name}, &cluster); err != nil {
		return err
	}
	cluster.Status = cnpgv1.ClusterStatus{
		Phase: cnpgv1.PhaseHealthy, ReadyInstances: cluster.Spec.Instances, CurrentPrimary: "p", TargetPrimary: "p",
		Conditions: []metav1.Condition{
			{Type: string(cnpgv1.ConditionClusterReady), Status: metav1.ConditionTrue},
			{Type: string(cnpgv1.ConditionContinuousArchiving), Status: metav1.ConditionTrue},
		},
	}
	return c.Update(ctx, &cluster)
}

// operatorDeletes deletes the objects and what CNPG takes away with them.
func operatorDeletes(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteAllOfOption) error {
	if err := c.DeleteAllOf(ctx, obj, opts...); err != nil {
		return err
	}
	var options client.DeleteAllOfOptions
	options.ApplyOptions(opts)
	in := client.InNamespace(options.Namespace)
	switch obj.(type) {
	case *cnpgv1.Pooler:
		return c.DeleteAllOf(ctx, &appsv1.Deployment{}, in)
	case *cnpgv1.Cluster:
		volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv-" + options.Namespace}}
		return errors.Join(c.DeleteAllOf(ctx, &corev1.PersistentVolumeClaim{}, in), client.IgnoreNotFound(c.Delete(ctx, volume)))
	}
	return nil
}

func objectStoreList() *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("barmancloud.cnpg.io/v1")
	list.SetKind("ObjectStoreList")
	return list
}

func objectStores() *unstructured.Unstructured {
	store := &unstructured.Unstructured{}
	store.SetAPIVersion("barmancloud.cnpg.io/v1")
	store.SetKind("ObjectStore")
	return store
}

// namespaceTakesAll deletes the object; a namespace with all in it.
func namespaceTakesAll(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
	if namespace, ok := obj.(*corev1.Namespace); ok {
		in := client.InNamespace(namespace.Name)
		for _, all := range []client.Object{
			&corev1.Secret{}, &cnpgv1.Pooler{}, &cnpgv1.ScheduledBackup{}, &cnpgv1.Backup{}, objectStores(), &cnpgv1.Cluster{},
		} {
			if err := operatorDeletes(ctx, c, all, in); err != nil {
				return err
			}
		}
	}
	return c.Delete(ctx, obj, opts...)
}

// objects are all that there is, with what was asked of it; passwords left out.
func (w *world) objects() string {
	w.t.Helper()
	var all []string
	for _, list := range []client.ObjectList{
		&corev1.NamespaceList{}, &corev1.SecretList{}, &cnpgv1.ClusterList{}, &cnpgv1.PoolerList{},
		&corev1.PersistentVolumeClaimList{}, &corev1.PersistentVolumeList{}, &appsv1.DeploymentList{},
		&cnpgv1.ScheduledBackupList{}, &cnpgv1.BackupList{}, objectStoreList(),
	} {
		if err := w.kube.List(context.Background(), list); err != nil {
			w.t.Fatal(err)
		}
		raw, err := json.Marshal(list)
		if err != nil {
			w.t.Fatal(err)
		}
		var found struct {
			Items []struct {
				Metadata struct{ Namespace, Name string }
				Spec     any
			}
		}
		if err := json.Unmarshal(raw, &found); err != nil {
			w.t.Fatal(err)
		}
		for _, item := range found.Items {
			spec, _ := json.Marshal(item.Spec) // decoded just before
			all = append(all, fmt.Sprintf("%T %s/%s %s", list, item.Metadata.Namespace, item.Metadata.Name, spec))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// passwords are all values of Secrets there are.
func (w *world) passwords() []string {
	w.t.Helper()
	var secrets corev1.SecretList
	if err := w.kube.List(context.Background(), &secrets); err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, secret := range secrets.Items {
		for key, value := range secret.Data {
			if key != corev1.BasicAuthUsernameKey {
				all = append(all, string(value))
			}
		}
	}
	return all
}

// InterceptActivity is the world's hand in every activity.
func (w *world) InterceptActivity(
	_ context.Context, next sdkinterceptor.ActivityInboundInterceptor,
) sdkinterceptor.ActivityInboundInterceptor {
	hand := &hand{world: w}
	hand.Next = next
	return hand
}

type hand struct {
	sdkinterceptor.ActivityInboundInterceptorBase
	world *world
}

func (h *hand) ExecuteActivity(ctx context.Context, in *sdkinterceptor.ExecuteActivityInput) (any, error) {
	h.world.effect.Lock()
	defer h.world.effect.Unlock()
	if step, ok := in.Args[0].(activities.Input); ok && step.Step != "" {
		if err := h.world.visited(visit{step.Step, step.Undo}); err != nil {
			return nil, err
		}
	}
	result, err := h.Next.ExecuteActivity(ctx, in)
	if err == nil && h.world.twice {
		activity.GetLogger(ctx).Debug("once more")
		result, err = h.Next.ExecuteActivity(ctx, in)
	}
	return result, err
}

func (w *world) visited(at visit) error {
	w.mu.Lock()
	w.tries[at]++
	w.ran = append(w.ran, at)
	w.mu.Unlock()
	if w.fail == nil {
		return nil
	}
	return w.fail(at)
}

func (w *world) tried(at visit) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tries[at]
}

// environment returns a time-skipping environment for one run in the world.
func (w *world) environment() *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(time.Minute)
	env.SetWorkerOptions(worker.Options{Interceptors: []sdkinterceptor.WorkerInterceptor{
		&activities.Interceptor{Operations: w.rows}, &intercepting{world: w},
	}})
	for kind, run := range (workflows.Workflows{StepDeadline: w.deadline}).Of() {
		env.RegisterWorkflowWithOptions(run, workflow.RegisterOptions{Name: string(kind)})
	}
	kube := &cluster.Kubernetes{Client: w.kube, Watch: &cluster.Watch{Reader: w.kube}}
	steps := &activities.Steps{
		Rows: w.rows, Results: w.rows, Backups: w.rows,
		Cluster: kube, Postgres: &postgres.Postgres{Kubernetes: kube}, Archives: &objectstore.Archives{Store: bucketsThere{}},
		Keys: &objectstore.Keys{Kubernetes: kube, Shared: manifest.Archive{AccessKey: "an-access-key", SecretKey: "a-secret-key"}},
		Platform: manifest.Platform{
			PostgresImages: daap.Catalog{"17": "localhost/postgresql:17"},
			Archive:        manifest.Archive{Endpoint: "https://s3.example.com"},
		},
	}
	env.RegisterActivity(steps)
	env.RegisterActivity(&activities.Records{Operations: w.rows, Decisions: w.rows})
	// No PostgreSQL runs in the world, so that nothing can be asked of it.
	instead := func(name string, do func(context.Context, activities.Input) error) {
		env.RegisterActivityWithOptions(do, activity.RegisterOptions{Name: name, DisableAlreadyRegisteredCheck: true})
	}
	for _, name := range []string{
		"VerifyConnection", "StopSuperseded", "ArchiveSourceChanges", "WaitRolloutInForce", "WaitUpdateInForce", "WaitReconcileInForce",
		"CloseDatabase", "ArchiveLastChanges", "VerifyArchive",
	} {
		instead(name, func(context.Context, activities.Input) error { return nil })
	}
	instead("RevertCluster", steps.ApplyCluster)
	instead("CloseToClients", steps.StopPooler)
	instead("OpenToClients", steps.ApplyPooler)
	w.env = env
	return env
}

type intercepting struct {
	sdkinterceptor.WorkerInterceptorBase
	world *world
}

func (i *intercepting) InterceptActivity(
	ctx context.Context, next sdkinterceptor.ActivityInboundInterceptor,
) sdkinterceptor.ActivityInboundInterceptor {
	return i.world.InterceptActivity(ctx, next)
}

// run runs the operation to its end and fails the test if the run itself fails. in may say how it starts.
func (w *world) run(in ...workflows.Input) {
	w.t.Helper()
	env := w.env
	if env == nil || env.IsWorkflowCompleted() { // an environment is for one run
		env = w.environment()
	}
	env.ExecuteWorkflow(string(w.kind), append(in, input)[0])
	if err := env.GetWorkflowError(); err != nil {
		w.t.Fatalf("the run fails: %v", err)
	}
	if !env.IsWorkflowCompleted() {
		w.t.Fatal("the run does not end")
	}
}

// ended fails the test unless the operation ended so, with its database and all objects as they then must be.
func (w *world) ended(want daap.OperationState) {
	w.t.Helper()
	status, objects := w.kind.After(), after(w.t, w.kind)
	if want == daap.OperationCancelled {
		status, objects = w.rows.op().AfterCancel(), before(w.t, w.kind)
	}
	if w.rows.op().State != want || w.rows.db().Status != status {
		w.t.Errorf("the operation is %s, the database %s; want %s and %s", w.rows.op().State, w.rows.db().Status, want, status)
	}
	if got := w.objects(); got != objects {
		w.t.Errorf("there is\n%s\nwant\n%s", got, objects)
	}
}

// eachStep runs the test for every step of every operation, so that a new step is tested the day it is written.
func eachStep(t *testing.T, test func(t *testing.T, kind daap.OperationKind, step daap.StepPlan)) {
	t.Helper()
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		for _, plan := range kind.Steps() {
			t.Run(string(kind)+"/"+string(plan.Name), func(t *testing.T) {
				t.Parallel()
				test(t, kind, plan)
			})
		}
	}
}
