package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// The times of package persistence.
const (
	firstDispatch = 5 * time.Second
	lastDispatch  = 2 * time.Minute
	lookInterval  = time.Minute
	oftenTried    = 3
)

// ClaimPending returns at most limit pending operations whose start is due, and postpones their next start.
func (s *Store) ClaimPending(ctx context.Context, limit int) ([]daap.Operation, error) {
	return s.claim(ctx, limit, claim{
		due: func(op operation) (time.Time, bool) { return op.nextDispatch, op.State == daap.OperationPending },
		postpone: func(r *rows, op *operation) {
			wait := min(firstDispatch<<min(op.dispatchAttempts, 10), lastDispatch)
			op.nextDispatch, op.dispatchAttempts = r.now.Add(wait), op.dispatchAttempts+1
		},
	})
}

// ClaimUnchecked returns at most limit open operations whose workflow is due for a check, and postpones the next check.
func (s *Store) ClaimUnchecked(ctx context.Context, limit int) ([]daap.Operation, error) {
	return s.claim(ctx, limit, claim{
		due: func(op operation) (time.Time, bool) {
			starts := op.State == daap.OperationPending && op.Restarts > 0 && op.dispatchAttempts < oftenTried
			return op.nextLook, op.State.Open() && !starts
		},
		postpone: func(r *rows, op *operation) { op.nextLook = r.now.Add(lookInterval) },
	})
}

// claim says when an operation is due, if it ever is, and how it is postponed.
type claim struct {
	due      func(operation) (time.Time, bool)
	postpone func(*rows, *operation)
}

// claim returns the operations that have been due the longest, in order of ID and without their steps.
func (s *Store) claim(ctx context.Context, limit int, c claim) (claimed []daap.Operation, err error) {
	err = s.change(ctx, func(r *rows) error {
		due := []operation{}
		for _, op := range r.operations {
			if at, is := c.due(op); is && !at.After(r.now) {
				due = append(due, op)
			}
		}
		slices.SortFunc(due, func(a, b operation) int {
			first, _ := c.due(a)
			second, _ := c.due(b)
			return first.Compare(second)
		})
		due = due[:min(len(due), limit)]
		slices.SortFunc(due, func(a, b operation) int { return compare(a.ID, b.ID) })
		claimed = make([]daap.Operation, 0, len(due))
		for _, op := range due {
			r.updateOperation(op.ID, func(row *operation) { c.postpone(r, row) })
			one, _ := r.operation(op.ID)
			one.Steps = nil
			claimed = append(claimed, one)
		}
		return nil
	})
	return claimed, err
}

// Dispatched records that the start of the operation was accepted.
func (s *Store) Dispatched(ctx context.Context, id uuid.UUID) error {
	return s.change(ctx, func(r *rows) error {
		if op, found := r.operations[id]; found && op.State == daap.OperationPending {
			r.updateOperation(id, func(row *operation) { row.nextDispatch = r.now.Add(lastDispatch) })
		}
		return nil
	})
}

// Backlogged reports whether more than limit operations wait for their start.
func (s *Store) Backlogged(ctx context.Context, limit int) (bool, error) {
	return read(ctx, s, func(r *rows) (bool, error) {
		waiting := 0
		for _, op := range r.operations {
			if op.State == daap.OperationPending {
				waiting++
			}
		}
		return waiting > limit, nil
	})
}

// ParkLost parks the operation for the cause if it is still in the given state.
func (s *Store) ParkLost(ctx context.Context, seen daap.Operation, cause daap.Cause) error {
	return s.ifStill(ctx, seen, func(r *rows, op daap.Operation) error { return r.park(op, cause) })
}

// RestartLost makes the operation pending again if it is still in the given state.
func (s *Store) RestartLost(ctx context.Context, seen daap.Operation) error {
	return s.ifStill(ctx, seen, func(r *rows, op daap.Operation) error {
		r.restart(op, "Temporal lost the workflow.")
		return nil
	})
}

func (s *Store) ifStill(ctx context.Context, seen daap.Operation, change func(*rows, daap.Operation) error) error {
	return orSuperseded(s.whileHeld(ctx, seen.ID, func(r *rows, op daap.Operation) error {
		if op.State != seen.State || op.Restarts != seen.Restarts {
			return nil
		}
		return change(r, op)
	}))
}

// restart makes the operation pending again: its next start begins another workflow.
func (r *rows) restart(op daap.Operation, why string) {
	r.setState(op.ID, daap.OperationPending, nil)
	r.updateOperation(op.ID, func(row *operation) {
		row.Restarts, row.dispatchAttempts = row.Restarts+1, 0
		row.nextDispatch, row.nextLook = r.now, r.now.Add(lookInterval)
	})
	r.happened(op, op.Happened(daap.EventRestarted, "%s A new workflow starts.", why))
}

// RestartOperation makes a parked operation whose workflow is gone pending again, as decided. Errors:
// CodeDecisionRefused when it is not parked, CodeNotFound also when it is out of scope.
func (s *Store) RestartOperation(
	ctx context.Context, scope daap.Scope, id uuid.UUID, d daap.Decision,
) (daap.Operation, error) {
	err := s.whileInScope(ctx, scope, id, daap.NotFound("operation"), func(r *rows, op daap.Operation) error {
		if op.State != daap.OperationNeedsAttention {
			return daap.Refused(fmt.Sprintf("The operation does not need attention now; it is %s.", op.State))
		}
		decide := r.resume
		if d.Action.Undoes() {
			decide = r.giveUp
		}
		if err := decide(op, d); err != nil {
			return err
		}
		r.restart(op, "The workflow was gone.")
		return nil
	})
	if err != nil {
		return daap.Operation{}, err
	}
	return s.Operation(ctx, scope, id)
}

// CancelPending cancels the operation if it has not begun, and reports whether it did. Errors: CodeDecisionRefused,
// CodeNotFound also when it is out of scope.
func (s *Store) CancelPending(
	ctx context.Context, scope daap.Scope, id uuid.UUID, d daap.Decision,
) (cancelled bool, err error) {
	err = s.whileInScope(ctx, scope, id, daap.NotFound("operation"), func(r *rows, op daap.Operation) error {
		if op.State != daap.OperationPending || op.StartedAt != nil {
			return nil
		}
		if why := op.CancelRefusal(); why != "" {
			return daap.Refused(why)
		}
		r.decided(op, "", d)
		if op.Kind.Makes() { // a database is deleting before it is deleted
			if err := r.move(op.DatabaseID, daap.DatabaseDeleting, nil); err != nil {
				return err
			}
		}
		if err := r.move(op.DatabaseID, op.AfterCancel(), nil); err != nil {
			return err
		}
		r.closeOperation(op, daap.OperationCancelled, op.Happened(daap.EventCancelled, "The operation had not begun."))
		cancelled = true
		return nil
	})
	return cancelled, orSuperseded(err)
}

// orSuperseded is nil for an operation that is over: nothing is to be done to it.
func orSuperseded(err error) error {
	if errors.Is(err, daap.ErrSuperseded) {
		return nil
	}
	return err
}
