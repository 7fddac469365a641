package activities

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
	"github.com/daap-dev/daap/activities/manifest"
)

// reborn is a database that is reconciled, with its rows and its archives.
type reborn struct {
	resultRows
	archives
	op daap.Operation
	// begun are the server names from which incarnations were begun.
	begun []string
}

func (r *reborn) Database(context.Context, daap.Scope, uuid.UUID) (daap.Database, error) {
	return r.db, nil
}

func (r *reborn) Operation(context.Context, daap.Scope, uuid.UUID) (daap.Operation, error) {
	return r.op, nil
}

func (r *reborn) BeginIncarnation(_ context.Context, _ uuid.UUID, _ int, server string) error {
	r.db = r.db.Next(server)
	r.op.Incarnation = r.db.Incarnation
	r.begun = append(r.begun, server)
	return nil
}

// reconciling returns the activities for a database with backups in its first incarnation, whose objects are in
// Kubernetes.
func reconciling(t *testing.T, objects ...client.Object) (*Steps, *reborn) {
	t.Helper()
	rows := &reborn{archives: *newArchives()}
	rows.db.Incarnation = 1
	k := stepsWith(t)
	scheme := k.Cluster.Client.Scheme()
	stores := schema.FromAPIVersionAndKind(manifest.ObjectStoreVersion, "ObjectStore")
	scheme.AddKnownTypeWithName(stores, manifest.ObjectStore(rows.db, k.Platform))
	funcs := rightsFrom(1)
	funcs.List = listMetadata
	k.Cluster.Client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithReturnManagedFields().
		WithTypeConverters(managedfields.NewDeducedTypeConverter()).WithInterceptorFuncs(funcs).Build()
	k.Rows, k.Results, k.Archives.Store = rowsOf{rows, &holding{}}, rows, &rows.store
	return k, rows
}

// listMetadata lists the metadata of kinds that the scheme knows as unstructured objects, which the fake client cannot.
func listMetadata(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
	metadata, is := list.(*metav1.PartialObjectMetadataList)
	if !is {
		return c.List(ctx, list, options...)
	}
	full := &unstructured.UnstructuredList{}
	full.SetGroupVersionKind(list.GetObjectKind().GroupVersionKind())
	if err := c.List(ctx, full, options...); err != nil {
		return err
	}
	for _, object := range full.Items {
		metadata.Items = append(metadata.Items, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Namespace: object.GetNamespace(), Name: object.GetName(),
		}})
	}
	return nil
}

// impatient is CheckReconcile without a wait for remaining objects.
func impatient(r *Steps) func(context.Context, Input) error {
	return func(ctx context.Context, in Input) error {
		_, _, err := r.present(ctx, in, 0)
		return err
	}
}

// must runs the activities.
func must(t *testing.T, activities ...func(context.Context, Input) error) {
	t.Helper()
	for _, do := range activities {
		if err := run(t, do); err != nil {
			t.Fatal(err)
		}
	}
}

// clusters returns all Clusters.
func clusters(t *testing.T, k *Steps) []cnpgv1.Cluster {
	t.Helper()
	var found cnpgv1.ClusterList
	if err := k.Cluster.Client.List(t.Context(), &found); err != nil {
		t.Fatal(err)
	}
	return found.Items
}

// edit changes the Cluster like a person with kubectl edit.
func edit(t *testing.T, k *Steps, change func(*cnpgv1.Cluster)) {
	t.Helper()
	there := &clusters(t, k)[0]
	change(there)
	if err := k.Cluster.Client.Update(t.Context(), there, client.FieldOwner("kubectl-edit")); err != nil {
		t.Fatal(err)
	}
}

