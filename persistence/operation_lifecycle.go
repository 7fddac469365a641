package persistence

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// errNotBegun means that the call requires an operation that has begun: a bug of the caller.
var errNotBegun = errors.New("operation has not begun")

// BeginOperation moves the operation from pending to running, or to cancelling if it was cancelled. Safe to repeat: an
// operation that has begun does not change. undo is the direction of the caller: daap.ErrSuperseded if the operation
// goes in the other direction, is over or unknown.
func (s *Store) BeginOperation(ctx context.Context, id uuid.UUID, undo bool) error {
	state, err := s.direction(ctx, id, undo)
	if err != nil || state != daap.OperationPending {
		return err
	}
	err = s.whileHeld(ctx, id, func(tx pgx.Tx, op daap.Operation) error {
		if op.State != daap.OperationPending {
			return nil
		}
		if _, err := tx.Exec(ctx, `
			UPDATE operations SET state = $2, started_at = COALESCE(started_at, now())
			WHERE  id = $1`, op.ID, op.OnTheWay()); err != nil {
			return err
		}
		return addEvent(ctx, tx, op, op.Happened(daap.EventStarted, "The workflow started."))
	})
	return because(err, "begin operation")
}

// HoldsDatabase returns nil while the operation is open and goes in the given direction, else daap.ErrSuperseded: also
// for an unknown one, which holds nothing.
func (s *Store) HoldsDatabase(ctx context.Context, op uuid.UUID, undo bool) error {
	_, err := s.direction(ctx, op, undo)
	return err
}

func (s *Store) direction(ctx context.Context, op uuid.UUID, undo bool) (daap.OperationState, error) {
	var state daap.OperationState
	err := s.pool.QueryRow(ctx, `
		SELECT state FROM operations
		WHERE  id = $1 AND state IN `+openStates+` AND (cancelled_by IS NOT NULL) = $2`, op, undo).Scan(&state)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", daap.ErrSuperseded
	}
	return state, because(err, "read the operation that holds the database")
}

// ParkOperation moves an operation in progress to needs_attention at the step, and its database to error, both with the
// cause; if the known cause of the step says more, with that one. Safe to repeat: a parked operation keeps its cause.
// daap.ErrSuperseded for one that is over.
func (s *Store) ParkOperation(ctx context.Context, op uuid.UUID, step daap.StepName, cause daap.Cause) error {
	err := s.whileBegun(ctx, op, func(tx pgx.Tx, op daap.Operation) error {
		if op.State == daap.OperationNeedsAttention {
			return nil
		}
		if cause.TellsLess() && op.Cause != nil && op.Step == step {
			cause = *op.Cause
		}
		if _, err := tx.Exec(ctx, `UPDATE operations SET step = NULLIF($2, '') WHERE id = $1`, op.ID, step); err != nil {
			return fmt.Errorf("move to step %s: %w", step, err)
		}
		op.Step = step
		return park(ctx, tx, op, cause)
	})
	return because(err, "park operation")
}

func park(ctx context.Context, tx pgx.Tx, op daap.Operation, cause daap.Cause) error {
	if err := setState(ctx, tx, op, daap.OperationNeedsAttention, &cause); err != nil {
		return err
	}
	if op.State != daap.OperationNeedsAttention { // otherwise its database is already in error
		if err := moveDatabase(ctx, tx, op.DatabaseID, daap.DatabaseError, &cause); err != nil {
			return err
		}
	}
	return addEvent(ctx, tx, op, op.WasParked(op.Step, cause))
}

func setState(ctx context.Context, tx pgx.Tx, op daap.Operation, to daap.OperationState, cause *daap.Cause) error {
	why := columnsOf(cause)
	_, err := tx.Exec(ctx, `
		UPDATE operations SET state = $2, cause_code = $3, cause_message = $4, cause_remedy = $5
		WHERE  id = $1`, op.ID, to, why.code, why.message, why.remedy)
	if err != nil {
		return fmt.Errorf("set operation to %s: %w", to, err)
	}
	return nil
}

// ResumeOperation resumes a parked operation at its step, as decided; its database returns to the status during the
// operation, and both causes are cleared. Safe to repeat: an operation in progress does not change. daap.ErrSuperseded
// for one that is over.
func (s *Store) ResumeOperation(ctx context.Context, op uuid.UUID, d daap.Decision) error {
	err := s.whileBegun(ctx, op, func(tx pgx.Tx, op daap.Operation) error {
		return resume(ctx, tx, op, d)
	})
	return because(err, "resume operation")
}

