package persistence

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

const selectOperations = `
	SELECT o.id, o.kind, o.state, o.database_id, d.name, d.owner_team, COALESCE(o.step, ''),
	       o.cause_code, o.cause_message, o.cause_remedy, COALESCE(o.status_before, ''),
	       COALESCE(o.cancelled_by, ''), o.restarts, o.tier, o.backs_up, COALESCE(o.origin, '{}'),
	       o.receipt, COALESCE(o.incarnation, 0), o.created_at, o.started_at, o.finished_at
	FROM   operations o
	JOIN   databases d ON d.id = o.database_id`

// Operation returns the operation with its steps in order. Errors: CodeNotFound, also for one out of scope.
func (s *Store) Operation(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.Operation, error) {
	var op daap.Operation
	read := &pgx.Batch{}
	read.Queue(selectOperations+` WHERE o.id = $1`+ofTeam, id, owner(scope)).Query(func(rows pgx.Rows) error {
		var err error
		op, err = pgx.CollectExactlyOneRow(rows, scanOperation)
		return err
	})
	read.Queue(selectSteps, id, owner(scope)).Query(func(rows pgx.Rows) error {
		var err error
		op.Steps, err = pgx.CollectRows(rows, scanStep)
		return err
	})
	if err := s.pool.SendBatch(ctx, read).Close(); err != nil {
		return daap.Operation{}, missing(err, "read operation", "operation")
	}
	return op, nil
}

// OperationState returns the state alone. Errors: CodeNotFound.
func (s *Store) OperationState(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.OperationState, error) {
	var state daap.OperationState
	err := s.pool.QueryRow(ctx, `
		SELECT o.state FROM operations o
		JOIN   databases d ON d.id = o.database_id
		WHERE  o.id = $1`+ofTeam, id, owner(scope)).Scan(&state)
	if err != nil {
		return "", missing(err, "read operation state", "operation")
	}
	return state, nil
}

// Operations returns the operations in scope that the filter selects, without their steps, newest first, at most one
// page.
func (s *Store) Operations(
	ctx context.Context, scope daap.Scope, f daap.OperationFilter,
) ([]daap.Operation, error) {
	var w filter
	w.within(scope)
	if f.DatabaseID != nil {
		w.andWith(`o.database_id = $`, *f.DatabaseID)
	}
	if f.State != "" {
		w.andWith(`o.state = $`, f.State)
	}
	if f.Kind != "" {
		w.andWith(`o.kind = $`, f.Kind)
	}
	if f.Cause != "" {
		w.and(`o.state = 'needs_attention'`)
		w.andWith(`o.cause_code = $`, f.Cause)
	}
	if f.Page.After != uuid.Nil {
		w.andWith(`o.id < $`, f.Page.After)
	}
	sql := selectOperations + w.where() + ` ORDER BY o.id DESC LIMIT ` + w.placeholder(f.Page.Limit)
	rows, _ := s.pool.Query(ctx, sql, w.args...) // Collect returns its error
	ops, err := pgx.CollectRows(rows, scanOperation)
	if err != nil {
		return nil, because(err, "read operations")
	}
	return ops, nil
}

// SupersededOperations returns the operations that lost the database to another one, newest first, without their steps.
func (s *Store) SupersededOperations(ctx context.Context, database uuid.UUID) ([]daap.Operation, error) {
	sql := selectOperations + ` WHERE o.database_id = $1 AND o.state = 'cancelled' ORDER BY o.id DESC`
	rows, _ := s.pool.Query(ctx, sql, database) // Collect returns its error
	ops, err := pgx.CollectRows(rows, scanOperation)
	if err != nil {
		return nil, because(err, "read superseded operations")
	}
	return ops, nil
}

// AcceptOperation gives the database to op and records op with its steps, or nothing. It cancels the operation that op
// takes over. A repeated request gets its first answer. Errors: CodeNotFound, CodeDatabaseBusy, CodeWrongStatus,
// CodeDeletionProtected, CodeQuotaExceeded, and those of answerOnce.
func (s *Store) AcceptOperation(
	ctx context.Context, by daap.Grant, op daap.Operation,
) (daap.Database, daap.Operation, error) {
	answer, err := answerOnce(ctx, s, by, func(tx pgx.Tx) (accepted, error) {
		locked, err := lockDatabase(ctx, tx, by.Scope, op.DatabaseID)
		if err != nil {
			return accepted{}, err
		}
		if op.Kind.RemovesArchive() {
			if err := notRestoredFrom(ctx, tx, op.DatabaseID); err != nil {
				return accepted{}, err
			}
		}
		op.BacksUp = locked.Profile.BackupEnabled
		begun, err := hold(ctx, tx, locked, op)
		if err != nil {
			return accepted{}, err
		}
		if err := reserveMore(ctx, tx, locked, begun); err != nil {
			return accepted{}, err
		}
		err = addAudit(ctx, tx, by.Changed(theDatabase(op.DatabaseID), fields{"status": locked.Status},
			fields{"status": op.Kind.During(), "operation_id": op.ID}))
		if err != nil {
			return accepted{}, err
		}
		db, err := readDatabase(ctx, tx, by.Scope, op.DatabaseID)
		return accepted{db, &begun}, err
	})
	if err != nil {
		return daap.Database{}, daap.Operation{}, because(err, "accept operation")
	}
	return answer.Database, *answer.Operation, nil
}

