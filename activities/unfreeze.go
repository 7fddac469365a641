package activities

import (
	"context"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
)

// WakeCluster makes CNPG create the Cluster's pods again, and waits until all of them are ready.
func (s *Steps) WakeCluster(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	if err := s.changeCluster(ctx, db); err != nil {
		return err
	}
	return s.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		there, err := cluster.Get(ctx, s.Cluster.Client, db)
		if err != nil {
			return false, "", err
		}
		if cluster.Hibernation(there) != nil {
			return false, "Cluster is still hibernated", nil
		}
		done, progress := cluster.InstancesReady(there)
		return done, progress, nil
	})
}

// CloseDatabase undoes OpenToClients: it closes the database, and archives the changes that were committed while it was
// open.
func (s *Steps) CloseDatabase(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	if db.Profile.BackupEnabled {
		return s.ArchiveLastChanges(ctx, in)
	}
	return s.Postgres.Close(ctx, db)
}

// RestartBackups schedules base backups at the times of the tier again, takes one now, and records that changes are
// archived again.
func (s *Steps) RestartBackups(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	if err := s.applyStep(ctx, db, daap.StepBackup); err != nil {
		return err
	}
	if err := s.RecordArchiveOpen(ctx, in); err != nil {
		return err
	}
	return s.backUp(ctx, in, db, cluster.BackupFilter{Prefix: in.Operation.String()})
}

// StopBackups undoes RestartBackups.
func (s *Steps) StopBackups(ctx context.Context, in Input) error {
	if err := s.DeleteBackupObjects(ctx, in); err != nil {
		return err
	}
	return s.SuspendBackups(ctx, in)
}