func TestForeignChangesOfTheClusterAreReverted(t *testing.T) {
	t.Parallel()
	r, _ := reconciling(t)
	must(t, r.ApplyCluster)
	edit(t, r, func(c *cnpgv1.Cluster) {
		c.Spec.Instances = 3
		c.Spec.PostgresConfiguration.Parameters["work_mem"] = "64MB"
		c.Labels["daap.io/team"], c.Labels["cost-center"] = "another", "42"
		c.Annotations = map[string]string{manifest.AnnotationHibernation: manifest.HibernationOn, "note": "mine"}
	})
	if before := cluster.ForeignWriters(clusters(t, r)[0].ManagedFields); len(before) != 1 || before[0].Manager != "kubectl-edit" || len(before[0].Fields) < 4 {
		t.Fatalf("foreign writers before: %v", before)
	}
	must(t, r.CheckReconcile, r.ReconcileCluster, r.ReconcileCluster)
	got := clusters(t, r)[0]
	if _, there := got.Spec.PostgresConfiguration.Parameters["work_mem"]; there || got.Spec.Instances != 1 || got.Labels["daap.io/team"] != "shop" {
		t.Errorf("the Cluster has %d instances, labels %v and %v", got.Spec.Instances, got.Labels, got.Spec.PostgresConfiguration.Parameters)
	}
	if _, there := got.Annotations[manifest.AnnotationHibernation]; there {
		t.Error("the Cluster still hibernates")
	}
	if got.Labels["cost-center"] != "42" || got.Annotations["note"] != "mine" {
		t.Errorf("metadata that DAAP does not own is gone: %v %v", got.Labels, got.Annotations)
	}
	if left := cluster.ForeignWriters(got.ManagedFields); len(left) > 0 {
		t.Errorf("foreign writers left: %v", left)
	}
}

func TestForeignChangesOfTheNetworkAreReverted(t *testing.T) {
	t.Parallel()
	r, rows := reconciling(t)
	must(t, r.ReconcileNamespace, r.ReconcilePooler)
	policy := manifest.DenyAll(rows.db)
	if err := r.Cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(policy), policy); err != nil {
		t.Fatal(err)
	}
	policy.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
	if err := r.Cluster.Client.Update(t.Context(), policy, client.FieldOwner("kubectl-edit")); err != nil {
		t.Fatal(err)
	}
	must(t, r.ReconcileNamespace, r.ReconcilePooler)
	if err := r.Cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(policy), policy); err != nil || len(policy.Spec.Ingress) > 0 {
		t.Errorf("the policy admits %v, %v; want no peer", policy.Spec.Ingress, err)
	}
}

// edits change objects of each kind like a person with kubectl edit, in addition to their team label.
var edits = map[string]func(spec map[string]any){
	"Namespace":       func(map[string]any) {},
	"RoleBinding":     func(o map[string]any) { o["subjects"] = []any{map[string]any{"kind": "User", "name": "mallory"}} },
	"NetworkPolicy":   func(o map[string]any) { _ = unstructured.SetNestedSlice(o, []any{map[string]any{}}, "spec", "ingress") },
	"ObjectStore":     func(o map[string]any) { _ = unstructured.SetNestedField(o, "1d", "spec", "retentionPolicy") },
	"Pooler":          func(o map[string]any) { _ = unstructured.SetNestedField(o, int64(3), "spec", "instances") },
	"ScheduledBackup": func(o map[string]any) { _ = unstructured.SetNestedField(o, true, "spec", "suspend") },
}

// editAsKubectl edits the object in Kubernetes and returns it. The fake client records the writer of typed objects only.
func editAsKubectl(t *testing.T, r *Steps, o manifest.Object) client.Object {
	t.Helper()
	there, is := o.Built.DeepCopyObject().(client.Object)
	if !is || edits[o.Kind().Kind] == nil {
		t.Fatalf("%v cannot be edited", o)
	}
	if err := r.Cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(o.Built), there); err != nil {
		t.Fatal(err)
	}
	labels := there.GetLabels()
	labels[manifest.LabelTeam], labels["cost-center"] = "another", "42"
	there.SetLabels(labels)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(there)
	if err != nil {
		t.Fatal(err)
	}
	edits[o.Kind().Kind](content)
	if plain, is := there.(*unstructured.Unstructured); is {
		plain.Object = content
	} else if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, there); err != nil {
		t.Fatal(err)
	}
	if err := r.Cluster.Client.Update(t.Context(), there, client.FieldOwner("kubectl-edit")); err != nil {
		t.Fatal(err)
	}
	return there
}