// notRestoredFrom returns CodeDatabaseBusy while a restore reads this database's archive.
func notRestoredFrom(ctx context.Context, tx pgx.Tx, database uuid.UUID) error {
	rows, _ := tx.Query(ctx, selectOperations+`
		WHERE  o.kind = ANY ($2) AND o.state IN `+openStates+`
		AND    d.source ->> 'database_id' = $1::text LIMIT 1`, database, daap.SourceReaders()) // Collect returns its error
	reading, err := pgx.CollectRows(rows, scanOperation)
	if err != nil {
		return fmt.Errorf("read who restores from database %s: %w", database, err)
	}
	if len(reading) > 0 {
		return daap.BeingRead(reading[0])
	}
	return nil
}

// hold gives the locked database to op and records op. Errors: CodeDatabaseBusy, CodeWrongStatus.
func hold(ctx context.Context, tx pgx.Tx, locked daap.Database, op daap.Operation) (daap.Operation, error) {
	if err := takeOver(ctx, tx, locked.OperationID, op); err != nil {
		return op, err
	}
	if err := locked.Refuses(op.Kind); err != nil {
		return op, err
	}
	if err := moveDatabase(ctx, tx, op.DatabaseID, op.Kind.During(), nil); err != nil {
		return op, err
	}
	op.DatabaseName, op.OwnerTeam, op.StatusBefore = locked.Name, locked.OwnerTeam, locked.Status
	return insertOperation(ctx, tx, op)
}

// takeOver ends the operation that holds a database, if any, in favour of the given one. Errors: CodeDatabaseBusy.
func takeOver(ctx context.Context, tx pgx.Tx, holder *uuid.UUID, by daap.Operation) error {
	if holder == nil {
		return nil
	}
	held, err := lockOperation(ctx, tx, daap.EveryTeam, *holder) // its database is already in scope
	if err != nil {
		return err
	}
	if !by.Kind.TakesOver(held) {
		return daap.Busy(held)
	}
	return closeOperation(ctx, tx, held, daap.OperationCancelled,
		held.Happened(daap.EventCancelled, "Operation %s (%s) took over the database.", by.ID, by.Kind))
}

// closeOperation ends the operation with the event that describes the end.
func closeOperation(
	ctx context.Context, tx pgx.Tx, op daap.Operation, end daap.OperationState, e daap.Event,
) error {
	_, err := tx.Exec(ctx, `
		UPDATE operations
		SET    state = $2, finished_at = now(), cause_code = NULL, cause_message = NULL, cause_remedy = NULL
		WHERE  id = $1`, op.ID, end)
	if err != nil {
		return fmt.Errorf("close operation as %s: %w", end, err)
	}
	if end == daap.OperationCancelled && !op.Kind.Makes() { // otherwise the database keeps its quota until it is deleted
		if err := release(ctx, tx, reservationsOf{operation: op.ID}); err != nil {
			return err
		}
	}
	return addEvent(ctx, tx, op, e)
}

// insertOperation returns the operation with its steps and its time. Its dispatch is due a little later, because the
// caller starts it first.
func insertOperation(ctx context.Context, tx pgx.Tx, op daap.Operation) (daap.Operation, error) {
	op = op.Planned()
	err := tx.QueryRow(ctx, `
		INSERT INTO operations (id, database_id, kind, state, status_before, tier, backs_up, origin, next_dispatch_at)
		VALUES ($1, $2, $3, $4, NULLIF($5, ''), $6, $7, $8, now() + $9)
		RETURNING created_at`,
		op.ID, op.DatabaseID, op.Kind, op.State, op.StatusBefore, toTierRow(op.Tier), op.BacksUp, originRow(op.Origin),
		firstDispatch,
	).Scan(&op.CreatedAt)
	if err != nil {
		return op, fmt.Errorf("insert operation: %w", err)
	}
	if err := insertSteps(ctx, tx, op); err != nil {
		return op, err
	}
	return op, addEvent(ctx, tx, op, op.Happened(daap.EventAccepted, "Operation %s (%s) was accepted.", op.ID, op.Kind))
}

// lockOperation locks the operation against changes. The row of its database is already locked.
func lockOperation(ctx context.Context, tx pgx.Tx, scope daap.Scope, id uuid.UUID) (daap.Operation, error) {
	sql := selectOperations + ` WHERE o.id = $1` + ofTeam + ` FOR UPDATE OF o`
	rows, _ := tx.Query(ctx, sql, id, owner(scope)) // Collect returns its error
	op, err := pgx.CollectExactlyOneRow(rows, scanOperation)
	if err != nil {
		return op, fmt.Errorf("lock operation: %w", err)
	}
	return op, nil
}

func scanOperation(row pgx.CollectableRow) (daap.Operation, error) {
	var op daap.Operation
	var why causeColumns
	var tier *tierRow
	var origin originRow
	var receipt *receiptRow
	err := row.Scan(&op.ID, &op.Kind, &op.State, &op.DatabaseID, &op.DatabaseName, &op.OwnerTeam, &op.Step,
		&why.code, &why.message, &why.remedy, &op.StatusBefore, &op.CancelledBy, &op.Restarts,
		&tier, &op.BacksUp, &origin, &receipt, &op.Incarnation,
		&op.CreatedAt, &op.StartedAt, &op.FinishedAt)
	op.Cause, op.Tier, op.Origin, op.Receipt = why.cause(), tier.tier(), daap.Origin(origin), (*daap.Receipt)(receipt)
	return op, err
}
