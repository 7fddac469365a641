package persistence

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// Events returns the events that the filter chooses, newest first, at most as many as its page holds.
func (s *Store) Events(ctx context.Context, f daap.EventFilter) ([]daap.Event, error) {
	var w filter
	w.andWith(`database_id = $`, f.DatabaseID)
	if f.Page.After != uuid.Nil {
		w.andWith(`id < $`, f.Page.After)
	}
	sql := `
		SELECT id, database_id, operation_id, kind, COALESCE(step, ''), COALESCE(cause_code, ''),
		       COALESCE(actor, ''), message, created_at
		FROM   events` + w.where() + ` ORDER BY id DESC LIMIT ` + w.placeholder(f.Page.Limit)
	rows, _ := s.pool.Query(ctx, sql, w.args...) // its error comes out of Collect
	events, err := pgx.CollectRows(rows, pgx.RowToStructByPos[daap.Event])
	if err != nil {
		return nil, because(err, "read events")
	}
	return events, nil
}

// addEvent records what happened in the transaction in which it did.
func addEvent(ctx context.Context, tx pgx.Tx, e daap.Event) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make an event id: %w", err)
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO events (id, database_id, operation_id, kind, step, cause_code, actor, message)
		VALUES ($1, $2, $3, $4, NULLIF($5, ''), NULLIF($6, ''), NULLIF($7, ''), $8)`,
		id, e.DatabaseID, e.OperationID, e.Kind, e.Step, e.Cause, storable(e.Actor), storable(e.Message))
	if err != nil {
		return fmt.Errorf("add event %s: %w", e.Kind, err)
	}
	return nil
}
