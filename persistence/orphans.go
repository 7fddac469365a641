package persistence

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

const selectOrphans = `
	SELECT o.id, o.kind, o.name, o.database_id, o.reason, o.first_seen_at, o.last_seen_at, o.removal_requested_at,
	       o.removal_error
	FROM   orphans o`

// Orphans returns the orphans that the filter selects, newest first, at most one page.
func (s *Store) Orphans(ctx context.Context, f daap.OrphanFilter) ([]daap.Orphan, error) {
	var w filter
	if f.Page.After != uuid.Nil {
		w.andWith(`o.id < $`, f.Page.After)
	}
	return s.orphans(ctx, w.where()+` ORDER BY o.id DESC LIMIT `+w.placeholder(f.Page.Limit), w.args...)
}

// OrphansToRemove returns the orphans whose removal was requested.
func (s *Store) OrphansToRemove(ctx context.Context) ([]daap.Orphan, error) {
	return s.orphans(ctx, ` WHERE o.removal_requested_at IS NOT NULL ORDER BY o.id`)
}

func (s *Store) orphans(ctx context.Context, sql string, args ...any) ([]daap.Orphan, error) {
	rows, _ := s.pool.Query(ctx, selectOrphans+sql, args...) // Collect returns its error
	found, err := pgx.CollectRows(rows, scanOrphan)
	if err != nil {
		return nil, because(err, "read orphans")
	}
	return found, nil
}

// CountOrphans returns the number of orphans.
func (s *Store) CountOrphans(ctx context.Context) (n int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*) FROM orphans`).Scan(&n)
	return n, because(err, "count orphans")
}

// RequestOrphanRemoval records that the orphan is to be removed. Errors: CodeNotFound, those of answerOnce.
func (s *Store) RequestOrphanRemoval(ctx context.Context, by daap.Grant, id uuid.UUID) (daap.Orphan, error) {
	orphan, err := answerOnce(ctx, s, by, func(tx pgx.Tx) (daap.Orphan, error) {
		_, err := tx.Exec(ctx, `
			UPDATE orphans SET removal_requested_at = COALESCE(removal_requested_at, now()) WHERE id = $1`, id)
		if err != nil {
			return daap.Orphan{}, err
		}
		rows, _ := tx.Query(ctx, selectOrphans+` WHERE o.id = $1`, id) // Collect returns its error
		orphan, err := pgx.CollectExactlyOneRow(rows, scanOrphan)
		if err != nil {
			return orphan, missing(err, "read orphan", "orphan")
		}
		return orphan, addAudit(ctx, tx, by.Changed(daap.Resource{Kind: daap.ResourceOrphan, ID: id}, nil, fields{
			"kind": orphan.Kind, "name": orphan.Name, "removal_requested_at": orphan.RemovalRequestedAt,
		}))
	})
	return orphan, because(err, "request the removal of an orphan")
}

// SaveOrphans records the complete list of orphans at the time. Orphans that are no longer found are deleted. Safe to
// repeat.
func (s *Store) SaveOrphans(ctx context.Context, at time.Time, found []daap.Orphan) error {
	save := &pgx.Batch{}
	for _, o := range found {
		save.Queue(`
			INSERT INTO orphans AS o (id, kind, name, database_id, reason, first_seen_at, last_seen_at)
			VALUES ($1, $2, $3, $4, $5, $6, $6)
			ON CONFLICT (kind, name) DO UPDATE SET reason = $5, last_seen_at = $6`,
			o.ID, o.Kind, o.Name, o.DatabaseID, o.Reason, at)
	}
	save.Queue(`DELETE FROM orphans WHERE last_seen_at < $1`, at)
	return because(s.pool.SendBatch(ctx, save).Close(), "save orphans")
}

// OrphanRemoved records that the orphan is gone, or why its removal failed.
func (s *Store) OrphanRemoved(ctx context.Context, id uuid.UUID, failure string) error {
	if failure != "" {
		_, err := s.pool.Exec(ctx, `UPDATE orphans SET removal_error = $2 WHERE id = $1`, id, storable(failure))
		return because(err, "record the removal error of an orphan")
	}
	_, err := s.pool.Exec(ctx, `DELETE FROM orphans WHERE id = $1`, id)
	return because(err, "remove an orphan")
}

func scanOrphan(row pgx.CollectableRow) (daap.Orphan, error) {
	var o daap.Orphan
	err := row.Scan(&o.ID, &o.Kind, &o.Name, &o.DatabaseID, &o.Reason, &o.FirstSeenAt, &o.LastSeenAt,
		&o.RemovalRequestedAt, &o.RemovalError)
	return o, err
}
