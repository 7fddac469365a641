package persistence

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

const (
	// firstDispatch leaves whoever records an operation the time to start it.
	firstDispatch = 5 * time.Second
	// lastDispatch is the longest wait before another start; after a start that was accepted it is the time
	// the engine has for beginning the operation.
	lastDispatch = 2 * time.Minute
)

// ClaimPending returns at most limit pending operations whose start is due, oldest first and without their
// steps. Each is due again later, twice as late each time, so no one else claims it meanwhile.
func (s *Store) ClaimPending(ctx context.Context, limit int) ([]daap.Operation, error) {
	// 2 to the power of 10 is past the longest wait, and keeps the interval from growing out of its range.
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
		limit, firstDispatch, lastDispatch) // its error comes out of Collect
	ops, err := pgx.CollectRows(rows, scanOperation)
	if err != nil {
		return nil, because(err, "claim pending operations")
	}
	return ops, nil
}

// Dispatched records that the operation's start was accepted: if it has not begun by then, its start is due
// again in a while. It changes nothing for an operation that has begun. Safe to repeat.
func (s *Store) Dispatched(ctx context.Context, id uuid.UUID) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE operations SET next_dispatch_at = now() + $2::interval
		WHERE  id = $1 AND state = 'pending'`, id, lastDispatch)
	if err != nil {
		return because(err, "record dispatch")
	}
	return nil
}

// Backlogged says whether more than limit operations wait for their start.
func (s *Store) Backlogged(ctx context.Context, limit int) (bool, error) {
	var over bool
	err := s.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT id FROM operations WHERE state = 'pending' OFFSET $1)`, limit).Scan(&over)
	return over, because(err, "read the backlog")
}
