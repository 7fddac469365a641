package cluster

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// running are the objects of a healthy database with one standby.
func running() objects {
	cluster := healthyCluster()
	cluster.Spec.Instances, cluster.Status.ReadyInstances = 2, 2
	pool := deployment(2, 2, 2, 2)
	all := objects{cluster: cluster, pool: &pool}
	for _, name := range []string{"pg-1-1", "pg-1-2"} {
		all.pods = append(all.pods, corev1.Pod{ObjectMeta: instance(name), Status: corev1.PodStatus{
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		}})
	}
	for _, o := range manifest.Objects(keptOrders(), manifest.Platform{}) {
		if !o.Followed {
			continue
		}
		of := applied{kind: o.Kind().Kind, name: o.Built.GetName(), is: &metav1.PartialObjectMetadata{}}
		if o.Kind() == manifest.ClusterKind {
			of.is = cluster
		}
		all.applied = append(all.applied, of)
	}
	return all
}

// keptOrders is orders with backups, restored from another database: it has all kinds of objects.
func keptOrders() daap.Database {
	db := orders
	db.Profile.Backups = daap.Backups{
		BackupEnabled: true, BackupFrequency: "0 2 * * *", BackupRetentionDays: 14, ObjectStorageDestination: "s3://backups/shop",
	}
	db.Source = &daap.Source{Destination: "s3://backups/shop/another", ServerName: "pg-1"}
	return db
}

// of returns the object of that kind and name, which the test may change.
func (o *objects) of(kind, name string) *applied {
	for i := range o.applied {
		if o.applied[i].kind == kind && o.applied[i].name == name {
			return &o.applied[i]
		}
	}
	return nil
}

// handEdited is the entry of a change with kubectl.
func handEdited(fields string) []metav1.ManagedFieldsEntry {
	return []metav1.ManagedFieldsEntry{{
		Manager: "kubectl-edit", Operation: metav1.ManagedFieldsOperationUpdate, FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(fields),
	}}
}

func TestHealthFollowsFromTheWatchedObjects(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*objects)
		want   daap.DatabaseHealth
		says   string // the type and reason of a condition, and a part of its message
	}{
		"healthy": {func(*objects) {}, daap.HealthHealthy, "Drift AsApplied "},
		"the Cluster is gone": {
			func(o *objects) { o.cluster = nil }, daap.HealthUnavailable, "Drift ClusterMissing does not exist",
		},
		"the Cluster is being deleted": {
			func(o *objects) { o.cluster.DeletionTimestamp = &metav1.Time{} }, daap.HealthUnavailable,
			"Ready ClusterMissing being deleted",
		},
		"the primary has no pod": {
			func(o *objects) { o.pods = o.pods[1:] }, daap.HealthUnavailable, "PrimaryReachable NoPod no pod",
		},
		"PostgreSQL does not answer": {
			func(o *objects) { o.pods[0].Status.Conditions = nil }, daap.HealthUnavailable,
			"PrimaryReachable PrimaryNotReady pod pg-1-1",
		},
		"the primary's pod is being deleted": {
			func(o *objects) { o.pods[0].DeletionTimestamp = &metav1.Time{} }, daap.HealthUnavailable,
			"PrimaryReachable PrimaryNotReady pod pg-1-1",
		},
		"there is no primary": {
			func(o *objects) { o.cluster.Status.CurrentPrimary = "" }, daap.HealthUnavailable, "PrimaryReachable NoPrimary ",
		},
		"no pool": {
			func(o *objects) { o.pool.Status.ReadyReplicas = 0 }, daap.HealthUnavailable, "PrimaryReachable NoPool PgBouncer",
		},
		"half a pool": {
			func(o *objects) { o.pool.Status.ReadyReplicas = 1 }, daap.HealthDegraded, "Ready NotReady 1 of 2 poolers",
		},
		"a standby is not ready": {
			func(o *objects) { o.pods[1].Status.Conditions, o.cluster.Status.ReadyInstances = nil, 1 }, daap.HealthDegraded,
			"Replication StandbysMissing 0 of 1 standbys",
		},
		"the disk is full": {
			func(o *objects) { o.cluster.Status.Phase = "Not enough disk space" }, daap.HealthDegraded,
			"Ready StorageFull Not enough disk space",
		},
		"PostgreSQL exited because the disk is full": {
			func(o *objects) {
				o.pods[0].Status = corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
					Name: manifest.PostgresContainer, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
					LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 4}},
				}}}
			}, daap.HealthUnavailable, "Ready StorageFull Enlarge the volume claims",
		},
		"a NetworkPolicy is gone": {
			func(o *objects) { o.of("NetworkPolicy", "deny").is = nil }, daap.HealthDegraded, "NetworkPolicyPresent PolicyMissing ",
		},
		"another writer edited the Cluster": {
			func(o *objects) { o.cluster.ManagedFields = handEdited(`{"f:spec":{"f:instances":{}}}`) }, daap.HealthDegraded,
			"Drift ChangedByHand kubectl-edit changed spec.instances",
		},
		"another writer opened a NetworkPolicy": {
			func(o *objects) {
				o.of("NetworkPolicy", "clients").is.SetManagedFields(handEdited(`{"f:spec":{"f:ingress":{}}}`))
			}, daap.HealthDegraded,
			"Drift ChangedByHand NetworkPolicy",
		},
		"another writer removed an applied field": {
			func(o *objects) {
				o.cluster.Annotations = map[string]string{manifest.AnnotationFields: `{"f:spec":{"f:instances":{},"f:plugins":{}}}`}
				o.cluster.ManagedFields = handEdited(`{"f:spec":{"f:instances":{}}}`)
			}, daap.HealthDegraded, "Drift ChangedByHand spec.plugins was removed",
		},
		"the Pooler is gone": {
			func(o *objects) { o.of("Pooler", "pooler").is = nil }, daap.HealthDegraded, "Drift PoolerMissing Pooler pooler does not exist",
		},
	} {
		all := running()
		tt.change(&all)
		found := all.conditions()
		if got := found.Health(); got != tt.want {
			t.Errorf("%s: the database is %s, want %s; %+v", name, got, tt.want, found)
		}
		says := strings.SplitN(tt.says, " ", 3)
		said := false
		for _, c := range found {
			said = said || string(c.Type) == says[0] && c.Reason == says[1] && strings.Contains(c.Message, says[2])
		}
		if !said {
			t.Errorf("%s: no condition is %s; they are %+v", name, tt.says, found)
		}
	}
}

