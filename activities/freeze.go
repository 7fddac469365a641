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

// SuspendBackups lets no base backup begin any more, and waits until none runs: a Cluster that hibernates fails it.
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

// CloseToClients stops the pool, denies clients the network, waits until the pool is gone, and has PostgreSQL let
// nobody into the database any more: that holds wherever clients are, also where no NetworkPolicy is enforced.
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
			return false, err.Error(), nil // why PostgreSQL does not answer is found out meanwhile
		}
		return true, "", nil
	})
}

// OpenToClients brings the pool back and lets clients in again.
func (s *Steps) OpenToClients(ctx context.Context, in Input) error {
	if err := s.ApplyPooler(ctx, in); err != nil {
		return err
	}
	if err := s.WaitDatabaseReady(ctx, in); err != nil {
		return err
	}
	return s.VerifyConnection(ctx, in)
}

// StopPooler takes the pool away, and the team's way to the instances.
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

// ArchiveLastChanges has all archived that was ever committed to the database, which no client can enter any more, and
// records when that was: up to then it can be restored.
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
				return false, err.Error(), nil // why PostgreSQL does not answer is found out meanwhile
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

// HibernateCluster has CNPG remove the pods of the Cluster, whose volumes stay, and waits until they are gone, with
// those of the pool.
func (s *Steps) HibernateCluster(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	err = s.Cluster.Change(ctx, db, manifest.Hibernated(db, s.Platform))
	if gone := (*cluster.GoneError)(nil); in.Undo && errors.As(err, &gone) {
		return nil // nothing of it is awake
	}
	if err != nil {
		return err
	}
	return s.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		there, err := cluster.Get(ctx, s.Cluster.Client, db)
		if err != nil {
			return false, "", err
		}
		told := cluster.Hibernation(there)
		switch {
		case told == nil:
			return false, "The operator has not processed the Cluster yet", nil
		case told.Status != metav1.ConditionTrue:
			return false, diagnosis.WithReason("Cluster is "+told.Reason, told.Message), nil
		}
		instances, err := s.Cluster.Instances(ctx, db)
		if err != nil || len(instances) > 0 {
			return false, fmt.Sprintf("%d instances are still running", len(instances)), err
		}
		// The Deployment does not count those that are ending.
		poolers, err := s.Cluster.Poolers(ctx, db)
		return err == nil && len(poolers) == 0, fmt.Sprintf("%d poolers are still running", len(poolers)), err
	})
}

// CheckVolumes finds out whether each instance has its volume.
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
