package persistence

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// BackupState returns the last observation of the database's backups; the zero value before the first, and for a
// database that is out of scope.
func (s *Store) BackupState(ctx context.Context, scope daap.Scope, database uuid.UUID) (daap.BackupState, error) {
	states, err := s.backupStates(ctx, `d.id = $1`+ofTeam, database, owner(scope))
	return states[database], because(err, "read the state of backups")
}

func (s *Store) backupStates(ctx context.Context, which string, args ...any) (map[uuid.UUID]daap.BackupState, error) {
	rows, _ := s.pool.Query(ctx, selectBackupStates+which, args...) // collect returns its error
	return collectBackupStates(rows)
}

const selectBackupStates = `
	SELECT b.database_id, b.observed_at, b.archiving, b.archiving_message, b.last_archived_at, b.unarchived_bytes,
	       b.last_success_at, b.last_failure_at, b.last_failure_message, b.gap, b.first_recoverable_at,
	       b.archived_until, b.last_begun_at, b.closed_at
	FROM   backup_states b
	JOIN   databases d ON d.id = b.database_id
	WHERE  `

func collectBackupStates(rows pgx.Rows) (map[uuid.UUID]daap.BackupState, error) {
	all := map[uuid.UUID]daap.BackupState{}
	var id uuid.UUID
	var b daap.BackupState
	_, err := pgx.ForEachRow(rows, []any{
		&id, &b.ObservedAt, &b.Archiving, &b.ArchivingMessage, &b.LastArchivedAt, &b.UnarchivedBytes,
		&b.LastSuccessAt, &b.LastFailureAt, &b.LastFailureMessage, &b.Gap, &b.FirstRecoverableAt,
		&b.ArchivedUntil, &b.LastBegunAt, &b.ClosedAt,
	}, func() error {
		all[id], b = b, daap.BackupState{}
		return nil
	})
	return all, err
}

// Backups returns the base backups that the filter selects, newest first, at most one page; none for a database that is
// out of scope.
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
	rows, _ := s.pool.Query(ctx, sql, w.args...) // Collect returns its error
	backups, err := pgx.CollectRows(rows, scanBackup)
	if err != nil {
		return nil, because(err, "read backups")
	}
	return backups, nil
}

// BackedUpDatabases returns at most limit running databases with backups, in order of ID after the given one.
func (s *Store) BackedUpDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error) {
	return s.withBackups(ctx, `d.status IN ('ready', 'updating')`, after, limit)
}

// DatabasesWithArchives returns at most limit databases whose archives may be pruned, in order of ID after the given
// one: all databases with backups that are not being deleted, except those from which a restore is in progress.
func (s *Store) DatabasesWithArchives(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error) {
	return s.withBackups(ctx, `d.status NOT IN ('deleting', 'deleted') AND o.incarnation IS NULL AND NOT EXISTS (
		SELECT FROM databases r WHERE r.status = 'restoring' AND r.source ->> 'database_id' = d.id::text)`, after, limit)
}

// withBackups returns one page of the databases with backups that satisfy the condition.
func (s *Store) withBackups(
	ctx context.Context, condition string, after uuid.UUID, limit int,
) ([]daap.Database, error) {
	rows, _ := s.pool.Query(ctx, selectDatabases+`
		WHERE  `+condition+` AND (d.profile ->> 'backup_enabled')::boolean AND d.id > $1
		ORDER  BY d.id LIMIT $2`, after, limit) // Collect returns its error
	dbs, err := pgx.CollectRows(rows, scanDatabase)
	if err != nil {
		return nil, because(err, "read databases with backups")
	}
	return dbs, nil
}

// ForgetBackups removes base backups of one of the database's archives, by Barman's IDs. Safe to repeat.
func (s *Store) ForgetBackups(ctx context.Context, database uuid.UUID, server string, backupIDs []string) error {
	_, err := s.pool.Exec(ctx, `
		DELETE FROM backups WHERE database_id = $1 AND server_name = $2 AND backup_id = ANY ($3)`,
		database, server, backupIDs)
	return because(err, fmt.Sprintf("remove backups of database %s", database))
}

