package persistence

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// BackupState returns what was last seen of the database's backups; the zero value where nobody has looked yet, and of
// a database that is out of scope.
func (s *Store) BackupState(ctx context.Context, scope daap.Scope, database uuid.UUID) (daap.BackupState, error) {
	var b daap.BackupState
	err := s.pool.QueryRow(ctx, `
		SELECT b.observed_at, b.archiving, b.archiving_message, b.last_archived_at, b.unarchived_bytes,
		       b.last_success_at, b.last_failure_at, b.last_failure_message, b.gap, b.first_recoverable_at
		FROM   backup_states b
		JOIN   databases d ON d.id = b.database_id
		WHERE  b.database_id = $1`+ofTeam, database, owner(scope)).Scan(
		&b.ObservedAt, &b.Archiving, &b.ArchivingMessage, &b.LastArchivedAt, &b.UnarchivedBytes,
		&b.LastSuccessAt, &b.LastFailureAt, &b.LastFailureMessage, &b.Gap, &b.FirstRecoverableAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return daap.BackupState{}, nil
	}
	return b, because(err, "read the state of backups")
}

// Backups returns the base backups that the filter chooses, newest first, at most as many as its page holds; none of a
// database that is out of scope.
func (s *Store) Backups(ctx context.Context, scope daap.Scope, f daap.BackupFilter) ([]daap.Backup, error) {
	var w filter
	w.within(scope)
	w.andWith(`b.database_id = $`, f.DatabaseID)
	if f.Page.After != uuid.Nil {
		w.andWith(`b.id < $`, f.Page.After)
	}
	sql := `
		SELECT b.id, b.database_id, b.name, b.server_name, b.backup_id, b.status, b.started_at, b.stopped_at,
		       b.begin_wal, b.end_wal, b.size_bytes, b.error
		FROM   backups b
		JOIN   databases d ON d.id = b.database_id` + w.where() + ` ORDER BY b.id DESC LIMIT ` + w.placeholder(f.Page.Limit)
	rows, _ := s.pool.Query(ctx, sql, w.args...) // its error comes out of Collect
	backups, err := pgx.CollectRows(rows, pgx.RowToStructByPos[daap.Backup])
	if err != nil {
		return nil, because(err, "read backups")
	}
	return backups, nil
}

// BackedUpDatabases returns at most limit databases that are ready and backed up, in order of ID from after on.
func (s *Store) BackedUpDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error) {
	rows, _ := s.pool.Query(ctx, selectDatabases+`
		WHERE  d.status = 'ready' AND (d.profile ->> 'BackupEnabled')::boolean AND d.id > $1
		ORDER  BY d.id LIMIT $2`, after, limit) // its error comes out of Collect
	dbs, err := pgx.CollectRows(rows, scanDatabase)
	if err != nil {
		return nil, because(err, "read databases that are backed up")
	}
	return dbs, nil
}

// SaveBackups records what was seen of the database's backups. Safe to repeat: what was seen later stays.
func (s *Store) SaveBackups(
	ctx context.Context, database uuid.UUID, state daap.BackupState, backups []daap.Backup,
) error {
	save := &pgx.Batch{}
	save.Queue(`
		INSERT INTO backup_states AS b (database_id, observed_at, archiving, archiving_message, last_archived_at,
		       unarchived_bytes, last_success_at, last_failure_at, last_failure_message, first_recoverable_at, gap)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (database_id) DO UPDATE
		SET observed_at = $2, archiving = $3, archiving_message = $4, last_archived_at = $5, unarchived_bytes = $6,
		    last_success_at = $7, last_failure_at = $8, last_failure_message = $9, first_recoverable_at = $10, gap = $11
		WHERE b.observed_at < $2`,
		database, state.ObservedAt, state.Archiving, storable(state.ArchivingMessage), state.LastArchivedAt,
		state.UnarchivedBytes, state.LastSuccessAt, state.LastFailureAt, storable(state.LastFailureMessage),
		state.FirstRecoverableAt, state.Gap)
	for _, b := range backups {
		save.Queue(`
			INSERT INTO backups AS b (id, database_id, name, server_name, status, started_at, stopped_at, begin_wal, end_wal,
			       error, size_bytes, backup_id)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
			ON CONFLICT (id) DO UPDATE
			SET status = $5, started_at = $6, stopped_at = $7, begin_wal = $8, end_wal = $9, error = $10,
			    size_bytes = COALESCE($11, b.size_bytes), backup_id = $12`,
			b.ID, database, b.Name, b.ServerName, b.Status, b.StartedAt, b.StoppedAt, b.BeginWAL, b.EndWAL,
			storable(b.Error), b.SizeBytes, b.BackupID)
	}
	if err := s.pool.SendBatch(ctx, save).Close(); err != nil {
		return because(err, fmt.Sprintf("save the backups of database %s", database))
	}
	return nil
}
