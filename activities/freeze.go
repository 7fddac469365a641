package activities

import (
	"context"
	"fmt"
	"slices"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// SuspendBackups lets no base backup begin any more, and waits until none runs: a Cluster that hibernates fails it.
func (k *Kubernetes) SuspendBackups(ctx context.Context, in Input) error {
	db, err := k.record(ctx, in)
	if err != nil {
		return err
	}
	if err := k.apply(ctx, manifest.Suspended(db)); err != nil {
		return err
	}
	return k.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		backups, err := k.wantedBackups(ctx, db, wanted{any: true})
		if err != nil {
			return false, "", err
		}
		for i := range backups {
			if b := &backups[i]; !backupFailed(b) && b.Status.Phase != cnpgv1.BackupPhaseCompleted {
				return false, fmt.Sprintf("Base backup %s is %s", b.Name, backupPhase(b)), nil
			}
		}
		return true, "", nil
	})
}

// ResumeBackups lets base backups begin at the times of the tier.
func (k *Kubernetes) ResumeBackups(ctx context.Context, in Input) error {
	db, err := k.record(ctx, in)
	if err != nil {
		return err
	}
	return k.apply(ctx, manifest.ScheduledBackup(db))
}

// StopPooler takes the pool away, and the team's way to the instances.
func (k *Kubernetes) StopPooler(ctx context.Context, in Input) error {
	db, err := k.record(ctx, in)
	if err != nil {
		return err
	}
	clients := manifest.Clients(db)
	if err := k.Client.Delete(ctx, clients); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete network policy %s/%s: %w", clients.Namespace, clients.Name, err)
	}
	return k.apply(ctx, manifest.Stopped(db, k.Platform))
}

// poolerStopped says whether no PgBouncer is left.
func (k *Kubernetes) poolerStopped(ctx context.Context, db daap.Database) (bool, string, error) {
	var pooler appsv1.Deployment
	key := client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: daap.PoolerService}
	err := k.Client.Get(ctx, key, &pooler)
	if client.IgnoreNotFound(err) != nil {
		return false, "", fmt.Errorf("get deployment of pooler in %s: %w", key.Namespace, err)
	}
	if left := pooler.Status.Replicas; err == nil && left > 0 {
		return false, fmt.Sprintf("%d poolers are still running", left), nil
	}
	return true, "", nil
}

// Hibernate has CNPG remove the pods of the Cluster, whose volumes stay, and waits until they are gone, with those of
// the pool.
func (k *Kubernetes) Hibernate(ctx context.Context, in Input) error {
	db, err := k.record(ctx, in)
	if err != nil {
		return err
	}
	err = k.change(ctx, db, manifest.Hibernated(db, k.Platform))
	if in.Undo && isGone(err) {
		return nil // nothing of it is awake
	}
	if err != nil {
		return err
	}
	return k.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		cluster, err := clusterOf(ctx, k.Client, db)
		if err != nil {
			return false, "", err
		}
		told := hibernation(cluster)
		switch {
		case told == nil:
			return false, "The operator has not processed the Cluster yet", nil
		case told.Status != metav1.ConditionTrue:
			return false, withReason("Cluster is "+told.Reason, told.Message), nil
		}
		instances, err := k.instances(ctx, db)
		if err != nil || len(instances) > 0 {
			return false, fmt.Sprintf("%d instances are still running", len(instances)), err
		}
		// The Deployment does not count those that are ending.
		poolers, err := k.poolers(ctx, db)
		return err == nil && len(poolers) == 0, fmt.Sprintf("%d poolers are still running", len(poolers)), err
	})
}

// hibernation is CNPG's condition about it; nil while a Cluster is not asked to hibernate.
func hibernation(cluster *cnpgv1.Cluster) *metav1.Condition {
	return apimeta.FindStatusCondition(cluster.Status.Conditions, manifest.AnnotationHibernation)
}

// Wake has CNPG make the pods of the Cluster again, and waits until all of them are ready.
func (k *Kubernetes) Wake(ctx context.Context, in Input) error {
	db, err := k.record(ctx, in)
	if err != nil {
		return err
	}
	if err := k.changeCluster(ctx, db); err != nil {
		return err
	}
	return k.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		cluster, err := clusterOf(ctx, k.Client, db)
		if err != nil {
			return false, "", err
		}
		if hibernation(cluster) != nil {
			return false, "Cluster is still hibernated", nil
		}
		done, progress := clusterReady(cluster)
		return done, progress, nil
	})
}

// CheckVolumes finds out whether each instance has its volume.
func (k *Kubernetes) CheckVolumes(ctx context.Context, in Input) error {
	db, err := k.record(ctx, in)
	if err != nil {
		return err
	}
	claims, err := k.claims(ctx, db)
	if err != nil {
		return err
	}
	claims = slices.DeleteFunc(claims, func(c corev1.PersistentVolumeClaim) bool {
		return c.DeletionTimestamp != nil || c.Status.Phase == corev1.ClaimLost
	})
	if len(claims) < db.Profile.Instances {
		return withCause(fmt.Errorf("%d of %d volume claims exist", len(claims), db.Profile.Instances),
			because(daap.CausePVCPending, "%s", fmt.Sprintf(
				"The Cluster has %d instances, but only %d usable volume claims; the others are lost or being deleted",
				db.Profile.Instances, len(claims))))
	}
	return nil
}
