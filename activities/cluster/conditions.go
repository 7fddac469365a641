package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/manifest"
)

// objects are the objects of one database in the shared watch; missing ones are nil.
type objects struct {
	cluster *cnpgv1.Cluster
	pool    *appsv1.Deployment
	pods    []corev1.Pod
	// applied are the objects that DAAP applies and the watch follows.
	applied []applied
}

// applied is an object that DAAP applies.
type applied struct {
	kind, name string
	// is is the existing object; nil if it does not exist or is being deleted.
	is metav1.Object
}

// Observe returns the database's conditions according to the watch.
func (w *Watch) Observe(ctx context.Context, db daap.Database) (daap.Conditions, error) {
	return observe(ctx, w, db)
}

// observe returns the database's conditions according to the watch.
func observe(ctx context.Context, watch client.Reader, db daap.Database) (daap.Conditions, error) {
	all, err := objectsOf(ctx, watch, db)
	if err != nil {
		return nil, err
	}
	return all.conditions(), nil
}

func (o objects) conditions() daap.Conditions {
	return daap.Conditions{o.ready(), o.reachable(), o.replication(), o.policed(), o.drift()}
}

func objectsOf(ctx context.Context, watch client.Reader, db daap.Database) (objects, error) {
	var all objects
	var err error
	namespace := daap.Namespace(db.ID)
	for _, o := range manifest.Objects(db, manifest.Platform{}) {
		if !o.Followed {
			continue
		}
		of := applied{kind: o.Kind().Kind, name: o.Built.GetName()}
		is, err := find(ctx, watch, client.ObjectKeyFromObject(o.Built), followedAs(o.Kind()))
		if err != nil {
			return all, err
		}
		if is != nil && is.GetDeletionTimestamp() == nil {
			of.is = is
		}
		if cluster, is := is.(*cnpgv1.Cluster); is {
			all.cluster = cluster
		}
		all.applied = append(all.applied, of)
	}
	pooler := client.ObjectKey{Namespace: namespace, Name: daap.PoolerService}
	all.pool, err = find(ctx, watch, pooler, &appsv1.Deployment{})
	if err != nil {
		return all, err
	}
	var pods corev1.PodList
	if err := watch.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
		return all, fmt.Errorf("list pods of database %s: %w", db.ID, err)
	}
	all.pods = slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool {
		return p.Labels[manifest.LabelPodRole] != manifest.RoleInstance ||
			p.Labels[manifest.LabelCluster] != manifest.ClusterName(db)
	})
	return all, nil
}

// find reads the object; nil if it does not exist.
func find[T client.Object](ctx context.Context, watch client.Reader, key client.ObjectKey, object T) (T, error) {
	var none T
	err := watch.Get(ctx, key, object)
	if apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) { // a cluster without the kind has no such object
		return none, nil
	}
	if err != nil {
		return none, fmt.Errorf("get %T %s: %w", object, key, err)
	}
	return object, nil
}

// gone returns why the Cluster cannot be used; empty if it exists.
func (o objects) gone() string {
	switch {
	case o.cluster == nil:
		return "The Cluster does not exist."
	case o.cluster.DeletionTimestamp != nil:
		return "The Cluster is being deleted."
	}
	return ""
}

// ready reports whether everything that was requested runs.
func (o objects) ready() daap.Condition {
	if gone := o.gone(); gone != "" {
		return unhealthy(daap.ConditionReady, "ClusterMissing", gone)
	}
	if full := diagnosis.VolumesFull(o.cluster, o.pods); full != nil {
		return unhealthy(daap.ConditionReady, "StorageFull", full.Message+". "+full.Remedy)
	}
	if o.pool == nil {
		return unhealthy(daap.ConditionReady, "PoolerMissing", "The Pooler has no Deployment.")
	}
	done, progress := InstancesReady(o.cluster)
	if done {
		done, progress = PoolerReady(o.pool)
	}
	if done {
		return healthy(daap.ConditionReady)
	}
	if trouble := podTrouble(o.pods); trouble != "" {
		progress += "; " + trouble
	}
	return unhealthy(daap.ConditionReady, "NotReady", progress)
}

