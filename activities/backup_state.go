package activities

import (
	"cmp"
	"context"
	"fmt"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"go.temporal.io/sdk/activity"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/objectstore"
)

// tryObserveBackups is observeBackups, but only logs the error.
func (s *Steps) tryObserveBackups(ctx context.Context, db daap.Database, reachable *objectstore.Reachable) {
	if err := s.observeBackups(ctx, db, reachable); err != nil {
		activity.GetLogger(ctx).Warn("The backups of a database cannot be observed.",
			"database_id", db.ID.String(), "error", err)
	}
}

// observeBackups records the state of the database's backups as Kubernetes, the archive and PostgreSQL report it.
func (s *Steps) observeBackups(
	ctx context.Context, db daap.Database, reachable *objectstore.Reachable,
) error {
	state := daap.BackupState{ObservedAt: time.Now()}
	there, err := cluster.Get(ctx, s.Cluster.Watch, db)
	if err != nil {
		return err
	}
	if there.DeletionTimestamp != nil { // its Backups are deleted with it, but the base backups stay archived
		return fmt.Errorf("cluster of database %s is being deleted", db.ID)
	}
	archiving := apimeta.FindStatusCondition(there.Status.Conditions, string(cnpgv1.ConditionContinuousArchiving))
	if archiving != nil {
		state.Archiving, state.ArchivingMessage = archiving.Status == metav1.ConditionTrue, diagnosis.Safe(archiving.Message)
	}
	unavailable := reachable.Unavailable(ctx, db)
	if unavailable != nil && state.Archiving { // the archiver may hang for minutes before it reports this
		state.Archiving, state.ArchivingMessage = false, diagnosis.Safe(unavailable.Error())
	}
	if unavailable == nil && !state.Archiving && s.Diagnosis != nil {
		if cause, err := s.Diagnosis.Of(ctx, db); err == nil && cause != nil { // CNPG reports only an exit status
			state.ArchivingMessage = cause.Message
		}
	}
	window, err := s.Cluster.RecoveryWindow(ctx, db)
	if err != nil {
		return err
	}
	state.FirstRecoverableAt, state.LastSuccessAt = window["firstRecoverabilityPoint"], window["lastSuccessfulBackupTime"]
	state.LastFailureAt = window["lastFailedBackupTime"]
	backups, err := s.baseBackups(ctx, db, &state)
	if err != nil {
		return err
	}
	if err := s.Archives.Inspect(ctx, db, &state, backups, unavailable == nil); err != nil {
		activity.GetLogger(ctx).Info("An archive cannot be listed.", "database_id", db.ID.String(), "error", err)
	}
	if state.LastArchivedAt, state.UnarchivedBytes, err = s.Postgres.Archiving(ctx, db); err != nil {
		// A database that does not respond has a condition of its own; the archiver's state is known without it.
		activity.GetLogger(ctx).Info("A database does not report its archiving status.",
			"database_id", db.ID.String(), "error", err)
	}
	return s.Backups.SaveBackups(ctx, db, state, backups)
}

// baseBackups returns the database's base backups in Kubernetes. It records the last start, failure and success in the
// state.
func (s *Steps) baseBackups(ctx context.Context, db daap.Database, state *daap.BackupState) ([]daap.Backup, error) {
	found, err := s.Cluster.ObservedBackups(ctx, db)
	if err != nil {
		return nil, err
	}
	var all []daap.Backup
	for i := range found {
		backup := cluster.AsBackup(db, &found[i])
		state.LastBegunAt = &found[i].CreationTimestamp.Time // sorted by it
		switch backup.Status {
		case daap.BackupFailed:
			at := cmp.Or(backup.StoppedAt, &found[i].CreationTimestamp.Time)
			state.LastFailureAt, state.LastFailureMessage = at, backup.Error
		case daap.BackupCompleted:
			if state.LastSuccessAt == nil || backup.StoppedAt.After(*state.LastSuccessAt) {
				state.LastSuccessAt = backup.StoppedAt
			}
			// The plugin reports it every five minutes, and after some of the base backups.
			if state.FirstRecoverableAt == nil {
				state.FirstRecoverableAt = backup.StoppedAt
			}
		case daap.BackupPending, daap.BackupRunning:
		}
		all = append(all, backup)
	}
	return all, nil
}