// SkipStep marks the current step of a parked operation as skipped and resumes the operation. Safe to repeat.
// daap.ErrSuperseded for one that is over.
func (s *Store) SkipStep(ctx context.Context, op uuid.UUID, step daap.StepName, d daap.Decision) error {
	err := s.whileBegun(ctx, op, func(tx pgx.Tx, op daap.Operation) error {
		if op.State != daap.OperationNeedsAttention {
			return nil
		}
		_, err := tx.Exec(ctx, `
			UPDATE operation_steps SET state = 'skipped', finished_at = now()
			WHERE  operation_id = $1 AND name = $2`, op.ID, step)
		if err != nil {
			return fmt.Errorf("skip step: %w", err)
		}
		return resume(ctx, tx, op, d)
	})
	return because(err, "skip step "+string(step))
}

// CancelOperation gives the operation up: from now on it is rolled back, and its database has the status that its kind
// says for that. Safe to repeat. Errors: CodeDecisionRefused when it can no longer be given up; daap.ErrSuperseded
// when it is over.
func (s *Store) CancelOperation(ctx context.Context, op uuid.UUID, d daap.Decision) error {
	err := s.whileBegun(ctx, op, func(tx pgx.Tx, op daap.Operation) error {
		if op.CancelledBy != "" {
			return nil
		}
		if why := op.CancelRefusal(); why != "" {
			return daap.Refused(why)
		}
		return giveUp(ctx, tx, op, daap.OperationCancelling, d)
	})
	return because(err, "cancel operation")
}

// giveUp cancels the operation, which moves to the given state.
func giveUp(ctx context.Context, tx pgx.Tx, op daap.Operation, to daap.OperationState, d daap.Decision) error {
	by := d.Actor
	if by == "" {
		by = "unknown" // a Signal need not name its sender
	}
	if _, err := tx.Exec(ctx, `UPDATE operations SET cancelled_by = $2 WHERE id = $1`, op.ID, storable(by)); err != nil {
		return fmt.Errorf("record who cancelled: %w", err)
	}
	if err := setState(ctx, tx, op, to, nil); err != nil {
		return err
	}
	op.CancelledBy = by
	if op.Kind.During() != op.StatusDuring() || op.State == daap.OperationNeedsAttention {
		if err := moveDatabase(ctx, tx, op.DatabaseID, op.StatusDuring(), nil); err != nil {
			return err
		}
	}
	return addDecision(ctx, tx, op, op.Step, d)
}

// FinishCancel moves a cancelled operation to cancelled, and its database to the resulting status. Safe to repeat.
// daap.ErrSuperseded for one that another operation took over.
func (s *Store) FinishCancel(ctx context.Context, op uuid.UUID) error {
	err := s.whileBegun(ctx, op, func(tx pgx.Tx, op daap.Operation) error {
		if err := moveDatabase(ctx, tx, op.DatabaseID, op.AfterCancel(), nil); err != nil {
			return err
		}
		return closeOperation(ctx, tx, op, daap.OperationCancelled,
			op.Happened(daap.EventCancelled, "The operation was rolled back."))
	})
	if errors.Is(err, daap.ErrSuperseded) {
		return s.unlessEnded(ctx, op, daap.OperationCancelled)
	}
	return because(err, "finish the cancellation")
}

// FinishOperation moves an operation that has begun to succeeded, its running steps to done, and its database to the
// resulting status. Safe to repeat: a succeeded operation does not change. daap.ErrSuperseded for one that was or is
// being cancelled.
func (s *Store) FinishOperation(ctx context.Context, op uuid.UUID) error {
	err := s.whileBegun(ctx, op, func(tx pgx.Tx, op daap.Operation) error {
		if op.CancelledBy != "" {
			return daap.ErrSuperseded
		}
		if op.State == daap.OperationNeedsAttention { // a workflow was wrongly considered lost
			if err := moveDatabase(ctx, tx, op.DatabaseID, op.Kind.During(), nil); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `
			UPDATE operation_steps SET state = 'done', finished_at = now()
			WHERE  operation_id = $1 AND state = 'running'`, op.ID)
		if err != nil {
			return err
		}
		if err := moveDatabase(ctx, tx, op.DatabaseID, op.Kind.After(), nil); err != nil {
			return err
		}
		if op.Tier != nil {
			if err := giveTier(ctx, tx, op); err != nil {
				return err
			}
		}
		if err := keepAfter(ctx, tx, op); err != nil {
			return err
		}
		return closeOperation(ctx, tx, op, daap.OperationSucceeded,
			op.Happened(daap.EventSucceeded, "The database is %s.", op.Kind.After()))
	})
	if errors.Is(err, daap.ErrSuperseded) {
		return s.unlessEnded(ctx, op, daap.OperationSucceeded)
	}
	return because(err, "finish operation")
}

