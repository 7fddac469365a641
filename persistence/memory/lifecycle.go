package memory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// whileHeld makes a change to an operation that is open. daap.ErrSuperseded for another one.
func (s *Store) whileHeld(ctx context.Context, id uuid.UUID, change func(*rows, daap.Operation) error) error {
	return s.whileInScope(ctx, daap.EveryTeam, id, daap.ErrSuperseded, change)
}

// whileOpen is whileHeld for an operation that has begun.
func (s *Store) whileOpen(ctx context.Context, id uuid.UUID, change func(*rows, daap.Operation) error) error {
	return s.whileHeld(ctx, id, func(r *rows, op daap.Operation) error {
		if op.State == daap.OperationPending {
			return fmt.Errorf("operation %s has not begun", id)
		}
		return change(r, op)
	})
}

// whileInScope is whileHeld for an operation in scope; the error for an unknown one is the given one.
func (s *Store) whileInScope(
	ctx context.Context, scope daap.Scope, id uuid.UUID, unknown error, change func(*rows, daap.Operation) error,
) error {
	return s.change(ctx, func(r *rows) error {
		op, err := r.operationIn(scope, id)
		switch {
		case err != nil:
			return unknown
		case !op.State.Open():
			return daap.ErrSuperseded
		}
		return change(r, op)
	})
}

// BeginOperation moves the operation from pending to running, or to cancelling where it was cancelled.
// daap.ErrSuperseded when it goes in the other direction, or is over or unknown.
func (s *Store) BeginOperation(ctx context.Context, id uuid.UUID, undo bool) error {
	return s.whileHeld(ctx, id, func(r *rows, op daap.Operation) error {
		if undo != (op.CancelledBy != "") {
			return daap.ErrSuperseded
		}
		if op.State != daap.OperationPending {
			return nil
		}
		r.updateOperation(id, func(row *operation) {
			row.State = op.OnTheWay()
			if row.StartedAt == nil {
				row.StartedAt = new(r.now)
			}
		})
		r.happened(op, op.Happened(daap.EventStarted, "The workflow started."))
		return nil
	})
}

// HoldsDatabase returns nil while the operation is open and goes in the given direction, else daap.ErrSuperseded.
func (s *Store) HoldsDatabase(ctx context.Context, id uuid.UUID, undo bool) error {
	return s.whileHeld(ctx, id, func(_ *rows, op daap.Operation) error {
		if undo != (op.CancelledBy != "") {
			return daap.ErrSuperseded
		}
		return nil
	})
}

// ParkOperation moves an operation to needs_attention at the step, and its database to error, both with the cause.
func (s *Store) ParkOperation(ctx context.Context, id uuid.UUID, step daap.StepName, cause daap.Cause) error {
	return s.whileOpen(ctx, id, func(r *rows, op daap.Operation) error {
		if op.State == daap.OperationNeedsAttention {
			return nil
		}
		if cause.TellsLess() && op.Cause != nil && op.Step == step {
			cause = *op.Cause
		}
		r.updateOperation(id, func(row *operation) { row.Step = step })
		op.Step = step
		return r.park(op, cause)
	})
}

func (r *rows) park(op daap.Operation, cause daap.Cause) error {
	cause.Message, cause.Remedy = storable(cause.Message), storable(cause.Remedy)
	r.setState(op.ID, daap.OperationNeedsAttention, &cause)
	if op.State != daap.OperationNeedsAttention { // otherwise its database is already in error
		if err := r.move(op.DatabaseID, daap.DatabaseError, &cause); err != nil {
			return err
		}
	}
	r.happened(op, op.WasParked(op.Step, cause))
	return nil
}

func (r *rows) setState(id uuid.UUID, to daap.OperationState, cause *daap.Cause) {
	r.updateOperation(id, func(row *operation) { row.State, row.Cause = to, cause })
}

// ResumeOperation continues a parked operation at its step, as decided.
func (s *Store) ResumeOperation(ctx context.Context, id uuid.UUID, d daap.Decision) error {
	return s.whileOpen(ctx, id, func(r *rows, op daap.Operation) error { return r.resume(op, d) })
}

// resume undoes a park, as decided; it does nothing to an operation that is not parked.
func (r *rows) resume(op daap.Operation, d daap.Decision) error {
	if op.State != daap.OperationNeedsAttention {
		return nil
	}
	r.setState(op.ID, op.OnTheWay(), nil)
	if err := r.move(op.DatabaseID, op.StatusDuring(), nil); err != nil {
		return err
	}
	r.decided(op, op.Step, d)
	return nil
}

// SkipStep marks the step of a parked operation as skipped and continues the operation.
func (s *Store) SkipStep(ctx context.Context, id uuid.UUID, step daap.StepName, d daap.Decision) error {
	return s.whileOpen(ctx, id, func(r *rows, op daap.Operation) error {
		if op.State != daap.OperationNeedsAttention {
			return nil
		}
		r.updateSteps(id, func(st *daap.Step) {
			if st.Name == step {
				st.State, st.FinishedAt = daap.StepSkipped, new(r.now)
			}
		})
		return r.resume(op, d)
	})
}

// CancelOperation cancels the operation: from now on it rolls back. Errors: CodeDecisionRefused when it can no longer
// be cancelled; daap.ErrSuperseded when it is over.
func (s *Store) CancelOperation(ctx context.Context, id uuid.UUID, d daap.Decision) error {
	return s.whileOpen(ctx, id, func(r *rows, op daap.Operation) error {
		if op.CancelledBy != "" {
			return nil
		}
		if why := op.CancelRefusal(); why != "" {
			return daap.Refused(why)
		}
		return r.giveUp(op, d)
	})
}

