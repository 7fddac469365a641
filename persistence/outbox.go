package persistence

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

const (
	// firstDispatch is the time that the creator of an operation has to start it.
	firstDispatch = 5 * time.Second
	// lastDispatch is the longest delay before another start; after an accepted start it is the time in which the
	// operation must begin.
	lastDispatch = 2 * time.Minute
)

// ClaimPending returns at most limit pending operations whose start is due, oldest first and without their steps. Their
// next start is due later, with a delay that doubles each time, so no other process claims them in the meantime.
func (s *Store) ClaimPending(ctx context.Context, limit int) ([]daap.Operation, error) {
	// 2 to the power of 10 exceeds the longest delay and keeps the interval in range.
	rows, _ := s.pool.Query(ctx, `
		WITH due AS (
			SELECT id FROM operations
			WHERE  state = 'pending' AND next_dispatch_at <= now()
			ORDER  BY next_dispatch_at
			LIMIT  $1
			FOR    UPDATE SKIP LOCKED
		), claimed AS (
			UPDATE operations c
			SET    dispatch_attempts = c.dispatch_attempts + 1,
			       next_dispatch_at = now() + LEAST($2::interval * power(2, LEAST(c.dispatch_attempts, 10)), $3)
			FROM   due
			WHERE  c.id = due.id
			RETURNING c.id
		)`+selectOperations+`
		JOIN   claimed ON claimed.id = o.id
		ORDER  BY o.id`,
		limit, firstDispatch, lastDispatch) // Collect returns its error
	ops, err := pgx.CollectRows(rows, scanOperation)
	if err != nil {
		return nil, because(err, "claim pending operations")
	}
	return ops, nil
}

// Dispatched records an accepted start: if the operation has not begun in time, its start is due again. An operation
// that has begun does not change. Safe to repeat.
func (s *Store) Dispatched(ctx context.Context, id uuid.UUID) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE operations SET next_dispatch_at = now() + $2::interval
		WHERE  id = $1 AND state = 'pending'`, id, lastDispatch)
	if err != nil {
		return because(err, "record dispatch")
	}
	return nil
}

// Backlogged reports whether more than limit operations wait to start.
func (s *Store) Backlogged(ctx context.Context, limit int) (bool, error) {
	var over bool
	err := s.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT id FROM operations WHERE state = 'pending' OFFSET $1)`, limit).Scan(&over)
	return over, because(err, "read the backlog")
}
