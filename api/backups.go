package api

import (
	"context"
	"time"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// ListBackups returns one page of a database's base backups. GET /databases/{id}/backups
func (h *Handler) ListBackups(ctx context.Context, params oas.ListBackupsParams) (*oas.BackupListResponse, error) {
	page, err := daap.ParsePage(params.Limit.Value, params.Cursor.Value)
	if err != nil {
		return nil, err
	}
	backups, next, err := h.databases.Backups(ctx, h.requestOf(ctx), daap.BackupFilter{DatabaseID: params.ID, Page: page})
	if err != nil {
		return nil, err
	}
	return &oas.BackupListResponse{Data: each(backups, backupToOAS), Error: noError, Meta: pageMeta(ctx, next)}, nil
}

// RestoreDatabase accepts the restore of a database to a new one and returns its operation. POST
// /databases/{id}/restore
func (h *Handler) RestoreDatabase(
	ctx context.Context, req *oas.RestoreDatabaseRequest, params oas.RestoreDatabaseParams,
) (*oas.DatabaseAcceptedHeaders, error) {
	spec := daap.RestoreSpec{Name: req.Name, Tier: req.Tier.Value}
	if req.TargetTime != latest {
		target, err := time.Parse(time.RFC3339, req.TargetTime)
		if err != nil {
			return nil, daap.Invalid(daap.Detail{
				Field: "target_time", Message: "must be a time with a time zone, such as 2026-01-02T15:04:05Z, or latest",
			})
		}
		spec.Target = &target
	}
	db, op, err := h.databases.Restore(ctx, h.requestOf(ctx), params.ID, spec)
	if err != nil {
		return nil, err
	}
	return accepted(ctx, db, op), nil
}

// BackUpDatabase accepts a base backup and returns its operation. POST /databases/{id}/backups
func (h *Handler) BackUpDatabase(
	ctx context.Context, params oas.BackUpDatabaseParams,
) (*oas.DatabaseAcceptedHeaders, error) {
	db, op, err := h.databases.BackUp(ctx, h.requestOf(ctx), params.ID)
	if err != nil {
		return nil, err
	}
	return accepted(ctx, db, op), nil
}

// latest requests a restore to the latest time.
const latest = "latest"

func backupToOAS(b daap.Backup) oas.Backup {
	return oas.Backup{
		ID:         b.ID,
		Name:       b.Name,
		ServerName: b.ServerName,
		BackupID:   nilString(b.BackupID),
		Status:     oas.BackupStatus(b.Status),
		StartedAt:  nilTime(b.StartedAt),
		StoppedAt:  nilTime(b.StoppedAt),
		BeginWal:   nilString(b.BeginWAL),
		EndWal:     nilString(b.EndWAL),
		SizeBytes:  nilInt64(b.SizeBytes),
		Error:      nilString(b.Error),
	}
}

// backupStateToOAS returns null for a database without backups.
func backupStateToOAS(view daap.DatabaseView) oas.NilBackupState {
	if !view.Profile.BackupEnabled {
		return oas.NilBackupState{Null: true}
	}
	now, state := time.Now(), view.Backups
	health, reason := state.HealthOf(view.Database, now)
	return oas.NewNilBackupState(oas.BackupState{
		Health:                 oas.BackupHealth(health),
		Reason:                 nilString(reason),
		ObservedAt:             nilTime(given(state.ObservedAt, !state.ObservedAt.IsZero())),
		LastSuccessfulBackupAt: nilTime(state.LastSuccessAt),
		LastFailedBackupAt:     nilTime(state.LastFailureAt),
		NextBackupAt:           nilTime(view.NextBackup(now)),
		FirstRecoverableAt:     nilTime(state.FirstRecoverableAt),
		LatestRecoverableAt:    nilTime(state.LatestRecoverable()),
		ArchiveLagSeconds:      int(state.Lag(now).Seconds()),
		Gap:                    nilString(state.Gap),
	})
}

func sourceToOAS(source *daap.Source) oas.NilRestoreSource {
	if source == nil {
		return oas.NilRestoreSource{Null: true}
	}
	return oas.NewNilRestoreSource(oas.RestoreSource{
		DatabaseID: source.DatabaseID, Name: source.Name, TargetTime: nilTime(source.Target),
	})
}

func nilInt64(n *int64) oas.NilInt64 {
	if n == nil {
		return oas.NilInt64{Null: true}
	}
	return oas.NewNilInt64(*n)
}
