package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// incarnations moves databases on whose Cluster is gone.
type incarnations interface {
	// BeginIncarnation gives the database the incarnation after from, restored from its own archive of that server name,
	// once for each operation.
	BeginIncarnation(ctx context.Context, operation uuid.UUID, from int, server string) error
}

// Reconciliation are the activities that apply all of a database anew, and take back what others changed of it.
type Reconciliation struct {
	Backups      *Backups
	Incarnations incarnations
}

// remainsFor is how long what is left of a Cluster may stay without being deleted: Kubernetes sees within seconds that
// its owner is gone.
const remainsFor = time.Minute

func (r *Reconciliation) kube() *Kubernetes { return r.Backups.Postgres.Kubernetes }

// CheckReconcile finds out whether the Cluster is there. Where it is gone with all of its pods and volumes, the next
// incarnation begins, to be restored from the backups. It is final where there are none, where something is left that
// may have the last of the data, and where the Cluster is another one than DAAP made.
func (r *Reconciliation) CheckReconcile(ctx context.Context, in Input) error {
	db, _, err := r.present(ctx, in, remainsFor)
	if err != nil {
		return err
	}
	return r.kube().imageKnown(db)
}

// present returns the database with the Cluster of its incarnation; nil where the operation has begun that, and the
// Cluster is to be restored. patience is how long what is left of a Cluster that is gone may stay.
func (r *Reconciliation) present(
	ctx context.Context, in Input, patience time.Duration,
) (daap.Database, *cnpgv1.Cluster, error) {
	kube := r.kube()
	db, err := kube.record(ctx, in)
	if err != nil {
		return db, nil, err
	}
	cluster, err := clusterOf(ctx, kube.Client, db)
	if client.IgnoreNotFound(err) != nil {
		return db, nil, err
	}
	if err == nil && cluster.DeletionTimestamp == nil {
		return db, cluster, madeByDAAP(cluster)
	}
	if err := kube.waitGone(ctx, in, db, patience); err != nil {
		return db, nil, err
	}
	op, err := kube.Databases.Operation(ctx, daap.EveryTeam, in.Operation)
	if err != nil {
		return db, nil, fmt.Errorf("read operation %s: %w", in.Operation, err)
	}
	if op.Incarnation == 0 {
		if err := r.begin(ctx, in, db); err != nil {
			return db, nil, err
		}
	}
	db, err = kube.record(ctx, in)
	return db, nil, err
}

// madeByDAAP is final for a Cluster that somebody else made under the database's name: whatever is in it, it is not
// the database.
func madeByDAAP(cluster *cnpgv1.Cluster) error {
	if slices.ContainsFunc(cluster.ManagedFields, isApplied) {
		return nil
	}
	return final(because(daap.CauseClusterGone, "Cluster %s was not created by DAAP: another writer created it at %s "+
		"under the name of the previous one", cluster.Name, cluster.CreationTimestamp.UTC().Format(time.RFC3339)))
}

// waitGone waits until nothing is left of the database's Cluster. It is final where something stays that nobody
// deletes: it may have the last of the data.
func (k *Kubernetes) waitGone(ctx context.Context, in Input, db daap.Database, patience time.Duration) error {
	began := time.Now()
	w := waiter{watch: k.Watch, operations: k.Holds}
	return w.until(ctx, in, func(ctx context.Context) (bool, string, error) {
		going, staying, err := k.remains(ctx, db)
		switch {
		case err != nil:
			return false, "", err
		case len(staying) > 0 && time.Since(began) >= patience:
			return false, "", final(because(daap.CauseClusterGone,
				"Cluster %s is gone, but %s remains and is not being deleted", manifest.ClusterName(db), staying[0]))
		case len(staying) > 0:
			return false, staying[0] + " still remains of the Cluster", nil
		case len(going) > 0:
			return false, going[0] + " is being deleted", nil
		}
		return true, "", nil
	})
}

// remains names what Kubernetes itself still has of the database's Cluster: what is being deleted, and what is not.
func (k *Kubernetes) remains(ctx context.Context, db daap.Database) (going, staying []string, err error) {
	note := func(kind string, object client.Object) {
		said := kind + " " + object.GetName()
		if object.GetDeletionTimestamp() != nil {
			going = append(going, said)
			return
		}
		staying = append(staying, said)
	}
	cluster, err := clusterOf(ctx, k.Client, db)
	if client.IgnoreNotFound(err) != nil {
		return nil, nil, err
	}
	if err == nil {
		note("Cluster", cluster)
	}
	claims, err := k.claims(ctx, db)
	if err != nil {
		return nil, nil, err
	}
	for i := range claims {
		note("Volume claim", &claims[i])
	}
	pods, err := k.pods(ctx, db, client.MatchingLabels{manifest.LabelCluster: manifest.ClusterName(db)})
	if err != nil {
		return nil, nil, err
	}
	for i := range pods {
		if pods[i].Labels[podRoleLabel] == poolerRole {
			continue // PgBouncer has nothing of the data, and stays without the Cluster
		}
		note("Pod", &pods[i])
	}
	return going, staying, nil
}

