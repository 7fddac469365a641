package activities

import (
	"context"
	"fmt"
	"slices"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/manifest"
)

// remainsFor is how long objects of a deleted Cluster may remain without being deleted themselves: Kubernetes notices a
// missing owner within seconds.
const remainsFor = time.Minute

// CheckReconcile checks whether the Cluster exists. If it is gone with all of its pods and volumes, the next
// incarnation begins, and is restored from the backups. The error is final if there are no backups, if a remaining
// object may have the latest data, or if DAAP did not create the Cluster.
func (s *Steps) CheckReconcile(ctx context.Context, in Input) error {
	db, _, err := s.present(ctx, in, remainsFor)
	if err != nil {
		return err
	}
	return s.imageKnown(db)
}

// present returns the database and the Cluster of its incarnation; nil if the operation has begun that incarnation, so
// that the Cluster has to be restored. patience is how long objects of a deleted Cluster may remain.
func (s *Steps) present(
	ctx context.Context, in Input, patience time.Duration,
) (daap.Database, *cnpgv1.Cluster, error) {
	db, err := s.database(ctx, in)
	if err != nil {
		return db, nil, err
	}
	there, err := cluster.Get(ctx, s.Cluster.Client, db)
	if client.IgnoreNotFound(err) != nil {
		return db, nil, err
	}
	if err == nil && there.DeletionTimestamp == nil {
		return db, there, madeByDAAP(there)
	}
	if err := s.waitGone(ctx, in, db, patience); err != nil {
		return db, nil, err
	}
	op, err := s.Rows.Operation(ctx, daap.EveryTeam, in.Operation)
	if err != nil {
		return db, nil, fmt.Errorf("read operation %s: %w", in.Operation, err)
	}
	if op.Incarnation == 0 {
		if err := s.begin(ctx, in, db); err != nil {
			return db, nil, err
		}
	}
	db, err = s.database(ctx, in)
	return db, nil, err
}

// madeByDAAP returns a final error for a Cluster that another writer created under the database's name: it is not the
// database, whatever its contents.
func madeByDAAP(there *cnpgv1.Cluster) error {
	if cluster.MadeByDAAP(there) {
		return nil
	}
	return final(diagnosis.Cause(daap.CauseClusterGone, "Cluster %s was not created by DAAP: another writer created "+
		"it at %s under the name of the previous one", there.Name, there.CreationTimestamp.UTC().Format(time.RFC3339)))
}

// waitGone waits until no object of the database's Cluster remains. The error is final if an object remains that is not
// being deleted: it may have the latest data.
func (s *Steps) waitGone(ctx context.Context, in Input, db daap.Database, patience time.Duration) error {
	began := time.Now()
	w := waiter{watch: s.Cluster.Watch, operations: s.Rows}
	return w.until(ctx, in, func(ctx context.Context) (bool, string, error) {
		going, staying, err := s.Cluster.Remains(ctx, db)
		switch {
		case err != nil:
			return false, "", err
		case len(staying) > 0 && time.Since(began) >= patience:
			return false, "", final(diagnosis.Cause(daap.CauseClusterGone,
				"Cluster %s is gone, but %s remains and is not being deleted", manifest.ClusterName(db), staying[0]))
		case len(staying) > 0:
			return false, staying[0] + " still remains of the Cluster", nil
		case len(going) > 0:
			return false, going[0] + " is being deleted", nil
		}
		return true, "", nil
	})
}

// begin begins the next incarnation of a database whose Cluster is gone. The error is final if there is no backup to
// restore: DAAP never replaces a lost database by an empty one.
func (s *Steps) begin(ctx context.Context, in Input, db daap.Database) error {
	server := ""
	err := alive(ctx, func() (err error) {
		server, err = s.Archives.Restorable(ctx, db)
		return err
	})
	if err != nil {
		return err
	}
	if server == "" {
		return final(diagnosis.Cause(daap.CauseDataLost,
			"Cluster %s and its volumes are gone, and no backup exists to restore them", manifest.ClusterName(db)))
	}
	if err := s.Results.BeginIncarnation(ctx, in.Operation, db.Incarnation, server); err != nil {
		return fmt.Errorf("begin an incarnation of database %s: %w", db.ID, err)
	}
	return nil
}

// ReconcileNamespace applies the namespace, the rights in it, and the network access of its pods.
func (s *Steps) ReconcileNamespace(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	return s.takeBackStep(ctx, db, daap.StepNamespace)
}