// giveUp turns the operation back.
func (r *rows) giveUp(op daap.Operation, d daap.Decision) error {
	by := storable(d.Actor)
	if by == "" {
		by = "unknown" // a Signal need not name its sender
	}
	r.updateOperation(op.ID, func(row *operation) { row.CancelledBy = by })
	r.setState(op.ID, daap.OperationCancelling, nil)
	op.CancelledBy = by
	if op.Kind.During() != op.StatusDuring() || op.State == daap.OperationNeedsAttention {
		if err := r.move(op.DatabaseID, op.StatusDuring(), nil); err != nil {
			return err
		}
	}
	r.decided(op, op.Step, d)
	return nil
}

// FinishCancel ends an operation that has rolled back. daap.ErrSuperseded for one that another operation took over.
func (s *Store) FinishCancel(ctx context.Context, id uuid.UUID) error {
	err := s.whileOpen(ctx, id, func(r *rows, op daap.Operation) error {
		if err := r.move(op.DatabaseID, op.AfterCancel(), nil); err != nil {
			return err
		}
		r.closeOperation(op, daap.OperationCancelled, op.Happened(daap.EventCancelled, "The operation was rolled back."))
		return nil
	})
	return s.unlessEnded(ctx, id, daap.OperationCancelled, err)
}

// FinishOperation ends an operation that has succeeded. daap.ErrSuperseded for one that is cancelled or cancelling.
func (s *Store) FinishOperation(ctx context.Context, id uuid.UUID) error {
	err := s.whileOpen(ctx, id, func(r *rows, op daap.Operation) error {
		if op.CancelledBy != "" {
			return daap.ErrSuperseded
		}
		if op.State == daap.OperationNeedsAttention { // a lost workflow that was taken for dead
			if err := r.move(op.DatabaseID, op.Kind.During(), nil); err != nil {
				return err
			}
		}
		r.updateSteps(id, func(st *daap.Step) {
			if st.State == daap.StepRunning {
				st.State, st.FinishedAt = daap.StepDone, new(r.now)
			}
		})
		if err := r.move(op.DatabaseID, op.Kind.After(), nil); err != nil {
			return err
		}
		if op.Tier != nil {
			r.giveTier(op)
		}
		r.keepAfter(op)
		r.closeOperation(op, daap.OperationSucceeded,
			op.Happened(daap.EventSucceeded, "The database is %s.", op.Kind.After()))
		return nil
	})
	return s.unlessEnded(ctx, id, daap.OperationSucceeded, err)
}

// giveTier records that the database has the tier of the operation, and what that costs.
func (r *rows) giveTier(op daap.Operation) {
	r.updateDatabase(op.DatabaseID, func(db *database) { db.Database = db.With(*op.Tier) })
	r.releaseDatabase(op.DatabaseID)
	r.reservations[op.ID] = reservation{op.DatabaseID, op.Tier.ID, op.Tier.Cost()}
}

// unlessEnded returns nil in place of daap.ErrSuperseded where the operation has ended in that state before.
func (s *Store) unlessEnded(ctx context.Context, id uuid.UUID, end daap.OperationState, err error) error {
	if !errors.Is(err, daap.ErrSuperseded) {
		return err
	}
	if state, failed := s.OperationState(ctx, daap.EveryTeam, id); failed == nil && state == end {
		return nil
	}
	return err
}

// SaveReceipt adds the counts to the receipt of the operation. daap.ErrSuperseded for one that is over.
func (s *Store) SaveReceipt(ctx context.Context, id uuid.UUID, counted daap.Receipt) error {
	return s.whileOpen(ctx, id, func(r *rows, op daap.Operation) error {
		var was daap.Receipt
		if op.Receipt != nil {
			was = *op.Receipt
		}
		r.updateOperation(id, func(row *operation) { row.Receipt = new(was.With(counted)) })
		return nil
	})
}

// BeginIncarnation gives the database the incarnation after the given one, restored from its own archive of that server
// name. An operation begins at most one. daap.ErrSuperseded for one that is over or cancelled.
func (s *Store) BeginIncarnation(ctx context.Context, id uuid.UUID, from int, server string) error {
	return s.whileOpen(ctx, id, func(r *rows, op daap.Operation) error {
		if op.Incarnation != 0 {
			return nil
		}
		if op.CancelledBy != "" {
			return daap.ErrSuperseded
		}
		was := r.databases[op.DatabaseID].Database
		if was.Incarnation != from {
			return fmt.Errorf("database %s is at incarnation %d, not at %d", was.ID, was.Incarnation, from)
		}
		is := was.Next(server)
		r.updateDatabase(is.ID, func(db *database) {
			db.Incarnation, db.Source, db.UpdatedAt = is.Incarnation, is.Source, r.now
		})
		r.updateOperation(id, func(row *operation) { row.Incarnation = is.Incarnation })
		var archived *time.Time
		if state, seen := r.backupStates[is.ID]; seen {
			archived = state.ArchivedUntil
			r.backupStates[is.ID] = daap.BackupState{
				ObservedAt: r.now, ArchivingMessage: "The database is restored from its own archive.",
			}
		}
		r.happened(op, op.HasBegun(is, archived))
		return nil
	})
}
