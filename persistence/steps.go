package persistence

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

const selectSteps = `
	SELECT s.name, s.state, s.attempts, s.progress, s.last_error, s.started_at, s.finished_at
	FROM   operation_steps s
	JOIN   operations o ON o.id = s.operation_id
	JOIN   databases d ON d.id = o.database_id
	WHERE  s.operation_id = $1` + ofTeam + `
	ORDER  BY s.position`

// RecordStep records the progress of the step with that name: state, attempts and progress as given, and the last
// error, which stays if a running or done step brings none. The state determines the times: a step has started once it
// is not pending, and has finished while it is done or undone. The step becomes the operation's current one, with its
// cause. Safe to repeat. For an operation that is over, parked, or goes in the other direction, it changes nothing and
// returns nil.
func (s *Store) RecordStep(ctx context.Context, op uuid.UUID, step daap.Step) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		at, err := moveToStep(ctx, tx, op, step)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		before, err := updateStep(ctx, tx, op, step)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("operation %s has no such step", op)
		}
		if err != nil || before == step.State {
			return err
		}
		return addStepEvent(ctx, tx, at, step)
	})
	return because(err, "record step "+string(step.Name))
}

// moveToStep returns the operation, locked against a take-over; pgx.ErrNoRows if it is not in progress in the step's
// direction.
func moveToStep(ctx context.Context, tx pgx.Tx, op uuid.UUID, step daap.Step) (daap.Operation, error) {
	at := daap.Operation{ID: op}
	var origin originRow
	why := columnsOf(step.Cause)
	// An attempt that has just begun has no findings: the cause of the previous attempt may still apply, except an outage
	// of DAAP's own PostgreSQL, which is over since it accepts this write.
	begins := step.Cause == nil && step.Progress == "" &&
		(step.State == daap.StepRunning || step.State == daap.StepUndoing)
	keeps := begins || step.Cause.TellsLess()
	err := tx.QueryRow(ctx, `
		UPDATE operations
		SET    step = $2,
		       cause_code    = CASE WHEN $7 AND step = $2 THEN COALESCE(cause_code, $4)    ELSE $4 END,
		       cause_message = CASE WHEN $7 AND step = $2 THEN COALESCE(cause_message, $5) ELSE $5 END,
		       cause_remedy  = CASE WHEN $7 AND step = $2 THEN COALESCE(cause_remedy, $6)  ELSE $6 END
		WHERE  id = $1 AND state IN ('running', 'cancelling') AND (cancelled_by IS NOT NULL) = $3
		RETURNING database_id, kind, COALESCE(origin, '{}')`,
		op, step.Name, step.State.Undoes(), why.code, why.message, why.remedy, keeps,
	).Scan(&at.DatabaseID, &at.Kind, &origin)
	at.Origin = daap.Origin(origin)
	return at, err
}

// updateStep returns the previous state of the step.
func updateStep(ctx context.Context, tx pgx.Tx, op uuid.UUID, step daap.Step) (daap.StepState, error) {
	var before daap.StepState
	err := tx.QueryRow(ctx, `
		UPDATE operation_steps s
		SET    state = $3, attempts = $4, progress = $5,
		       last_error = CASE WHEN $6 = '' AND $3 <> 'failed' THEN s.last_error ELSE $6 END,
		       started_at = CASE WHEN $3 = 'pending' THEN s.started_at ELSE COALESCE(s.started_at, now()) END,
		       finished_at = CASE WHEN $3 IN ('done', 'undone') THEN COALESCE(s.finished_at, now()) END
		FROM   operation_steps b
		WHERE  s.operation_id = $1 AND s.name = $2
		AND    b.operation_id = s.operation_id AND b.position = s.position
		RETURNING b.state`,
		op, step.Name, step.State, step.Attempts, storable(step.Progress), storable(step.LastError)).Scan(&before)
	return before, err
}

// addStepEvent records the end of a step in the timeline; not its attempts, which may be many.
func addStepEvent(ctx context.Context, tx pgx.Tx, op daap.Operation, step daap.Step) error {
	var e daap.Event
	switch step.State {
	case daap.StepDone:
		e = op.Happened(daap.EventStepDone, "%s: done at attempt %d.", op.Kind.Title(step.Name), step.Attempts)
	case daap.StepUndone:
		e = op.Happened(daap.EventStepUndone, "%s: rolled back at attempt %d.", op.Kind.Title(step.Name), step.Attempts)
	default:
		return nil
	}
	e.Step = step.Name
	return addEvent(ctx, tx, op, e)
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
