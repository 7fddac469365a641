package persistence

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// Events returns the events that the filter selects, newest first, at most one page; none for a database that is out of
// scope.
func (s *Store) Events(ctx context.Context, scope daap.Scope, f daap.EventFilter) ([]daap.Event, error) {
	var w filter
	w.within(scope)
	w.andWith(`e.database_id = $`, f.DatabaseID)
	if f.Page.After != uuid.Nil {
		w.andWith(`e.id < $`, f.Page.After)
	}
	sql := `
		SELECT e.id, e.database_id, e.operation_id, e.kind, COALESCE(e.step, ''), COALESCE(e.cause_code, ''),
		       COALESCE(e.actor, ''), e.message, e.created_at
		FROM   events e
		JOIN   databases d ON d.id = e.database_id` +
		w.where() + ` ORDER BY e.id DESC LIMIT ` + w.placeholder(f.Page.Limit)
	rows, _ := s.pool.Query(ctx, sql, w.args...) // Collect returns its error
	events, err := pgx.CollectRows(rows, scanEvent)
	if err != nil {
		return nil, because(err, "read events")
	}
	return events, nil
}

// addEvent records an event of the operation in its transaction: in the timeline and, for a change by a workflow, in
// the audit log.
func addEvent(ctx context.Context, tx pgx.Tx, op daap.Operation, e daap.Event) error {
	if err := insertEvent(ctx, tx, e); err != nil {
		return err
	}
	if entry, is := op.Audited(e); is {
		return addAudit(ctx, tx, entry)
	}
	return nil
}

// insertEvent adds an event to the timeline only.
func insertEvent(ctx context.Context, tx pgx.Tx, e daap.Event) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("create an event ID: %w", err)
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

// addDecision records a decision about the operation, in the transaction that carries it out.
func addDecision(ctx context.Context, tx pgx.Tx, op daap.Operation, step daap.StepName, d daap.Decision) error {
	if err := addEvent(ctx, tx, op, op.WasDecided(step, d)); err != nil {
		return err
	}
	return addAudit(ctx, tx, op.AuditedDecision(d))
}

func scanEvent(row pgx.CollectableRow) (daap.Event, error) {
	var e daap.Event
	err := row.Scan(&e.ID, &e.DatabaseID, &e.OperationID, &e.Kind, &e.Step, &e.Cause, &e.Actor, &e.Message, &e.CreatedAt)
	return e, err
}
