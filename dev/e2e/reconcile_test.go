//go:build e2e

package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/api/oas"
)

// reconciled asks for the operation that reconciles the database, and returns it.
func reconciled(ctx context.Context, t *testing.T, id uuid.UUID) uuid.UUID {
	t.Helper()
	accepted, err := stack.API.ReconcileDatabase(ctx, oas.ReconcileDatabaseParams{ID: id})
	if err != nil {
		t.Fatalf("reconcile database %s: %v", id, err)
	}
	return accepted.Response.Meta.OperationID
}

// clusterNamed is the database's Cluster of that name.
func clusterNamed(ctx context.Context, t *testing.T, id uuid.UUID, name string) *cnpgv1.Cluster {
	t.Helper()
	var cluster cnpgv1.Cluster
	if err := stack.Kubernetes.Get(ctx, client.ObjectKey{Namespace: daap.Namespace(id), Name: name}, &cluster); err != nil {
		t.Fatal(err)
	}
	return &cluster
}

// loseCluster deletes the Cluster behind DAAP's back and waits until its pods and volumes are gone.
func loseCluster(ctx context.Context, t *testing.T, id uuid.UUID, name string) {
	t.Helper()
	if err := stack.Kubernetes.Delete(ctx, clusterNamed(ctx, t, id, name)); err != nil {
		t.Fatal(err)
	}
	of := []client.ListOption{client.InNamespace(daap.Namespace(id)), client.MatchingLabels{manifest.LabelCluster: name}}
	until(ctx, t, "the Cluster is gone with its pods and volumes", func() bool {
		var pods corev1.PodList
		var claims corev1.PersistentVolumeClaimList
		if err := stack.Kubernetes.List(ctx, &pods, of...); err != nil {
			t.Fatal(err)
		}
		if err := stack.Kubernetes.List(ctx, &claims, of...); err != nil {
			t.Fatal(err)
		}
		instances := slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return p.Labels["cnpg.io/podRole"] == "pooler" })
		return len(instances)+len(claims.Items) == 0
	})
}

func TestWhatSomebodyChangedByHandIsTakenBack(t *testing.T) {
	parallel(t)
	ctx := t.Context()
	keepingTier(ctx, t, "e2e-edited")
	db, operation := createOn(ctx, t, "e2e-edited", "e2e", "edited")
	succeed(ctx, t, operation)
	cluster := clusterNamed(ctx, t, db.ID, "pg-1")
	written := managersOf(cluster)
	t.Logf("those who wrote the Cluster before: %v", written)
	for _, manager := range written {
		if manager != "daap" && manager != "manager" {
			t.Errorf("%s wrote the Cluster, and is neither DAAP nor the operator", manager)
		}
	}
	before := client.MergeFrom(cluster.DeepCopy())
	cluster.Spec.PostgresConfiguration.Parameters["work_mem"] = "8MB"
	cluster.Spec.PostgresConfiguration.Parameters["pgaudit.log"] = "none"
	delete(cluster.Spec.PostgresConfiguration.Parameters, "log_min_error_statement")
	cluster.Labels["daap.io/team"] = "another"
	if err := stack.Kubernetes.Patch(ctx, cluster, before, client.FieldOwner("kubectl-edit")); err != nil {
		t.Fatal(err)
	}
	psql := psqlOf(ctx, t, db.ID)
	until(ctx, t, "PostgreSQL has the setting", func() bool {
		got, err := psql.Run(ctx, `SHOW work_mem`)
		return err == nil && got == "8MB"
	})
	policy := denyingPolicy(ctx, t, db.ID)
	open := client.MergeFrom(policy.DeepCopy())
	policy.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}} // everybody
	if err := stack.Kubernetes.Patch(ctx, policy, open, client.FieldOwner("kubectl-edit")); err != nil {
		t.Fatal(err)
	}

	drifts(ctx, t, db.ID, oas.ConditionStatusTrue, "ChangedByHand",
		"Cluster pg-1: kubectl-edit changed", "work_mem", "daap.io/team", "NetworkPolicy deny: kubectl-edit changed spec.ingress",
		"Cluster pg-1: spec.postgresql.parameters.log_min_error_statement was removed")
	takesBack := editsOfEachKind(ctx, t, db.ID)

	began := time.Now()
	op := succeed(ctx, t, reconciled(ctx, t, db.ID))
	t.Logf("%s took %s", op.WorkflowID, time.Since(began).Round(time.Second))
	cluster = clusterNamed(ctx, t, db.ID, "pg-1")
	parameters := cluster.Spec.PostgresConfiguration.Parameters
	if _, there := parameters["work_mem"]; there || parameters["pgaudit.log"] == "none" ||
		parameters["log_min_error_statement"] != "panic" || cluster.Labels["daap.io/team"] != "e2e" {
		t.Errorf("the Cluster has %v and labels %v, want what DAAP applies", parameters, cluster.Labels)
	}
	if got := managersOf(cluster); slices.Contains(got, "kubectl-edit") {
		t.Errorf("%v wrote the Cluster still", got)
	}
	if policy := denyingPolicy(ctx, t, db.ID); len(policy.Spec.Ingress) > 0 {
		t.Errorf("the policy lets in %v, want nobody", policy.Spec.Ingress)
	}
	takesBack()
	until(ctx, t, "PostgreSQL has its own setting again", func() bool {
		got, err := psql.Run(ctx, `SHOW work_mem`)
		return err == nil && got == "4MB"
	})
	drifts(ctx, t, db.ID, oas.ConditionStatusFalse, "AsApplied")
	remove(ctx, t, db.ID)
}

