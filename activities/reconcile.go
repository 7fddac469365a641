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

// remainsFor is how long what is left of a Cluster may stay without being deleted: Kubernetes sees within seconds that
// its owner is gone.
const remainsFor = time.Minute

// CheckReconcile finds out whether the Cluster is there. Where it is gone with all of its pods and volumes, the next
// incarnation begins, to be restored from the backups. It is final where there are none, where something is left that
// may have the last of the data, and where the Cluster is another one than DAAP made.
func (s *Steps) CheckReconcile(ctx context.Context, in Input) error {
	db, _, err := s.present(ctx, in, remainsFor)
	if err != nil {
		return err
	}
	return s.imageKnown(db)
}

// present returns the database with the Cluster of its incarnation; nil where the operation has begun that, and the
// Cluster is to be restored. patience is how long what is left of a Cluster that is gone may stay.
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

// madeByDAAP is final for a Cluster that somebody else made under the database's name: whatever is in it, it is not
// the database.
func madeByDAAP(there *cnpgv1.Cluster) error {
	if cluster.MadeByDAAP(there) {
		return nil
	}
	return final(diagnosis.Cause(daap.CauseClusterGone, "Cluster %s was not created by DAAP: another writer created "+
		"it at %s under the name of the previous one", there.Name, there.CreationTimestamp.UTC().Format(time.RFC3339)))
}

// waitGone waits until nothing is left of the database's Cluster. It is final where something stays that nobody
// deletes: it may have the last of the data.
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

// begin begins the next incarnation of a database whose Cluster is gone. It is final where there is nothing to restore
// it from: nothing is ever made in its place.
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

// ReconcileNamespace applies the namespace, who has rights in it, and whom its pods may talk with.
func (s *Steps) ReconcileNamespace(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	return s.takeBackStep(ctx, db, daap.StepNamespace)
}

// ReconcileSource gives access to the archive that the Cluster is to be restored from, where one is. Of a Cluster that
// was restored before, CloudNativePG still wants the ObjectStore to be there.
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
		if err := s.ApplySource(ctx, in); err != nil {
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
	if err := s.ApplyArchive(ctx, in); err != nil {
		return err
	}
	return s.takeBackStep(ctx, db, daap.StepArchive)
}

// ReconcileCluster applies the Cluster that is there, or that of the incarnation that the operation has begun. It looks
// once more which it is: one that was deleted meanwhile must not be made anew as an empty one.
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

// ReconcilePooler applies the Pooler, and lets the team's clients reach it and the instances. A Pooler of another
// Cluster is made anew, as it cannot be changed to another one; its Service has the same name.
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

// removeOtherPooler removes the Pooler of a Cluster before the present one, and waits until its Service is gone too.
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

// ReconcileBackups has base backups of the present incarnation taken at the times of the tier, and of none before, and
// sees to it that there is one.
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

// WaitReconcileInForce waits until all that the database's record says is in force.
func (s *Steps) WaitReconcileInForce(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	return s.waitInForce(ctx, in, db)
}