// ReconcileSource gives the Cluster access to the archive that it is restored from, if there is one. CloudNativePG
// requires the ObjectStore even after the restore.
func (s *Steps) ReconcileSource(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil || db.Source == nil {
		return err
	}
	op, err := s.Rows.Operation(ctx, daap.EveryTeam, in.Operation)
	if err != nil {
		return fmt.Errorf("read operation %s: %w", in.Operation, err)
	}
	if op.Incarnation != 0 {
		if err := s.openSource(ctx, db); err != nil {
			return err
		}
	}
	return s.takeBackStep(ctx, db, daap.StepSource)
}

// ReconcileArchive applies the bucket, the keys to it and the ObjectStore that the Cluster archives to.
func (s *Steps) ReconcileArchive(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	if err := s.openArchive(ctx, db); err != nil {
		return err
	}
	return s.takeBackStep(ctx, db, daap.StepArchive)
}

// ReconcileCluster applies the existing Cluster, or the one of the incarnation that the operation has begun. It checks
// again which one applies: a Cluster that was deleted meanwhile must not be re-created empty.
func (s *Steps) ReconcileCluster(ctx context.Context, in Input) error {
	db, there, err := s.present(ctx, in, remainsFor)
	if err != nil {
		return err
	}
	if there == nil {
		if err := s.ReconcileSource(ctx, in); err != nil {
			return err
		}
		return s.applyCluster(ctx, db)
	}
	if _, err := s.Cluster.TakeOver(ctx, manifest.Cluster(db, s.Platform)); err != nil {
		return err
	}
	return s.changeCluster(ctx, db)
}

// ReconcilePooler applies the Pooler and gives the team's clients network access to it and to the instances. A Pooler
// of another Cluster is deleted and created again, because its Cluster cannot be changed and its Service has the same
// name.
func (s *Steps) ReconcilePooler(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	if err := s.removeOtherPooler(ctx, in, db); err != nil {
		return err
	}
	return s.takeBackStep(ctx, db, daap.StepPooler)
}

// removeOtherPooler deletes the Pooler of a previous Cluster, and waits until its Service is gone too.
func (s *Steps) removeOtherPooler(ctx context.Context, in Input, db daap.Database) error {
	namespace := daap.Namespace(db.ID)
	var poolers cnpgv1.PoolerList
	if err := s.Cluster.Client.List(ctx, &poolers, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("list poolers of database %s: %w", db.ID, err)
	}
	of := func(p cnpgv1.Pooler) bool {
		return p.Spec.Cluster.Name == manifest.ClusterName(db) && p.DeletionTimestamp == nil
	}
	if len(poolers.Items) == 0 || slices.ContainsFunc(poolers.Items, of) {
		return nil
	}
	if err := s.Cluster.Client.DeleteAllOf(ctx, &cnpgv1.Pooler{}, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("delete poolers of database %s: %w", db.ID, err)
	}
	return s.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		key := client.ObjectKey{Namespace: namespace, Name: daap.PoolerService}
		for _, object := range []client.Object{&cnpgv1.Pooler{}, &appsv1.Deployment{}, &corev1.Service{}} {
			err := s.Cluster.Client.Get(ctx, key, object)
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

// ReconcileBackups schedules base backups of the current incarnation at the times of the tier, removes the schedules of
// earlier ones, and makes sure that a base backup exists.
func (s *Steps) ReconcileBackups(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	var schedules cnpgv1.ScheduledBackupList
	if err := s.Cluster.Client.List(ctx, &schedules, client.InNamespace(daap.Namespace(db.ID))); err != nil {
		return fmt.Errorf("list scheduled backups of database %s: %w", db.ID, err)
	}
	for i := range schedules.Items {
		schedule := &schedules.Items[i]
		if !db.Retired(schedule.Spec.Cluster.Name) {
			continue
		}
		if err := s.Cluster.Delete(ctx, schedule); err != nil {
			return err
		}
	}
	if err := s.takeBackStep(ctx, db, daap.StepBackup); err != nil {
		return err
	}
	return s.EnableBackups(ctx, in)
}

// WaitReconcileInForce waits until the configuration in the database's record is in force.
func (s *Steps) WaitReconcileInForce(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	return s.waitInForce(ctx, in, db)
}