// editsOfEachKind changes one object of each other kind, and waits each time until Drift names it. It returns what checks
// that all of that is taken back.
func editsOfEachKind(ctx context.Context, t *testing.T, id uuid.UUID) (takenBack func()) {
	t.Helper()
	namespace := daap.Namespace(id)
	store := &unstructured.Unstructured{}
	store.SetAPIVersion(manifest.ObjectStoreVersion)
	store.SetKind("ObjectStore")
	var schedule cnpgv1.ScheduledBackup
	var space corev1.Namespace
	var worker, team rbacv1.RoleBinding
	objects := map[client.Object]client.ObjectKey{
		store: {Namespace: namespace, Name: manifest.ArchiveStore}, &schedule: {Namespace: namespace, Name: "pg-1"},
		&space: {Name: namespace}, &worker: {Namespace: namespace, Name: manifest.WorkerAccount},
		&team: {Namespace: namespace, Name: "connection"},
	}
	read := func() {
		t.Helper()
		for object, key := range objects {
			if err := stack.Kubernetes.Get(ctx, key, object); err != nil {
				t.Fatal(err)
			}
		}
	}
	read()
	retention, _, _ := unstructured.NestedString(store.Object, "spec", "retentionPolicy")
	role := team.RoleRef.Name
	edit := func(object client.Object, change func(), says string) {
		t.Helper()
		before, is := object.DeepCopyObject().(client.Object)
		if !is {
			t.Fatalf("%T is no object", object)
		}
		change()
		if err := stack.Kubernetes.Patch(ctx, object, client.MergeFrom(before), client.FieldOwner("kubectl-edit")); err != nil {
			t.Fatal(err)
		}
		drifts(ctx, t, id, oas.ConditionStatusTrue, "ChangedByHand", says)
	}
	edit(store, func() { _ = unstructured.SetNestedField(store.Object, "1d", "spec", "retentionPolicy") },
		"ObjectStore archive: kubectl-edit changed spec.retentionPolicy")
	edit(&schedule, func() { schedule.Spec.Suspend = new(true) }, "ScheduledBackup pg-1: kubectl-edit changed spec.suspend")
	edit(&space, func() { space.Labels["pod-security.kubernetes.io/enforce"] = "privileged" },
		"Namespace "+namespace+": kubectl-edit changed metadata.labels[pod-security.kubernetes.io/enforce]")
	edit(&worker, func() {
		worker.Subjects = append(worker.Subjects, rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: "e2e-intruder"})
	}, "RoleBinding daap-worker: kubectl-edit changed subjects")
	if err := stack.Kubernetes.Delete(ctx, &team); err != nil {
		t.Fatal(err)
	}
	drifts(ctx, t, id, oas.ConditionStatusTrue, "ObjectMissing", "RoleBinding connection does not exist")
	another := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "connection"}, Subjects: team.Subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
	}
	if err := stack.Kubernetes.Create(ctx, another, client.FieldOwner("kubectl-create")); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		read()
		if is, _, _ := unstructured.NestedString(store.Object, "spec", "retentionPolicy"); is != retention {
			t.Errorf("the archive is kept for %s, want %s", is, retention)
		}
		if schedule.Spec.Suspend != nil && *schedule.Spec.Suspend || space.Labels["pod-security.kubernetes.io/enforce"] != "restricted" ||
			len(worker.Subjects) != 1 || team.RoleRef.Name != role {
			t.Errorf("base backups are suspended: %v; the namespace has the labels %v; the worker's role is bound to %v, the team to %s",
				schedule.Spec.Suspend, space.Labels, worker.Subjects, team.RoleRef.Name)
		}
	}
}