func TestReducedObjectsGiveTheSameConditions(t *testing.T) {
	t.Parallel()
	all := running()
	all.cluster.Spec.ImageName = "localhost/postgresql:17"
	all.cluster.ManagedFields = append(handEdited(`{"f:spec":{"f:instances":{}}}`), metav1.ManagedFieldsEntry{
		Manager: manifest.FieldOwner, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:imageName":{}}}`),
	})
	all.cluster.Annotations = map[string]string{
		manifest.AnnotationFields: `{"f:spec":{"f:imageName":{},"f:instances":{},"f:plugins":{}}}`,
	}
	pooler := all.of("Pooler", "pooler").is
	pooler.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: manifest.FieldOwner, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:type":{}}}`),
	}})
	pooler.SetAnnotations(map[string]string{manifest.AnnotationFields: `{"f:spec":{"f:type":{}}}`})
	all.pods[0].ManagedFields = handEdited(`{"f:metadata":{}}`) // not needed: DAAP does not apply pods
	for i := range all.pods {
		all.pods[i].Labels[manifest.LabelTeam] = "shop"
	}
	all.pods[1].Status.Conditions = nil
	all.pods[1].Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "postgres", Image: "large", State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"},
	}}}
	all.cluster.Status.Phase = "Waiting for the instances to become active"
	before := all.conditions()
	for range 2 { // a reduced object may be reduced again
		for _, object := range []any{all.cluster, pooler, all.pool, &all.pods[0], &all.pods[1]} {
			if _, err := reduce(object); err != nil {
				t.Fatal(err)
			}
		}
	}
	after := all.conditions()
	for i := range before {
		if before[i] != after[i] {
			t.Errorf("reduced it is %+v, and was %+v", after[i], before[i])
		}
	}
	for i := range all.pods { // their labels distinguish them
		if got := all.pods[i].Labels; got[manifest.LabelPodRole] != manifest.RoleInstance || got[manifest.LabelCluster] != "pg-1" || len(got) != 2 {
			t.Errorf("the labels %v of a pod are kept", got)
		}
	}
	if got := all.cluster.Annotations[manifest.AnnotationFields]; got != `{"f:spec":{"f:plugins":{}}}` || pooler.GetAnnotations() != nil {
		t.Errorf("of the applied fields, %s and %v are kept, want the removed ones", got, pooler.GetAnnotations())
	}
	if all.pods[0].ManagedFields != nil {
		t.Errorf("the writers of a pod are kept: %v", all.pods[0].ManagedFields)
	}
	if all.cluster.Spec.ImageName != "" || len(all.cluster.ManagedFields) != 1 || all.pods[1].Status.ContainerStatuses[0].Image != "" {
		t.Errorf("unneeded fields are kept: %+v", all.cluster)
	}
	if _, err := reduce(appsv1.Deployment{}); err != nil {
		t.Errorf("a value that is not an object: %v", err)
	}
}

