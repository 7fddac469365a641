package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/objectstore"
)

// TakeBaseBackup takes a base backup in addition to the scheduled ones, and records the state of the backups.
func (s *Steps) TakeBaseBackup(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	return s.backUp(ctx, in, db, cluster.BackupFilter{Prefix: in.Operation.String()})
}

// DeleteBackupObjects deletes the Backup objects of the operation from Kubernetes. Their data stays in the archive
// until its retention ends.
func (s *Steps) DeleteBackupObjects(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	found, err := s.Cluster.Backups(ctx, db, cluster.BackupFilter{Prefix: in.Operation.String()})
	if err != nil {
		return err
	}
	for i := range found {
		if err := s.Cluster.Delete(ctx, &found[i]); err != nil {
			return err
		}
	}
	return nil
}

// backUp takes a base backup unless one is in progress, waits for it, and records the state of the backups.
func (s *Steps) backUp(ctx context.Context, in Input, db daap.Database, want cluster.BackupFilter) error {
	if err := s.takeBackup(ctx, in, db, want); err != nil {
		return err
	}
	// An error is only logged: the backups are observed again within a minute.
	s.tryObserveBackups(ctx, db, objectstore.NewReachable(s.Archives.Store))
	return nil
}

// takeBackup waits until WAL is archived and a selected base backup is completed. It takes a base backup unless one is
// in progress. If it fails, the next attempt takes another one.
func (s *Steps) takeBackup(ctx context.Context, in Input, db daap.Database, want cluster.BackupFilter) error {
	asked := false
	return s.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		if missing, err := s.Cluster.NotArchiving(ctx, db); missing != "" || err != nil {
			return false, missing, err
		}
		newest, completed, err := s.Cluster.NewestBackup(ctx, db, want)
		if err != nil || completed {
			return completed, "", err
		}
		if newest == nil || cluster.BackupFailed(newest) && !asked {
			asked = true
			newest = manifest.Backup(db, fmt.Sprintf("%s-%d", want.Prefix, time.Now().UnixMilli()))
			if err := s.createBackup(ctx, in, newest); err != nil {
				return false, "", err
			}
		}
		if cluster.BackupFailed(newest) {
			return false, "", s.backupError(ctx, db, newest)
		}
		return newest.Status.Phase == cnpgv1.BackupPhaseCompleted, "The base backup is " + cluster.BackupPhase(newest), nil
	})
}

// createBackup creates the Backup, unless the operation has been cancelled. A wait may run on for a while after the
// cancellation, while the rollback deletes the operation's Backups. The rollback may have listed them before this one
// existed, so createBackup checks again afterwards.
func (s *Steps) createBackup(ctx context.Context, in Input, backup *cnpgv1.Backup) error {
	if err := s.Rows.HoldsDatabase(ctx, in.Operation, in.Undo); err != nil {
		return fmt.Errorf("create backup %s: %w", backup.Name, err)
	}
	if err := s.Cluster.Client.Create(ctx, backup); err != nil {
		return fmt.Errorf("create backup %s: %w", backup.Name, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	err := s.Rows.HoldsDatabase(ctx, in.Operation, in.Undo)
	if !errors.Is(err, daap.ErrSuperseded) {
		return err
	}
	if gone := s.Cluster.Delete(ctx, backup); gone != nil {
		return gone
	}
	return fmt.Errorf("create backup %s: %w", backup.Name, err)
}

// backupError is the error of a failed base backup; the next attempt takes another one.
func (s *Steps) backupError(ctx context.Context, db daap.Database, b *cnpgv1.Backup) error {
	code := daap.CauseBackupFailed
	if diagnosis.StoreDenied(b.Status.Error) {
		code = daap.CauseS3Denied
	}
	cause := diagnosis.Cause(code, "Base backup %s is %s: %s", b.Name, cluster.BackupPhase(b),
		diagnosis.FirstOf(b.Status.Error, "it reported no error"))
	if code == daap.CauseBackupFailed && s.Diagnosis != nil { // the plugin may report only an exit status
		if found, err := s.Diagnosis.Of(ctx, db); err == nil && found != nil {
			cause = found
		}
	}
	return withCause(fmt.Errorf("base backup %s is %s", b.Name, cluster.BackupPhase(b)), cause)
}
