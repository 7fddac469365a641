package persistence

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

const selectSteps = `
	SELECT name, state, attempts, progress, last_error, started_at, finished_at
	FROM   operation_steps
	WHERE  operation_id = $1
	ORDER  BY position`

// RecordStep records how far the step of that name is: state, attempts and progress as given; the last error
// as given, but the one before stays when a step that runs or is done brings none. The times come from the
// state: a step has started once it has been anything but pending, and is finished while it is done. Safe
// to repeat. For an operation that is over it changes nothing and returns nil.
func (s *Store) RecordStep(ctx context.Context, op uuid.UUID, step daap.Step) error {
	var open, recorded bool
	// The lock on the operation keeps a take-over from coming between the look and the change.
	err := s.pool.QueryRow(ctx, `
		WITH open AS (
			SELECT id FROM operations WHERE id = $1 AND state IN `+openStates+` FOR SHARE
		), recorded AS (
			UPDATE operation_steps s
			SET    state = $3, attempts = $4, progress = $5,
			       last_error = CASE WHEN $6 = '' AND $3 IN ('running', 'done') THEN s.last_error ELSE $6 END,
			       started_at = CASE WHEN $3 = 'pending' THEN s.started_at ELSE COALESCE(s.started_at, now()) END,
			       finished_at = CASE WHEN $3 = 'done' THEN COALESCE(s.finished_at, now()) END
			FROM   open
			WHERE  s.operation_id = open.id AND s.name = $2
			RETURNING s.name
		)
		SELECT EXISTS (SELECT id FROM open), EXISTS (SELECT name FROM recorded)`,
		op, step.Name, step.State, step.Attempts, storable(step.Progress), storable(step.LastError),
	).Scan(&open, &recorded)
	if err != nil {
		return because(err, "record step "+string(step.Name))
	}
	if open && !recorded {
		return fmt.Errorf("record step %s: operation %s has no such step", step.Name, op)
	}
	return nil
}

func insertSteps(ctx context.Context, tx pgx.Tx, op daap.Operation) error {
	names := make([]daap.StepName, 0, len(op.Steps))
	for _, step := range op.Steps {
		names = append(names, step.Name)
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO operation_steps (operation_id, position, name)
		SELECT $1, plan.position, plan.name
		FROM   unnest($2::text[]) WITH ORDINALITY AS plan (name, position)`,
		op.ID, names)
	if err != nil {
		return fmt.Errorf("insert steps: %w", err)
	}
	return nil
}

func scanStep(row pgx.CollectableRow) (daap.Step, error) {
	var s daap.Step
	err := row.Scan(&s.Name, &s.State, &s.Attempts, &s.Progress, &s.LastError, &s.StartedAt, &s.FinishedAt)
	return s, err
}