// reachable reports whether clients can reach the primary: CNPG's readiness probe connects to PostgreSQL in the pod
// every five seconds.
func (o objects) reachable() daap.Condition {
	if gone := o.gone(); gone != "" {
		return unhealthy(daap.ConditionPrimaryReachable, "ClusterMissing", gone)
	}
	primary := o.cluster.Status.CurrentPrimary
	at := slices.IndexFunc(o.pods, func(p corev1.Pod) bool { return p.Name == primary })
	switch {
	case primary == "":
		return unhealthy(daap.ConditionPrimaryReachable, "NoPrimary", "The Cluster has no primary.")
	case at < 0:
		return unhealthy(daap.ConditionPrimaryReachable, "NoPod", "The primary has no pod.")
	case !diagnosis.PodReady(&o.pods[at]) || o.pods[at].DeletionTimestamp != nil:
		return unhealthy(daap.ConditionPrimaryReachable, "PrimaryNotReady", "PostgreSQL in pod "+primary+" does not answer.")
	case o.pool == nil || o.pool.Status.ReadyReplicas == 0:
		return unhealthy(daap.ConditionPrimaryReachable, "NoPool", "No instance of PgBouncer is ready.")
	}
	return healthy(daap.ConditionPrimaryReachable)
}

// replication reports whether all standbys are ready.
func (o objects) replication() daap.Condition {
	if o.cluster == nil {
		return unhealthy(daap.ConditionReplication, "ClusterMissing", o.gone())
	}
	want, are := o.cluster.Spec.Instances-1, 0
	for i := range o.pods {
		if diagnosis.PodReady(&o.pods[i]) && o.pods[i].Name != o.cluster.Status.CurrentPrimary {
			are++
		}
	}
	if are >= want {
		return healthy(daap.ConditionReplication)
	}
	return unhealthy(daap.ConditionReplication, "StandbysMissing", fmt.Sprintf("%d of %d standbys are ready.", are, want))
}

// policed reports whether all NetworkPolicies exist.
func (o objects) policed() daap.Condition {
	var missing []string
	for _, a := range o.applied {
		if a.kind == "NetworkPolicy" && a.is == nil {
			missing = append(missing, a.name)
		}
	}
	if len(missing) == 0 {
		return healthy(daap.ConditionNetworkPolicyPresent)
	}
	return unhealthy(daap.ConditionNetworkPolicyPresent, "PolicyMissing", fmt.Sprintf(
		"NetworkPolicy %s does not exist: network access to the database is not restricted as specified.",
		strings.Join(missing, ", ")))
}

// drift reports whether an applied object is missing or was changed by another writer, and names the object, the fields
// and the writer. Status True means that there is drift, so this is the one condition for which True is a problem.
func (o objects) drift() daap.Condition {
	drifted := daap.Condition{Type: daap.ConditionDrift, Status: daap.ConditionTrue, Reason: "ChangedByHand"}
	if gone := o.gone(); gone != "" {
		drifted.Reason, drifted.Message = "ClusterMissing", gone+" Reconcile the database."
		return drifted
	}
	var missing, changed []string
	for _, a := range o.applied {
		if a.is == nil {
			missing = append(missing, a.kind+" "+a.name+" does not exist")
			continue
		}
		changed = append(changed, a.changes()...)
	}
	switch {
	case len(missing)+len(changed) == 0:
		return daap.Condition{Type: daap.ConditionDrift, Status: daap.ConditionFalse, Reason: "AsApplied"}
	case slices.ContainsFunc(o.applied, func(a applied) bool { return a.kind == cnpgv1.PoolerKind && a.is == nil }):
		drifted.Reason = "PoolerMissing"
	case len(missing) > 0:
		drifted.Reason = "ObjectMissing"
	}
	said := strings.Join(append(missing, changed...), "; ") + ". Reconcile the database."
	drifted.Message = diagnosis.SafeTo(said, maxDrift)
	return drifted
}

// maxDrift is the maximum length of a message of Drift, in characters.
const maxDrift = 1000

// changes lists the fields of the object that other writers changed or removed.
func (a applied) changes() []string {
	var all []string
	for _, by := range ForeignWriters(a.is.GetManagedFields()) {
		all = append(all, fmt.Sprintf("%s %s: %s", a.kind, a.name, by))
	}
	lost := removed(a.is.GetAnnotations()[manifest.AnnotationFields], a.is.GetManagedFields())
	if names, more := fieldNames(lost); len(names) > 0 {
		all = append(all, fmt.Sprintf("%s %s: %s was removed", a.kind, a.name, listed(names, more)))
	}
	return all
}

func healthy(t daap.ConditionType) daap.Condition {
	return daap.Condition{Type: t, Status: daap.ConditionTrue, Reason: "AsExpected"}
}

func unhealthy(t daap.ConditionType, reason, message string) daap.Condition {
	return daap.Condition{Type: t, Status: daap.ConditionFalse, Reason: reason, Message: diagnosis.Safe(message)}
}