// begin begins the next incarnation of a database whose Cluster is gone. It is final where there is nothing to restore
// it from: nothing is ever made in its place.
func (r *Reconciliation) begin(ctx context.Context, in Input, db daap.Database) error {
	server := ""
	err := alive(ctx, func() (err error) {
		server, err = r.restorable(ctx, db)
		return err
	})
	if err != nil {
		return err
	}
	if server == "" {
		return final(because(daap.CauseDataLost,
			"Cluster %s and its volumes are gone, and no backup exists to restore them", manifest.ClusterName(db)))
	}
	if err := r.Incarnations.BeginIncarnation(ctx, in.Operation, db.Incarnation, server); err != nil {
		return fmt.Errorf("begin an incarnation of database %s: %w", db.ID, err)
	}
	return nil
}

// restorable is the newest server name under which the object store has a base backup of the database that is
// completed; empty where there is none. Kubernetes is not asked: its Backups may be gone with the Cluster.
func (r *Reconciliation) restorable(ctx context.Context, db daap.Database) (string, error) {
	if !db.Profile.BackupEnabled {
		return "", nil
	}
	if r.kube().Buckets == nil {
		return "", noStore()
	}
	for _, server := range db.ServerNames() {
		has, err := r.Backups.hasBackup(ctx, db, server)
		if err != nil {
			return "", refusedByStore(err)
		}
		if has {
			return server, nil
		}
	}
	return "", nil
}

// ReconcileNamespace applies the namespace, who has rights in it, and whom its pods may talk with.
func (r *Reconciliation) ReconcileNamespace(ctx context.Context, in Input) error {
	kube := r.kube()
	db, err := kube.record(ctx, in)
	if err != nil {
		return err
	}
	// The worker may look into a namespace once it is applied.
	if err := kube.applyNamespace(ctx, db); err != nil {
		return err
	}
	taken := false
	for _, object := range []client.Object{
		manifest.Namespace(db), manifest.DenyAll(db), manifest.PlatformTraffic(db, kube.Platform.Network),
	} {
		one, err := kube.takeOver(ctx, object)
		if err != nil {
			return err
		}
		taken = taken || one
	}
	if !taken {
		return nil
	}
	return kube.applyNamespace(ctx, db)
}

// ReconcileSource gives access to the archive that the Cluster is to be restored from, where one is. Of a Cluster that
// was restored before, CloudNativePG still wants the ObjectStore to be there.
func (r *Reconciliation) ReconcileSource(ctx context.Context, in Input) error {
	kube := r.kube()
	db, err := kube.record(ctx, in)
	if err != nil || db.Source == nil {
		return err
	}
	store := manifest.RestoreStore(db, kube.Platform)
	if _, err := kube.takeOver(ctx, store); err != nil {
		return err
	}
	op, err := kube.Databases.Operation(ctx, daap.EveryTeam, in.Operation)
	if err != nil {
		return fmt.Errorf("read operation %s: %w", in.Operation, err)
	}
	if op.Incarnation != 0 {
		return kube.ApplySource(ctx, in)
	}
	return kube.apply(ctx, store)
}

// ReconcileArchive applies the bucket, the keys to it and the ObjectStore that the Cluster archives to.
func (r *Reconciliation) ReconcileArchive(ctx context.Context, in Input) error {
	kube := r.kube()
	db, err := kube.record(ctx, in)
	if err != nil {
		return err
	}
	if _, err := kube.takeOver(ctx, manifest.ObjectStore(db, kube.Platform)); err != nil {
		return err
	}
	return kube.ApplyArchive(ctx, in)
}

// ReconcileCluster applies the Cluster that is there, or that of the incarnation that the operation has begun. It looks
// once more which it is: one that was deleted meanwhile must not be made anew as an empty one.
func (r *Reconciliation) ReconcileCluster(ctx context.Context, in Input) error {
	kube := r.kube()
	db, cluster, err := r.present(ctx, in, remainsFor)
	if err != nil {
		return err
	}
	if cluster == nil {
		if err := r.ReconcileSource(ctx, in); err != nil {
			return err
		}
		return kube.applyCluster(ctx, db)
	}
	if _, err := kube.takeOver(ctx, manifest.Cluster(db, kube.Platform)); err != nil {
		return err
	}
	return kube.changeCluster(ctx, db)
}