// theThing returns the object in Kubernetes.
func theThing(t *testing.T, r *Steps, o manifest.Object) (*unstructured.Unstructured, error) {
	t.Helper()
	there := &unstructured.Unstructured{}
	there.SetGroupVersionKind(o.Kind())
	return there, r.Cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(o.Built), there)
}

// TestForeignChangesOfEveryObjectAreReverted edits each of the objects, and then deletes it.
func TestForeignChangesOfEveryObjectAreReverted(t *testing.T) {
	t.Parallel()
	r, rows := reconciling(t)
	rows.db.Source = &sourceOfOrders
	all := slices.DeleteFunc(manifest.Objects(rows.db, r.Platform), func(o manifest.Object) bool {
		return !o.Followed || o.Kind() == manifest.ClusterKind
	})
	takeBack := func() {
		t.Helper()
		must(t, r.ReconcileNamespace, r.ReconcileSource, r.ReconcileArchive, r.ReconcilePooler)
		if err := r.takeBackStep(t.Context(), rows.db, daap.StepBackup); err != nil {
			t.Fatal(err)
		}
	}
	takeBack()
	for _, o := range all {
		there := editAsKubectl(t, r, o)
		if by := cluster.ForeignWriters(there.GetManagedFields()); len(by) != 1 || by[0].Manager != "kubectl-edit" {
			t.Errorf("%v: foreign writers are %v, want kubectl-edit", o, by)
		}
	}
	isAsApplied := func(when string) {
		t.Helper()
		for _, o := range all {
			want, err := manifest.Sent(o.Built)
			if err != nil {
				t.Fatal(err)
			}
			there, err := theThing(t, r, o)
			if err != nil {
				t.Errorf("%s: %v", when, err)
				continue
			}
			for _, field := range manifest.DesiredFields {
				if is := there.Object[field]; !equality.Semantic.DeepEqual(is, want.Object[field]) {
					t.Errorf("%s: %s of %v is %v, want %v", when, field, o, is, want.Object[field])
				}
			}
			if by := cluster.ForeignWriters(there.GetManagedFields()); len(by) > 0 || there.GetLabels()[manifest.LabelTeam] != "shop" {
				t.Errorf("%s: %v has the foreign writers %v and the labels %v", when, o, by, there.GetLabels())
			}
		}
	}
	takeBack()
	isAsApplied("edited")
	for _, o := range all {
		if there, err := theThing(t, r, o); err != nil || o.Kind().Kind != "Namespace" && r.Cluster.Client.Delete(t.Context(), there) != nil {
			t.Fatalf("delete %v: %v", o, err)
		}
	}
	takeBack()
	isAsApplied("deleted")
}

func TestRoleBindingToAnotherRoleIsReplaced(t *testing.T) {
	t.Parallel()
	r, rows := reconciling(t)
	must(t, r.ReconcileNamespace)
	binding := manifest.ConnectionRights(rows.db)
	if err := r.Cluster.Client.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	other := manifest.ConnectionRights(rows.db)
	other.RoleRef.Name = "cluster-admin"
	if err := r.Cluster.Client.Create(t.Context(), other, client.FieldOwner("kubectl-create")); err != nil {
		t.Fatal(err)
	}
	must(t, r.ReconcileNamespace)
	if err := r.Cluster.Client.Get(t.Context(), client.ObjectKeyFromObject(other), other); err != nil || other.RoleRef.Name != manifest.ConnectionRole {
		t.Errorf("the team is bound to %s, %v; want %s", other.RoleRef.Name, err, manifest.ConnectionRole)
	}
}

// left is the metadata of a remaining object of the Cluster pg-1.
func left(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: daap.Namespace(orders.ID), Name: name, Labels: map[string]string{manifest.LabelCluster: "pg-1"}}
}

