package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/objectstore"
)

// SuspendBackups stops new base backups and waits for the running ones: the hibernation of a Cluster makes a running
// base backup fail.
func (s *Steps) SuspendBackups(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	if err := s.Cluster.Apply(ctx, manifest.Suspended(db)); err != nil {
		return err
	}
	return s.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		backups, err := s.Cluster.Backups(ctx, db, cluster.BackupFilter{Any: true})
		if err != nil {
			return false, "", err
		}
		for i := range backups {
			if b := &backups[i]; !cluster.BackupFailed(b) && b.Status.Phase != cnpgv1.BackupPhaseCompleted {
				return false, fmt.Sprintf("Base backup %s is %s", b.Name, cluster.BackupPhase(b)), nil
			}
		}
		return true, "", nil
	})
}

// ResumeBackups lets base backups begin at the times of the tier.
func (s *Steps) ResumeBackups(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	return s.applyStep(ctx, db, daap.StepBackup)
}

// CloseToClients stops the pool, removes the clients' network access, waits until the pool is gone, and makes
// PostgreSQL reject all clients of the database. The last part works wherever clients are, and without enforced
// NetworkPolicies.
func (s *Steps) CloseToClients(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	if err := s.StopPooler(ctx, in); err != nil {
		return err
	}
	return s.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		if stopped, progress, err := s.Cluster.PoolerStopped(ctx, db); !stopped || err != nil {
			return false, progress, err
		}
		if err := s.Postgres.Close(ctx, db); err != nil {
			return false, err.Error(), nil // meanwhile, the diagnosis finds the cause
		}
		return true, "", nil
	})
}

// OpenToClients starts the pool again and lets clients connect again.
func (s *Steps) OpenToClients(ctx context.Context, in Input) error {
	if err := s.ApplyPooler(ctx, in); err != nil {
		return err
	}
	if err := s.WaitDatabaseReady(ctx, in); err != nil {
		return err
	}
	return s.VerifyConnection(ctx, in)
}

// StopPooler stops the pool and removes the clients' network access to it and to the instances.
func (s *Steps) StopPooler(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	if err := s.Cluster.Delete(ctx, manifest.Clients(db)); err != nil {
		return err
	}
	return s.Cluster.Apply(ctx, manifest.Stopped(db, s.Platform))
}

// ArchiveLastChanges makes PostgreSQL archive every change ever committed to the closed database, and records the time
// of the last one: the database can be restored up to then.
func (s *Steps) ArchiveLastChanges(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	if err := s.observeBackups(ctx, db, objectstore.NewReachable(s.Archives.Store)); err != nil {
		return err
	}
	segment, at := "", time.Time{}
	return s.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		if segment == "" {
			marked, now, err := s.Postgres.CloseAndMark(ctx, db)
			if err != nil {
				return false, err.Error(), nil // meanwhile, the diagnosis finds the cause
			}
			segment, at = marked, now
		}
		last, err := s.Postgres.LastArchived(ctx, db)
		switch {
		case err != nil:
			return false, err.Error(), nil
		case last < segment:
			return false, "Waiting for PostgreSQL to archive segment " + segment, nil
		}
		return true, "", s.Results.CloseArchive(ctx, db.ID, &at)
	})
}

// RecordArchiveOpen records that changes are archived again.
func (s *Steps) RecordArchiveOpen(ctx context.Context, in Input) error {
	if err := s.Results.CloseArchive(ctx, in.Database, nil); err != nil {
		return fmt.Errorf("open the archive: %w", err)
	}
	return nil
}

// HibernateCluster makes CNPG delete the Cluster's pods but not its volumes, and waits until they and the pool's pods
// are gone.
func (s *Steps) HibernateCluster(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	err = s.Cluster.Change(ctx, db, manifest.Hibernated(db, s.Platform))
	if gone := (*cluster.GoneError)(nil); in.Undo && errors.As(err, &gone) {
		return nil // it has no pods
	}
	if err != nil {
		return err
	}
	return s.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		there, err := cluster.Get(ctx, s.Cluster.Client, db)
		if err != nil {
			return false, "", err
		}
		hibernation := cluster.Hibernation(there)
		switch {
		case hibernation == nil:
			return false, "The operator has not processed the Cluster yet", nil
		case hibernation.Status != metav1.ConditionTrue:
			return false, diagnosis.WithReason("Cluster is "+hibernation.Reason, hibernation.Message), nil
		}
		instances, err := s.Cluster.Instances(ctx, db)
		if err != nil || len(instances) > 0 {
			return false, fmt.Sprintf("%d instances are still running", len(instances)), err
		}
		// The Deployment does not count terminating pods.
		poolers, err := s.Cluster.Poolers(ctx, db)
		return err == nil && len(poolers) == 0, fmt.Sprintf("%d poolers are still running", len(poolers)), err
	})
}

// CheckVolumes checks that each instance has its volume.
func (s *Steps) CheckVolumes(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	claims, err := s.Cluster.Claims(ctx, db)
	if err != nil {
		return err
	}
	claims = slices.DeleteFunc(claims, func(c corev1.PersistentVolumeClaim) bool {
		return c.DeletionTimestamp != nil || c.Status.Phase == corev1.ClaimLost
	})
	if len(claims) < db.Profile.Instances {
		return withCause(fmt.Errorf("%d of %d volume claims exist", len(claims), db.Profile.Instances),
			diagnosis.Cause(daap.CausePVCPending, "%s", fmt.Sprintf(
				"The Cluster has %d instances, but only %d usable volume claims; the others are lost or being deleted",
				db.Profile.Instances, len(claims))))
	}
	return nil
}