// ReconcilePooler applies the Pooler, and lets the team's clients reach it and the instances. A Pooler of another
// Cluster is made anew, as it cannot be changed to another one; its Service has the same name.
func (r *Reconciliation) ReconcilePooler(ctx context.Context, in Input) error {
	kube := r.kube()
	db, err := kube.record(ctx, in)
	if err != nil {
		return err
	}
	if err := kube.removeOtherPooler(ctx, in, db); err != nil {
		return err
	}
	for _, object := range []client.Object{manifest.Clients(db), manifest.Pooler(db, kube.Platform)} {
		if _, err := kube.takeOver(ctx, object); err != nil {
			return err
		}
	}
	return kube.ApplyPooler(ctx, in)
}

// removeOtherPooler removes the Pooler of a Cluster before the present one, and waits until its Service is gone too.
func (k *Kubernetes) removeOtherPooler(ctx context.Context, in Input, db daap.Database) error {
	namespace := daap.Namespace(db.ID)
	var poolers cnpgv1.PoolerList
	if err := k.Client.List(ctx, &poolers, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("list poolers of database %s: %w", db.ID, err)
	}
	of := func(p cnpgv1.Pooler) bool {
		return p.Spec.Cluster.Name == manifest.ClusterName(db) && p.DeletionTimestamp == nil
	}
	if len(poolers.Items) == 0 || slices.ContainsFunc(poolers.Items, of) {
		return nil
	}
	if err := k.Client.DeleteAllOf(ctx, &cnpgv1.Pooler{}, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("delete poolers of database %s: %w", db.ID, err)
	}
	return k.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		key := client.ObjectKey{Namespace: namespace, Name: daap.PoolerService}
		for _, object := range []client.Object{&cnpgv1.Pooler{}, &appsv1.Deployment{}, &corev1.Service{}} {
			err := k.Client.Get(ctx, key, object)
			if err == nil {
				return false, fmt.Sprintf("%T of the previous Pooler still exists", object), nil
			}
			if client.IgnoreNotFound(err) != nil {
				return false, "", fmt.Errorf("get %T of pooler in %s: %w", object, namespace, err)
			}
		}
		return true, "", nil
	})
}

// ReconcileBackups has base backups of the present incarnation taken at the times of the tier, and of none before, and
// sees to it that there is one.
func (r *Reconciliation) ReconcileBackups(ctx context.Context, in Input) error {
	kube := r.kube()
	db, err := kube.record(ctx, in)
	if err != nil {
		return err
	}
	var schedules cnpgv1.ScheduledBackupList
	if err := kube.Client.List(ctx, &schedules, client.InNamespace(daap.Namespace(db.ID))); err != nil {
		return fmt.Errorf("list scheduled backups of database %s: %w", db.ID, err)
	}
	for i := range schedules.Items {
		schedule := &schedules.Items[i]
		if !db.Retired(schedule.Spec.Cluster.Name) {
			continue
		}
		if err := kube.Client.Delete(ctx, schedule); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete scheduled backup %s: %w", schedule.Name, err)
		}
	}
	if _, err := kube.takeOver(ctx, manifest.ScheduledBackup(db)); err != nil {
		return err
	}
	return r.Backups.BackUp(ctx, in)
}

// takeOver makes what others wrote into the object DAAP's own, so that the next apply takes back what it does not have,
// and says whether there was anything.
func (k *Kubernetes) takeOver(ctx context.Context, built client.Object) (bool, error) {
	object, err := manifest.Sent(built)
	if err != nil {
		return false, err
	}
	there := &unstructured.Unstructured{}
	there.SetGroupVersionKind(object.GroupVersionKind())
	err = k.Client.Get(ctx, client.ObjectKeyFromObject(object), there)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("get %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	if err != nil {
		return false, nil
	}
	entries, taken, err := takenOver(there.GetManagedFields(), there.GetAPIVersion())
	if err != nil || !taken {
		return false, err
	}
	// An object that somebody changed since it was read is a conflict, and read again.
	patch, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/managedFields", "value": entries},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": there.GetResourceVersion()},
	})
	if err != nil {
		return false, fmt.Errorf("encode the managed fields of %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	err = k.Client.Patch(ctx, there, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(manifest.FieldOwner))
	if err != nil {
		return false, fmt.Errorf("take over %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return true, nil
}