// drifts waits until the condition Drift of the database is so, and fails the test where that takes longer than it may,
// or its message does not say all of it.
func drifts(ctx context.Context, t *testing.T, id uuid.UUID, status oas.ConditionStatus, reason string, says ...string) {
	t.Helper()
	began := time.Now()
	var drift oas.Condition
	until(ctx, t, "Drift is "+string(status), func() bool {
		conditions := of(ctx, t, id).Conditions
		at := slices.IndexFunc(conditions, func(c oas.Condition) bool { return c.Type == oas.ConditionTypeDrift })
		if at < 0 {
			return false
		}
		drift = conditions[at]
		return drift.Status == status && drift.Reason == reason && !slices.ContainsFunc(says, func(text string) bool {
			return !strings.Contains(drift.Message, text)
		})
	})
	if took := time.Since(began); took > showsWithin {
		t.Errorf("that Drift is %s showed after %s, want it within %s; it says %q", status, took, showsWithin, drift.Message)
	}
}

// denyingPolicy is the network policy that lets nobody in.
func denyingPolicy(ctx context.Context, t *testing.T, id uuid.UUID) *networkingv1.NetworkPolicy {
	t.Helper()
	var policy networkingv1.NetworkPolicy
	if err := stack.Kubernetes.Get(ctx, client.ObjectKey{Namespace: daap.Namespace(id), Name: "deny"}, &policy); err != nil {
		t.Fatal(err)
	}
	return &policy
}

// managersOf are those who wrote the object, without its status.
func managersOf(object metav1.Object) []string {
	var all []string
	for _, entry := range object.GetManagedFields() {
		if entry.Subresource == "" && !slices.Contains(all, entry.Manager) {
			all = append(all, entry.Manager)
		}
	}
	return all
}

func TestClusterThatIsLostIsRestoredFromItsBackups(t *testing.T) {
	parallel(t, long, needsStore)
	ctx := t.Context()
	keepingTier(ctx, t, "e2e-lost")
	db, operation := createOn(ctx, t, "e2e-lost", "e2e", "lost")
	succeed(ctx, t, operation)
	was, err := stack.API.GetDatabaseConnection(ctx, oas.GetDatabaseConnectionParams{ID: db.ID})
	if err != nil {
		t.Fatal(err)
	}
	psql := psqlOf(ctx, t, db.ID)
	if _, err := psql.Run(ctx, written); err != nil {
		t.Fatal(err)
	}
	want, err := psql.Run(ctx, checksum)
	if err != nil {
		t.Fatal(err)
	}
	asked, err := stack.API.BackUpDatabase(ctx, oas.BackUpDatabaseParams{ID: db.ID}) // has all archived that was written
	if err != nil {
		t.Fatal(err)
	}
	succeed(ctx, t, asked.Response.Meta.OperationID)
	loseCluster(ctx, t, db.ID, "pg-1")
	drifts(ctx, t, db.ID, oas.ConditionStatusTrue, "ClusterMissing", "does not exist")
	becomes(ctx, t, db.ID, showsWithin, oas.DatabaseHealthUnavailable)

	began := time.Now()
	op := succeed(ctx, t, reconciled(ctx, t, db.ID))
	t.Logf("%s of a Cluster that was lost took %s", op.WorkflowID, time.Since(began).Round(time.Second))
	is, err := stack.API.GetDatabaseConnection(ctx, oas.GetDatabaseConnectionParams{ID: db.ID})
	if err != nil {
		t.Fatal(err)
	}
	if is.Data.Pooled.Host != was.Data.Pooled.Host || is.Data.Direct.Host != was.Data.Direct.Host ||
		is.Data.Secret != was.Data.Secret || is.Data.CaCertificate == was.Data.CaCertificate {
		t.Errorf("the connection is %+v, was %+v; want the same hosts with another CA", is.Data, was.Data)
	}
	for way, psql := range bothWays(ctx, t, db.ID) {
		if got, err := psql.Run(ctx, checksum); err != nil || got != want {
			t.Errorf("%s there is %q (%v), want %q", way, got, err, want)
		}
		if _, err := psql.Run(ctx, `UPDATE clock SET i = i WHERE i = 1`); err != nil {
			t.Errorf("%s nothing can be written: %v", way, err)
		}
	}
	drifts(ctx, t, db.ID, oas.ConditionStatusFalse, "AsApplied")
	onlyOfPresent(ctx, t, db.ID, "pg-2")
	shown := of(ctx, t, db.ID)
	if shown.Source.Value.DatabaseID != db.ID {
		t.Errorf("its source is %+v, want itself", shown.Source)
	}
	events, err := stack.API.ListDatabaseEvents(ctx, oas.ListDatabaseEventsParams{ID: db.ID, Limit: oas.NewOptInt(100)})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []oas.EventKind{oas.EventKindIncarnationBegun, oas.EventKindCaCertificateChanged} {
		if !slices.ContainsFunc(events.Data, func(e oas.Event) bool { return e.Kind == kind }) {
			t.Errorf("the timeline has no %s", kind)
		}
	}
	backupsKnown(ctx, t, db.ID)
	// After a look at its backups and a scan of its PostgreSQL.
	becomesBy(ctx, t, db.ID, 4*checkedWithin, []string{checkBackups, scanExtensions}, oas.DatabaseHealthHealthy)
	succeed(ctx, t, reconciled(ctx, t, db.ID)) // applies what is there, and begins nothing
	clusterNamed(ctx, t, db.ID, "pg-2")
	remove(ctx, t, db.ID)
	if n := objectsOf(ctx, t, db.ID); n > 0 {
		t.Errorf("%d objects are left", n)
	}
}

