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

const (
	// lookInterval is how often an open operation's workflow is looked at.
	lookInterval = time.Minute
	// oftenTried is how many starts an operation that starts anew may take before its workflow is looked at: until the
	// new one is there, what is seen is the old one.
	oftenTried = 3
)

// ClaimUnchecked returns at most limit open operations that have not been looked at for a minute, longest first
// and without their steps. Each is due again a minute later, so no one else claims it meanwhile. Pending ones
// that start anew are among them once that was tried often.
func (s *Store) ClaimUnchecked(ctx context.Context, limit int) ([]daap.Operation, error) {
	rows, _ := s.pool.Query(ctx, `
		WITH due AS (
			SELECT id FROM operations
			WHERE  state IN `+openStates+` AND next_look_at <= now()
			AND    (state <> 'pending' OR restarts = 0 OR dispatch_attempts >= $2)
			ORDER  BY next_look_at
			LIMIT  $1
			FOR    UPDATE SKIP LOCKED
		), claimed AS (
			UPDATE operations c SET next_look_at = now() + $3::interval
			FROM   due
			WHERE  c.id = due.id
			RETURNING c.id
		)`+selectOperations+`
		JOIN   claimed ON claimed.id = o.id
		ORDER  BY o.id`,
		limit, oftenTried, lookInterval) // its error comes out of Collect
	ops, err := pgx.CollectRows(rows, scanOperation)
	if err != nil {
		return nil, because(err, "claim operations to check")
	}
	return ops, nil
}

// ParkLost parks the operation for the cause if it is as it was when it was looked at; another one is left
// alone. Safe to repeat.
func (s *Store) ParkLost(ctx context.Context, seen daap.Operation, cause daap.Cause) error {
	return s.ifStill(ctx, seen, "park a lost operation", func(tx pgx.Tx, op daap.Operation) error {
		return park(ctx, tx, op, cause)
	})
}

// RestartLost makes the operation pending again if it is as it was when it was looked at; another one is left
// alone. Its next start begins a new workflow.
func (s *Store) RestartLost(ctx context.Context, seen daap.Operation) error {
	return s.ifStill(ctx, seen, "restart a lost operation", func(tx pgx.Tx, op daap.Operation) error {
		return restart(ctx, tx, op, "Temporal lost the workflow.")
	})
}

func (s *Store) ifStill(
	ctx context.Context, seen daap.Operation, doing string, change func(pgx.Tx, daap.Operation) error,
) error {
	err := s.whileHeld(ctx, seen.ID, func(tx pgx.Tx, op daap.Operation) error {
		if op.State != seen.State || op.Restarts != seen.Restarts {
			return nil
		}
		return change(tx, op)
	})
	return orSuperseded(because(err, doing))
}

// restart makes an operation that gets on, or none yet, pending again: its next start is a new workflow.
func restart(ctx context.Context, tx pgx.Tx, op daap.Operation, why string) error {
	if err := setState(ctx, tx, op, daap.OperationPending, nil); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		UPDATE operations
		SET    restarts = restarts + 1, dispatch_attempts = 0, next_dispatch_at = now(),
		       next_look_at = now() + $2::interval
		WHERE  id = $1`, op.ID, lookInterval)
	if err != nil {
		return fmt.Errorf("restart operation: %w", err)
	}
	return addEvent(ctx, tx, op, op.Happened(daap.EventRestarted, "%s A new workflow starts.", why))
}

// RestartOperation makes a parked operation whose workflow is gone pending again, as decided: forward for a
// retry, backward for an abort. It returns the operation as it then is. Errors: CodeDecisionRefused when it is
// not parked any more, CodeNotFound also when it is out of scope.
func (s *Store) RestartOperation(
	ctx context.Context, scope daap.Scope, id uuid.UUID, d daap.Decision,
) (daap.Operation, error) {
	err := s.whileInScope(ctx, scope, id, daap.NotFound("operation"), func(tx pgx.Tx, op daap.Operation) error {
		if op.State != daap.OperationNeedsAttention {
			return daap.Refused(fmt.Sprintf("The operation does not need attention now; it is %s.", op.State))
		}
		decide := func() error { return resume(ctx, tx, op, d) }
		if d.Action.Undoes() {
			decide = func() error { return giveUp(ctx, tx, op, daap.OperationCancelling, d) }
		}
		if err := decide(); err != nil {
			return err
		}
		return restart(ctx, tx, op, "The workflow was gone.")
	})
	if err != nil {
		return daap.Operation{}, because(err, "restart operation")
	}
	return s.Operation(ctx, scope, id)
}

// CancelPending cancels the operation if it has not begun: nothing is made yet, so nothing is undone. It says
// whether it did. Errors: CodeDecisionRefused when it cannot be given up, CodeNotFound also when out of scope.
func (s *Store) CancelPending(
	ctx context.Context, scope daap.Scope, id uuid.UUID, d daap.Decision,
) (bool, error) {
	var cancelled bool
	err := s.whileInScope(ctx, scope, id, daap.NotFound("operation"), func(tx pgx.Tx, op daap.Operation) error {
		if op.State != daap.OperationPending || op.StartedAt != nil {
			return nil
		}
		if why := op.CancelRefusal(); why != "" {
			return daap.Refused(why)
		}
		cancelled = true
		if err := addDecision(ctx, tx, op, "", d); err != nil {
			return err
		}
		if op.Kind.Makes() { // the way to deleted leads over deleting
			if err := moveDatabase(ctx, tx, op.DatabaseID, daap.DatabaseDeleting, nil); err != nil {
				return err
			}
		}
		if err := moveDatabase(ctx, tx, op.DatabaseID, op.AfterCancel(), nil); err != nil {
			return err
		}
		return closeOperation(ctx, tx, op, daap.OperationCancelled,
			op.Happened(daap.EventCancelled, "The operation had not begun."))
	})
	if err != nil {
		return false, orSuperseded(because(err, "cancel a pending operation"))
	}
	return cancelled, nil
}

// orSuperseded is nil for an operation that is over: there is nothing to do to it.
func orSuperseded(err error) error {
	if errors.Is(err, daap.ErrSuperseded) {
		return nil
	}
	return err
}
