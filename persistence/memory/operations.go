package memory

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// operation is a row, with its steps.
type operation struct {
	daap.Operation
	// nextDispatch is when the start is due, after so many attempts; nextLook is when the workflow is checked.
	nextDispatch, nextLook time.Time
	dispatchAttempts       int
}

// operation returns the row as callers see it.
func (r *rows) operation(id uuid.UUID) (op daap.Operation, found bool) {
	row, found := r.operations[id]
	op = row.Operation
	db := r.databases[op.DatabaseID]
	op.DatabaseName, op.OwnerTeam, op.Steps = db.Name, db.OwnerTeam, slices.Clone(op.Steps)
	return op, found
}

// operationIn returns an operation whose database is in scope. Errors: CodeNotFound.
func (r *rows) operationIn(scope daap.Scope, id uuid.UUID) (daap.Operation, error) {
	op, found := r.operation(id)
	if !found || !scope.Covers(op.OwnerTeam) {
		return daap.Operation{}, daap.NotFound("operation")
	}
	return op, nil
}

// listed returns every operation as lists show it: without its steps.
func (r *rows) listed() map[uuid.UUID]daap.Operation {
	all := make(map[uuid.UUID]daap.Operation, len(r.operations))
	for id := range r.operations {
		op, _ := r.operation(id)
		op.Steps = nil
		all[id] = op
	}
	return all
}

// updateOperation replaces the row with a changed one.
func (r *rows) updateOperation(id uuid.UUID, change func(*operation)) {
	row := r.operations[id]
	row.Steps = slices.Clone(row.Steps)
	change(&row)
	r.operations[id] = row
}

// Operation returns the operation with its steps. Errors: CodeNotFound, also for one out of scope.
func (s *Store) Operation(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.Operation, error) {
	return read(ctx, s, func(r *rows) (daap.Operation, error) { return r.operationIn(scope, id) })
}

// OperationState returns the state alone. Errors: CodeNotFound.
func (s *Store) OperationState(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.OperationState, error) {
	op, err := s.Operation(ctx, scope, id)
	return op.State, err
}

// Operations returns the operations in scope that the filter chooses, newest first and without their steps.
func (s *Store) Operations(
	ctx context.Context, scope daap.Scope, f daap.OperationFilter,
) ([]daap.Operation, error) {
	return read(ctx, s, func(r *rows) ([]daap.Operation, error) {
		return newest(r.listed(), f.Page, func(op daap.Operation) bool {
			parked := op.State == daap.OperationNeedsAttention && op.Cause != nil
			return scope.Covers(op.OwnerTeam) && (f.DatabaseID == nil || op.DatabaseID == *f.DatabaseID) &&
				(f.State == "" || op.State == f.State) && (f.Kind == "" || op.Kind == f.Kind) &&
				(f.Cause == "" || parked && op.Cause.Code == f.Cause)
		}), nil
	})
}

// SupersededOperations returns the cancelled operations of the database, newest first and without their steps.
func (s *Store) SupersededOperations(ctx context.Context, database uuid.UUID) ([]daap.Operation, error) {
	return read(ctx, s, func(r *rows) ([]daap.Operation, error) {
		all := r.listed()
		return newest(all, daap.Page{Limit: len(all)}, func(op daap.Operation) bool {
			return op.DatabaseID == database && op.State == daap.OperationCancelled
		}), nil
	})
}

// AcceptOperation gives the database to op and records op with its steps. It cancels the operation that op takes over.
// Errors: CodeNotFound, CodeDatabaseBusy, CodeWrongStatus, CodeDeletionProtected, CodeQuotaExceeded, and those of once.
func (s *Store) AcceptOperation(
	ctx context.Context, by daap.Grant, op daap.Operation,
) (daap.Database, daap.Operation, error) {
	done, err := once(ctx, s, by, func(r *rows) (accepted, error) {
		was, err := r.databaseIn(by.Scope, op.DatabaseID)
		if err != nil {
			return accepted{}, err
		}
		if op.Kind.RemovesArchive() {
			if err := r.notRestoredFrom(op.DatabaseID); err != nil {
				return accepted{}, err
			}
		}
		op.BacksUp = was.Profile.BackupEnabled
		begun, err := r.hold(was, op)
		if err != nil {
			return accepted{}, err
		}
		if err := r.reserveMore(was, begun); err != nil {
			return accepted{}, err
		}
		r.log(by.Changed(theDatabase(op.DatabaseID), fields{"status": was.Status},
			fields{"status": op.Kind.During(), "operation_id": op.ID}))
		db, err := r.databaseIn(by.Scope, op.DatabaseID)
		return accepted{db, &begun}, err
	})
	return done.both(err)
}

// notRestoredFrom is CodeDatabaseBusy while another database is being restored from this one.
func (r *rows) notRestoredFrom(id uuid.UUID) error {
	for _, op := range r.listed() {
		source := r.databases[op.DatabaseID].Source
		if slices.Contains(daap.SourceReaders(), op.Kind) && op.State.Open() && source != nil && source.DatabaseID == id {
			return daap.BeingRead(op)
		}
	}
	return nil
}

// hold gives the database to op and records op. Errors: CodeDatabaseBusy, CodeWrongStatus.
func (r *rows) hold(db daap.Database, op daap.Operation) (daap.Operation, error) {
	if db.OperationID != nil {
		held, _ := r.operation(*db.OperationID)
		if !op.Kind.TakesOver(held) {
			return op, daap.Busy(held)
		}
		r.closeOperation(held, daap.OperationCancelled,
			held.Happened(daap.EventCancelled, "Operation %s (%s) took over the database.", op.ID, op.Kind))
	}
	if err := db.Refuses(op.Kind); err != nil {
		return op, err
	}
	if err := r.move(op.DatabaseID, op.Kind.During(), nil); err != nil {
		return op, err
	}
	op.DatabaseName, op.OwnerTeam, op.StatusBefore = db.Name, db.OwnerTeam, db.Status
	return r.insertOperation(op), nil
}

// closeOperation ends the operation with the event that describes the end.
func (r *rows) closeOperation(op daap.Operation, end daap.OperationState, e daap.Event) {
	r.updateOperation(op.ID, func(row *operation) { row.State, row.FinishedAt, row.Cause = end, new(r.now), nil })
	if end == daap.OperationCancelled && !op.Kind.Makes() {
		delete(r.reservations, op.ID)
	}
	r.happened(op, e)
}

// insertOperation returns the operation with its steps and its time. Its start is due a little later: the caller starts
// it first.
func (r *rows) insertOperation(op daap.Operation) daap.Operation {
	op = op.Planned()
	op.CreatedAt = r.now
	r.operations[op.ID] = operation{
		Operation: op, nextDispatch: r.now.Add(firstDispatch), nextLook: r.now.Add(lookInterval),
	}
	r.happened(op, op.Happened(daap.EventAccepted, "Operation %s (%s) was accepted.", op.ID, op.Kind))
	op.Steps = slices.Clone(op.Steps)
	return op
}