func TestMissingClusterIsRestoredOrTheOperationParks(t *testing.T) {
	t.Parallel()
	pooler := &corev1.Pod{ObjectMeta: left("pooler-1")}
	pooler.Labels[manifest.LabelPodRole] = manifest.RolePooler
	for name, tt := range map[string]struct {
		objects []client.Object
		change  func(*reborn)
		from    string
		why     daap.CauseCode
		names   string
	}{
		"there is a base backup":   {nil, func(r *reborn) { r.base("pg-1", day, 2, "DONE") }, "pg-1", "", ""},
		"PgBouncer still exists":   {[]client.Object{pooler}, func(r *reborn) { r.base("pg-1", day, 2, "DONE") }, "pg-1", "", ""},
		"there is none":            {nil, func(*reborn) {}, "", daap.CauseDataLost, "pg-1"},
		"one is not completed":     {nil, func(r *reborn) { r.base("pg-1", day, 2, "STARTED") }, "", daap.CauseDataLost, "pg-1"},
		"the tier has none":        {nil, func(r *reborn) { r.db.Profile.Backups = daap.Backups{} }, "", daap.CauseDataLost, "pg-1"},
		"the store is unavailable": {nil, func(r *reborn) { r.err = errors.New("Access Denied") }, "", daap.CauseS3Denied, "Access Denied"},
		"the second one is gone": {nil, func(r *reborn) {
			r.db.Incarnation = 2
			r.base("pg-1", 2*day, 2, "DONE")
			r.base("pg-2", day, 2, "DONE")
		}, "pg-2", "", ""},
		"the second had no backup yet": {nil, func(r *reborn) { r.db.Incarnation = 2; r.base("pg-1", day, 2, "DONE") }, "pg-1", "", ""},
		"a volume claim is left":       {[]client.Object{&corev1.PersistentVolumeClaim{ObjectMeta: left("pg-1-1")}}, func(r *reborn) { r.base("pg-1", day, 2, "DONE") }, "", daap.CauseClusterGone, "Volume claim pg-1-1"},
		"an instance is left":          {[]client.Object{&corev1.Pod{ObjectMeta: left("pg-1-1")}}, func(r *reborn) { r.base("pg-1", day, 2, "DONE") }, "", daap.CauseClusterGone, "Pod pg-1-1"},
		"another writer created one":   {[]client.Object{&cnpgv1.Cluster{ObjectMeta: left("pg-1")}}, func(r *reborn) { r.base("pg-1", day, 2, "DONE") }, "", daap.CauseClusterGone, "was not created by DAAP"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, rows := reconciling(t, tt.objects...)
			tt.change(rows)
			was, made := rows.db, len(clusters(t, r))
			err := run(t, impatient(r))
			if tt.why != "" {
				if cause := Cause(err, "Check"); err == nil || cause.Code != tt.why || !strings.Contains(cause.Message, tt.names) || cause.Remedy == "" {
					t.Errorf("it is %v with %+v, want %s that names %q", err, cause, tt.why, tt.names)
				}
				if rows.db.Incarnation != was.Incarnation || len(clusters(t, r)) != made {
					t.Errorf("the database is at incarnation %d with %d Clusters", rows.db.Incarnation, len(clusters(t, r)))
				}
				return
			}
			must(t, impatient(r)) // the result of the first attempt may be lost
			if err != nil || len(rows.begun) != 1 || rows.begun[0] != tt.from || rows.db.Incarnation != was.Incarnation+1 {
				t.Errorf("got %v, begun from %v, now incarnation %d; want one from %s", err, rows.begun, rows.db.Incarnation, tt.from)
			}
		})
	}
}