// onlyOfPresent fails the test unless what there is in Kubernetes is of the Cluster.
func onlyOfPresent(ctx context.Context, t *testing.T, id uuid.UUID, name string) {
	t.Helper()
	in := client.InNamespace(daap.Namespace(id))
	var clusters cnpgv1.ClusterList
	var poolers cnpgv1.PoolerList
	var schedules cnpgv1.ScheduledBackupList
	for _, list := range []client.ObjectList{&clusters, &poolers, &schedules} {
		if err := stack.Kubernetes.List(ctx, list, in); err != nil {
			t.Fatal(err)
		}
	}
	if len(clusters.Items) != 1 || clusters.Items[0].Name != name || len(poolers.Items) != 1 ||
		poolers.Items[0].Spec.Cluster.Name != name || len(schedules.Items) != 1 || schedules.Items[0].Spec.Cluster.Name != name {
		t.Errorf("there are %d Clusters, %d Poolers and %d ScheduledBackups, want one each of %s",
			len(clusters.Items), len(poolers.Items), len(schedules.Items), name)
	}
}

func TestClusterThatIsLostWithoutBackupsIsNotMadeAnew(t *testing.T) {
	parallel(t)
	ctx := t.Context()
	db, operation := create(ctx, t, "unkept")
	succeed(ctx, t, operation)
	loseCluster(ctx, t, db.ID, "pg-1")
	parked, err := stack.Follow(ctx, reconciled(ctx, t, db.ID), nil)
	if err != nil || parked.State != oas.OperationStateNeedsAttention || parked.Error.Value.Code != oas.CauseCodeDATALOST ||
		!strings.Contains(parked.Error.Value.Message, "pg-1") {
		t.Fatalf("the operation is %s for %+v (%v), want that it needs attention as the data are lost; steps: %s",
			parked.State, parked.Error, err, describe(parked))
	}
	decide(ctx, t, func(key oas.OptString) error {
		_, err := stack.API.AbortOperation(ctx, decision("nothing to have back"), oas.AbortOperationParams{ID: parked.ID, IdempotencyKey: key})
		return err
	})
	if op, err := stack.Follow(ctx, parked.ID, nil); err != nil || op.State != oas.OperationStateCancelled {
		t.Errorf("the operation is %s (%v), want cancelled", op.State, err)
	}
	if got := of(ctx, t, db.ID); got.Status != oas.DatabaseStatusReady {
		t.Errorf("the database is %s, want ready as before", got.Status)
	}
	drifts(ctx, t, db.ID, oas.ConditionStatusTrue, "ClusterMissing")
	var cluster cnpgv1.Cluster
	key := client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: "pg-1"}
	if err := stack.Kubernetes.Get(ctx, key, &cluster); !apierrors.IsNotFound(err) {
		t.Errorf("the Cluster: %v, want none", err)
	}
	remove(ctx, t, db.ID)
}