// CloseArchive records the time of the database's last commit; nil once it accepts changes again. Safe to repeat.
func (s *Store) CloseArchive(ctx context.Context, database uuid.UUID, at *time.Time) error {
	_, err := s.pool.Exec(ctx, `UPDATE backup_states SET closed_at = $2 WHERE database_id = $1`, database, at)
	return because(err, fmt.Sprintf("close the archive of database %s", database))
}

// SaveBackups records an observation of the database's backups: its base backups are the complete list of the current
// archive, without pruned ones. Safe to repeat: a later observation wins.
func (s *Store) SaveBackups(
	ctx context.Context, db daap.Database, state daap.BackupState, backups []daap.Backup,
) error {
	save := &pgx.Batch{}
	save.Queue(`
		INSERT INTO backup_states AS b (database_id, observed_at, archiving, archiving_message, last_archived_at,
		       unarchived_bytes, last_success_at, last_failure_at, last_failure_message, first_recoverable_at, gap,
		       last_begun_at, archived_until)
		VALUES ($1, $2::timestamptz, $3, $4, $5::timestamptz, $6::bigint, $7, $8, $9, $10, $11, $12,
		        CASE WHEN $6::bigint = 0 AND $5::timestamptz IS NOT NULL THEN $2::timestamptz ELSE $5::timestamptz END)
		ON CONFLICT (database_id) DO UPDATE
		SET observed_at = excluded.observed_at, archiving = excluded.archiving,
		    archiving_message = excluded.archiving_message,
		    last_success_at = excluded.last_success_at, last_failure_at = excluded.last_failure_at,
		    last_failure_message = excluded.last_failure_message, first_recoverable_at = excluded.first_recoverable_at,
		    gap = excluded.gap, last_begun_at = excluded.last_begun_at,
		    last_archived_at = COALESCE(excluded.last_archived_at, b.last_archived_at),
		    unarchived_bytes = CASE WHEN excluded.last_archived_at IS NULL THEN b.unarchived_bytes
		                            ELSE excluded.unarchived_bytes END,
		    archived_until = CASE WHEN excluded.last_archived_at IS NULL THEN b.archived_until
		                          ELSE GREATEST(excluded.archived_until, b.archived_until) END
		WHERE b.observed_at < excluded.observed_at`,
		db.ID, state.ObservedAt, state.Archiving, storable(state.ArchivingMessage), state.LastArchivedAt,
		state.UnarchivedBytes, state.LastSuccessAt, state.LastFailureAt, storable(state.LastFailureMessage),
		state.FirstRecoverableAt, state.Gap, state.LastBegunAt)
	seen := make([]uuid.UUID, 0, len(backups))
	for _, b := range backups {
		seen = append(seen, b.ID)
		save.Queue(`
			INSERT INTO backups AS b (id, database_id, name, server_name, status, started_at, stopped_at, begin_wal, end_wal,
			       error, size_bytes, backup_id)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
			ON CONFLICT (id) DO UPDATE
			SET status = $5, started_at = $6, stopped_at = $7, begin_wal = $8, end_wal = $9, error = $10,
			    size_bytes = COALESCE($11, b.size_bytes), backup_id = $12
			WHERE EXISTS (SELECT FROM backup_states s WHERE s.database_id = $2 AND s.observed_at = $13)`,
			b.ID, db.ID, b.Name, b.ServerName, b.Status, b.StartedAt, b.StoppedAt, b.BeginWAL, b.EndWAL,
			storable(b.Error), b.SizeBytes, b.BackupID, state.ObservedAt)
	}
	save.Queue(`
		DELETE FROM backups b
		WHERE  b.database_id = $1 AND b.server_name = $2 AND b.id <> ALL ($3)
		       AND EXISTS (SELECT FROM backup_states s WHERE s.database_id = $1 AND s.observed_at = $4)`,
		db.ID, db.ServerName(), seen, state.ObservedAt)
	if err := s.pool.SendBatch(ctx, save).Close(); err != nil {
		return because(err, fmt.Sprintf("save the backups of database %s", db.ID))
	}
	return nil
}

func scanBackup(row pgx.CollectableRow) (daap.Backup, error) {
	var b daap.Backup
	err := row.Scan(&b.ID, &b.DatabaseID, &b.Name, &b.ServerName, &b.BackupID, &b.Status, &b.StartedAt, &b.StoppedAt,
		&b.BeginWAL, &b.EndWAL, &b.SizeBytes, &b.Error)
	return b, err
}