// TestDriftOfEveryAppliedObjectIsReported edits each of the objects, removes a label from it, and deletes it.
func TestDriftOfEveryAppliedObjectIsReported(t *testing.T) {
	t.Parallel()
	kinds := map[string]bool{}
	for _, o := range manifest.Objects(keptOrders(), manifest.Platform{}) {
		kind, name := o.Kind().Kind, o.Built.GetName()
		if !o.Followed {
			if kind != "Secret" {
				t.Errorf("%s %s is not followed", kind, name)
			}
			continue
		}
		kinds[kind] = true
		sent, err := manifest.Sent(o.Built)
		if err != nil {
			t.Fatal(err)
		}
		field := "f:spec"
		switch kind {
		case "RoleBinding":
			field = "f:subjects"
		case "Namespace":
			field = "f:metadata\":{\"f:labels\":{\"f:daap.io/team\":{}}},\"f:ignored"
		}
		for says, change := range map[string]func(is metav1.Object){
			"kubectl-edit changed": func(is metav1.Object) { is.SetManagedFields(handEdited(`{"` + field + `":{}}`)) },
			"was removed": func(is metav1.Object) {
				is.SetAnnotations(map[string]string{manifest.AnnotationFields: sent.GetAnnotations()[manifest.AnnotationFields]})
				is.SetManagedFields(handEdited(`{"f:metadata":{"f:labels":{"f:other":{}}}}`))
			},
			"does not exist": nil,
		} {
			if kind == "Cluster" && change == nil {
				continue // reported as ClusterMissing
			}
			all := running()
			of := all.of(kind, name)
			if change == nil {
				of.is = nil
			} else {
				change(of.is)
				if _, err := reduce(of.is); err != nil {
					t.Fatal(err)
				}
			}
			drift := all.drift()
			if drift.Status != daap.ConditionTrue || !strings.Contains(drift.Message, kind+" "+name) || !strings.Contains(drift.Message, says) {
				t.Errorf("%s %s: Drift is %+v, want True with %q", kind, name, drift, says)
			}
		}
	}
	want := []string{"Cluster", "Namespace", "NetworkPolicy", "ObjectStore", "Pooler", "RoleBinding", "ScheduledBackup"}
	if got := slices.Sorted(maps.Keys(kinds)); !slices.Equal(got, want) {
		t.Errorf("the kinds %v are followed, want %v", got, want)
	}
}

func TestReducedBackupGivesTheSameRecord(t *testing.T) {
	t.Parallel()
	at := metav1.Now()
	backup := &cnpgv1.Backup{
		ObjectMeta: metav1.ObjectMeta{Name: "first", UID: "of-the-backup", CreationTimestamp: at, Labels: map[string]string{"a": "b"}},
		Spec:       cnpgv1.BackupSpec{Cluster: cnpgv1.LocalObjectReference{Name: manifest.ClusterName(orders)}, Target: cnpgv1.BackupTargetPrimary},
		Status: cnpgv1.BackupStatus{
			Phase: cnpgv1.BackupPhaseFailed, BackupID: "20261126T020000", BeginWal: "1", EndWal: "2", StartedAt: &at, StoppedAt: &at,
			Error: "it failed", CommandOutput: "large",
		},
	}
	before := AsBackup(orders, backup)
	if _, err := reduce(backup); err != nil {
		t.Fatal(err)
	}
	if after := AsBackup(orders, backup); !reflect.DeepEqual(before, after) {
		t.Errorf("reduced it is %+v, and was %+v", after, before)
	}
	if !OfIncarnation(orders, *backup) {
		t.Errorf("reduced it belongs to no incarnation: %+v", backup.Spec)
	}
	if backup.Spec.Target != "" || backup.Status.CommandOutput != "" || backup.Labels != nil {
		t.Errorf("unneeded fields are kept: %+v", backup)
	}
}