// giveTier records the operation's tier for the database, and replaces its quota use.
func giveTier(ctx context.Context, tx pgx.Tx, op daap.Operation) error {
	_, err := tx.Exec(ctx, `UPDATE databases SET tier_id = $2, tier_name = $3, profile = $4 WHERE id = $1`,
		op.DatabaseID, op.Tier.ID, op.Tier.Name, profileRow(op.Tier.Profile))
	if err != nil {
		return fmt.Errorf("set tier %s: %w", op.Tier.Name, err)
	}
	if err := release(ctx, tx, reservationsOf{database: op.DatabaseID}); err != nil {
		return err
	}
	return keep(ctx, tx, *op.Tier, op, op.Tier.Cost())
}

// SaveReceipt merges the counts into the operation's receipt. Safe to repeat. daap.ErrSuperseded for one that is over.
func (s *Store) SaveReceipt(ctx context.Context, op uuid.UUID, counted daap.Receipt) error {
	err := s.whileBegun(ctx, op, func(tx pgx.Tx, op daap.Operation) error {
		var was daap.Receipt
		if op.Receipt != nil {
			was = *op.Receipt
		}
		_, err := tx.Exec(ctx, `UPDATE operations SET receipt = $2 WHERE id = $1`, op.ID, receiptRow(was.With(counted)))
		return err
	})
	return because(err, "save receipt")
}

// whileBegun makes a change in one transaction during which the operation, which has begun, stays open and
// nothing else changes its database. daap.ErrSuperseded when it is over or unknown.
func (s *Store) whileBegun(ctx context.Context, id uuid.UUID, change func(pgx.Tx, daap.Operation) error) error {
	return s.whileHeld(ctx, id, func(tx pgx.Tx, op daap.Operation) error {
		if op.State == daap.OperationPending {
			return fmt.Errorf("operation %s: %w", id, errNotBegun)
		}
		return change(tx, op)
	})
}

// whileHeld is whileBegun for operations that may not have begun yet.
func (s *Store) whileHeld(ctx context.Context, id uuid.UUID, change func(pgx.Tx, daap.Operation) error) error {
	return s.whileInScope(ctx, daap.EveryTeam, id, daap.ErrSuperseded, change)
}

// whileInScope is whileHeld for an operation in a request. An operation that is unknown or out of scope is not locked,
// and the given error is returned.
func (s *Store) whileInScope(
	ctx context.Context, scope daap.Scope, id uuid.UUID, unknown error, change func(pgx.Tx, daap.Operation) error,
) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			SELECT d.id FROM databases d
			WHERE  d.id = (SELECT database_id FROM operations WHERE id = $1)`+ofTeam+`
			FOR    UPDATE`, id, owner(scope))
		if err != nil {
			return fmt.Errorf("lock database: %w", err)
		}
		op, err := lockOperation(ctx, tx, scope, id)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return unknown
		case err != nil:
			return err
		case !op.State.Open():
			return daap.ErrSuperseded
		}
		return change(tx, op)
	})
}

// resume reverts a park, as decided; it does nothing to an operation in progress.
func resume(ctx context.Context, tx pgx.Tx, op daap.Operation, d daap.Decision) error {
	if op.State != daap.OperationNeedsAttention {
		return nil
	}
	if err := setState(ctx, tx, op, op.OnTheWay(), nil); err != nil {
		return err
	}
	if err := moveDatabase(ctx, tx, op.DatabaseID, op.StatusDuring(), nil); err != nil {
		return err
	}
	return addDecision(ctx, tx, op, op.Step, d)
}

// unlessEnded distinguishes an operation that ended in the wanted state from one that lost its database.
func (s *Store) unlessEnded(ctx context.Context, id uuid.UUID, end daap.OperationState) error {
	var ended bool
	err := s.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT id FROM operations WHERE id = $1 AND state = $2)`, id, end).Scan(&ended)
	if err != nil {
		return because(err, "read how the operation ended")
	}
	if !ended {
		return daap.ErrSuperseded
	}
	return nil
}
