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
	// lookInterval is how often the workflow of an open operation is checked.
	lookInterval = time.Minute
	// oftenTried is the number of starts after which the workflow of a restarted operation is checked: until the new one
	// exists, the check would find the old one.
	oftenTried = 3
)

// ClaimUnchecked returns at most limit open operations that have not been checked for a minute, the longest first and
// without their steps. Their next check is due a minute later, so no other process claims them in the meantime.
// Restarted pending operations are included after several starts.
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
		limit, oftenTried, lookInterval) // Collect returns its error
	ops, err := pgx.CollectRows(rows, scanOperation)
	if err != nil {
		return nil, because(err, "claim operations to check")
	}
	return ops, nil
}

// ParkLost parks the operation for the cause if it is unchanged since the check; otherwise it does nothing. Safe to
// repeat.
func (s *Store) ParkLost(ctx context.Context, seen daap.Operation, cause daap.Cause) error {
	return s.ifStill(ctx, seen, "park a lost operation", func(tx pgx.Tx, op daap.Operation) error {
		return park(ctx, tx, op, cause)
	})
}

// RestartLost makes the operation pending again if it is unchanged since the check; otherwise it does nothing. Its next
// start begins a new workflow.
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

// restart makes an operation in progress pending again: its next start begins a new workflow.
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

// RestartOperation makes a parked operation without a workflow pending again, as decided: forward for a retry, backward
// for an abort. It returns the operation afterwards. Errors: CodeDecisionRefused if it is no longer parked,
// CodeNotFound also when out of scope.
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

// CancelPending cancels the operation if it has not begun, when there is nothing to roll back. It reports whether it
// did. Errors: CodeDecisionRefused if it cannot be cancelled, CodeNotFound also when out of scope.
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
		if op.Kind.Makes() { // deleted can be reached only from deleting
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

// orSuperseded returns nil for an operation that is over: there is nothing to do.
func orSuperseded(err error) error {
	if errors.Is(err, daap.ErrSuperseded) {
		return nil
	}
	return err
}