func TestClusterDeletedBeforeApplyIsRestoredNotRecreatedEmpty(t *testing.T) {
	t.Parallel()
	r, rows := reconciling(t)
	rows.base("pg-1", day, 2, "DONE")
	must(t, r.ApplyCluster, r.CheckReconcile)
	if err := r.Cluster.Client.Delete(t.Context(), &clusters(t, r)[0]); err != nil {
		t.Fatal(err)
	}
	must(t, r.ReconcileCluster, r.ReconcileCluster)
	made := clusters(t, r)
	if len(made) != 1 || made[0].Name != "pg-2" || made[0].Spec.Bootstrap.InitDB != nil || made[0].Spec.Bootstrap.Recovery == nil {
		t.Fatalf("there is %+v, want pg-2, recovered", made)
	}
	if from := made[0].Spec.ExternalClusters[0].PluginConfiguration.Parameters["serverName"]; from != "pg-1" {
		t.Errorf("it is recovered from %s, want pg-1", from)
	}
	if archives := made[0].Spec.Plugins[0].Parameters["serverName"]; archives != "pg-2" {
		t.Errorf("it archives to %s, want pg-2", archives)
	}
	var keys corev1.Secret
	key := client.ObjectKey{Namespace: daap.Namespace(orders.ID), Name: manifest.SourceCredentials}
	if err := r.Cluster.Client.Get(t.Context(), key, &keys); err != nil {
		t.Errorf("it has no keys to the archive that it is recovered from: %v", err)
	}
}

func TestOnlyReconcileReplacesAMissingCluster(t *testing.T) {
	t.Parallel()
	k := stepsWith(t)
	k.Rows = rowsOf{oneDatabase{larger()}, &holding{}}
	for name, do := range map[string]func(context.Context, Input) error{
		"update": k.UpdateCluster, "grow": k.GrowCluster, "wake": k.WakeCluster, "hibernate": k.HibernateCluster,
	} {
		err := run(t, do)
		if cause := Cause(err, "Change"); err == nil || cause.Code != daap.CauseClusterGone {
			t.Errorf("%s: %v, want that the Cluster is gone", name, err)
		}
	}
	back := func(ctx context.Context, in Input) error { in.Undo = true; return k.HibernateCluster(ctx, in) }
	must(t, k.RevertCluster, back) // there is nothing to revert
	if made := clusters(t, k); len(made) > 0 {
		t.Errorf("there is %+v", made)
	}
}

func TestPoolerOfThePreviousClusterIsReplaced(t *testing.T) {
	t.Parallel()
	r, rows := reconciling(t)
	must(t, r.ReconcilePooler)
	rows.db = rows.db.Next("pg-1")
	must(t, r.ReconcilePooler, r.ReconcilePooler)
	var poolers cnpgv1.PoolerList
	if err := r.Cluster.Client.List(t.Context(), &poolers); err != nil || len(poolers.Items) != 1 {
		t.Fatalf("poolers: %v, %v, want one", poolers.Items, err)
	}
	if got := poolers.Items[0]; got.Name != daap.PoolerService || got.Spec.Cluster.Name != "pg-2" {
		t.Errorf("the pooler is %s of %s, want the same name of pg-2", got.Name, got.Spec.Cluster.Name)
	}
}

func TestBackupsBelongToTheCurrentIncarnation(t *testing.T) {
	t.Parallel()
	old := backupThere("first-1", time.Hour, cnpgv1.BackupPhaseCompleted, "")
	r, rows := reconciling(t, old, archivingCluster(metav1.ConditionTrue, ""))
	k := r
	k.Cluster.Watch.Reader = k.Cluster.Client
	must(t, r.ReconcileArchive, r.ReconcileBackups)
	rows.db = rows.db.Next("pg-1")
	present := archivingCluster(metav1.ConditionTrue, "")
	present.Name, present.ResourceVersion = "pg-2", ""
	now := backupThere("first-2", time.Minute, cnpgv1.BackupPhaseCompleted, "")
	now.Spec.Cluster.Name = "pg-2"
	for _, object := range []client.Object{present, now} {
		if err := k.Cluster.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	must(t, r.ReconcileBackups)
	var schedules cnpgv1.ScheduledBackupList
	if err := k.Cluster.Client.List(t.Context(), &schedules); err != nil || len(schedules.Items) != 1 || schedules.Items[0].Spec.Cluster.Name != "pg-2" {
		t.Errorf("schedules: %v, %v, want only pg-2's", schedules.Items, err)
	}
	is, looked := r.Backups.(*seen)
	if !looked || len(is.backups) != 1 || is.backups[0].Name != "first-2" || is.backups[0].ServerName != "pg-2" {
		t.Errorf("observed %+v, want only the base backup of pg-2", is.backups)
	}
}
