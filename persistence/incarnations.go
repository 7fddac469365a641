package persistence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// BeginIncarnation moves the database of a reconcile to the incarnation after the given one, to be restored from its
// own archive of that server name. The state of its backups is then unknown. Safe to repeat: an operation begins at
// most one incarnation. daap.ErrSuperseded for an operation that is over or cancelled.
func (s *Store) BeginIncarnation(ctx context.Context, op uuid.UUID, from int, server string) error {
	err := s.whileBegun(ctx, op, func(tx pgx.Tx, op daap.Operation) error {
		if op.Incarnation != 0 {
			return nil
		}
		if op.CancelledBy != "" {
			return daap.ErrSuperseded
		}
		was, err := readDatabase(ctx, tx, daap.EveryTeam, op.DatabaseID)
		if err != nil {
			return err
		}
		if was.Incarnation != from {
			return fmt.Errorf("database %s is at incarnation %d, not at %d", was.ID, was.Incarnation, from)
		}
		return beginIncarnation(ctx, tx, op, was.Next(server))
	})
	return because(err, "begin an incarnation")
}

func beginIncarnation(ctx context.Context, tx pgx.Tx, op daap.Operation, is daap.Database) error {
	_, err := tx.Exec(ctx, `UPDATE databases SET incarnation = $2, source = $3, updated_at = now() WHERE id = $1`,
		is.ID, is.Incarnation, (*sourceRow)(is.Source))
	if err != nil {
		return fmt.Errorf("move database %s to incarnation %d: %w", is.ID, is.Incarnation, err)
	}
	_, err = tx.Exec(ctx, `UPDATE operations SET incarnation = $2 WHERE id = $1`, op.ID, is.Incarnation)
	if err != nil {
		return fmt.Errorf("record the incarnation with the operation: %w", err)
	}
	archived, err := forgetState(ctx, tx, is.ID)
	if err != nil {
		return err
	}
	return addEvent(ctx, tx, op, op.HasBegun(is, archived))
}

// forgetState removes the observed state of the previous incarnation's backups, except the rows of base backups, and
// returns the time up to which everything was archived; nil if unknown.
func forgetState(ctx context.Context, tx pgx.Tx, database uuid.UUID) (archived *time.Time, err error) {
	err = tx.QueryRow(ctx, `SELECT archived_until FROM backup_states WHERE database_id = $1`, database).Scan(&archived)
	if errors.Is(err, pgx.ErrNoRows) { // no observation yet
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the archived-until time: %w", err)
	}
	_, err = tx.Exec(ctx, `
		UPDATE backup_states
		SET    observed_at = now(), archiving = false,
		       archiving_message = 'The database is restored from its own archive.', last_archived_at = NULL,
		       unarchived_bytes = 0, archived_until = NULL, closed_at = NULL, last_begun_at = NULL, last_success_at = NULL,
		       last_failure_at = NULL, last_failure_message = '', first_recoverable_at = NULL, gap = ''
		WHERE  database_id = $1`, database)
	if err != nil {
		return nil, fmt.Errorf("remove observations of backups: %w", err)
	}
	return archived, nil
}
