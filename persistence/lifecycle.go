package persistence

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// errNotBegun says that an operation is asked for what only one that has begun can do: a fault of the caller.
var errNotBegun = errors.New("operation has not begun")

// BeginOperation moves the operation from pending to running. Safe to repeat: one that has begun is left as
// it is. daap.ErrSuperseded for one that is over or unknown.
func (s *Store) BeginOperation(ctx context.Context, id uuid.UUID) error {
	begun, err := s.pool.Exec(ctx, `
		UPDATE operations SET state = 'running', started_at = now()
		WHERE  id = $1 AND state = 'pending'`, id)
	if err != nil {
		return because(err, "begin operation")
	}
	if begun.RowsAffected() == 1 {
		return nil
	}
	return s.HoldsDatabase(ctx, id)
}

// HoldsDatabase returns nil while the operation is open, else daap.ErrSuperseded: also for one that is
// unknown, since it holds nothing.
func (s *Store) HoldsDatabase(ctx context.Context, op uuid.UUID) error {
	var open bool
	err := s.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT id FROM operations WHERE id = $1 AND state IN `+openStates+`)`, op).Scan(&open)
	if err != nil {
		return because(err, "read who holds the database")
	}
	if !open {
		return daap.ErrSuperseded
	}
	return nil
}

// ParkOperation moves a running operation to needs_attention and its database to error, both with the cause.
// Safe to repeat: one that is parked keeps the cause it has. daap.ErrSuperseded for one that is over.
func (s *Store) ParkOperation(ctx context.Context, op uuid.UUID, cause daap.Cause) error {
	cause.Message = storable(cause.Message)
	err := s.whileOpen(ctx, op, func(tx pgx.Tx, op daap.Operation) error {
		if op.State == daap.OperationNeedsAttention {
			return nil
		}
		_, err := tx.Exec(ctx, `
			UPDATE operations SET state = 'needs_attention', cause_code = $2, cause_message = $3
			WHERE  id = $1`, op.ID, cause.Code, cause.Message)
		if err != nil {
			return err
		}
		return moveDatabase(ctx, tx, op.DatabaseID, daap.DatabaseError, &cause)
	})
	return because(err, "park operation")
}

// ResumeOperation moves an operation from needs_attention to running and its database back to the status it
// has meanwhile; both causes are gone. Safe to repeat: one that runs is left as it is. daap.ErrSuperseded
// for one that is over.
func (s *Store) ResumeOperation(ctx context.Context, op uuid.UUID) error {
	err := s.whileOpen(ctx, op, func(tx pgx.Tx, op daap.Operation) error {
		return resume(ctx, tx, op)
	})
	return because(err, "resume operation")
}

// FinishOperation moves an operation that has begun to succeeded, its steps that still run to done, and its
// database to the status it has afterwards. Safe to repeat: one that has succeeded is left as it is.
// daap.ErrSuperseded for one that was cancelled.
func (s *Store) FinishOperation(ctx context.Context, op uuid.UUID) error {
	err := s.whileOpen(ctx, op, func(tx pgx.Tx, op daap.Operation) error {
		if err := resume(ctx, tx, op); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			UPDATE operations SET state = 'succeeded', finished_at = now() WHERE id = $1`, op.ID)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			UPDATE operation_steps SET state = 'done', finished_at = now()
			WHERE  operation_id = $1 AND state = 'running'`, op.ID)
		if err != nil {
			return err
		}
		return moveDatabase(ctx, tx, op.DatabaseID, op.Kind.After(), nil)
	})
	if errors.Is(err, daap.ErrSuperseded) {
		return s.unlessSucceeded(ctx, op)
	}
	return because(err, "finish operation")
}

// SaveCACertificate records the certificate that connections to the database are verified against. Safe to
// repeat: the last one stays. daap.ErrSuperseded unless the operation holds that database.
func (s *Store) SaveCACertificate(ctx context.Context, op, database uuid.UUID, pem string) error {
	err := s.whileOpen(ctx, op, func(tx pgx.Tx, op daap.Operation) error {
		if op.DatabaseID != database {
			return daap.ErrSuperseded
		}
		_, err := tx.Exec(ctx, `UPDATE databases SET ca_certificate = $2 WHERE id = $1`, database, pem)
		return err
	})
	return because(err, "save CA certificate")
}

// whileOpen makes a change in one transaction during which the operation, which has begun, stays open and
// no one else changes its database. daap.ErrSuperseded when it is over or unknown.
func (s *Store) whileOpen(ctx context.Context, id uuid.UUID, change func(pgx.Tx, daap.Operation) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			SELECT id FROM databases
			WHERE  id = (SELECT database_id FROM operations WHERE id = $1)
			FOR    UPDATE`, id)
		if err != nil {
			return fmt.Errorf("lock database: %w", err)
		}
		op, err := lockOperation(ctx, tx, id)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return daap.ErrSuperseded
		case err != nil:
			return err
		case !op.State.Open():
			return daap.ErrSuperseded
		case op.State == daap.OperationPending:
			return fmt.Errorf("operation %s: %w", id, errNotBegun)
		}
		return change(tx, op)
	})
}

// resume undoes a park; it does nothing to an operation that runs.
func resume(ctx context.Context, tx pgx.Tx, op daap.Operation) error {
	if op.State == daap.OperationRunning {
		return nil
	}
	_, err := tx.Exec(ctx, `
		UPDATE operations SET state = 'running', cause_code = NULL, cause_message = NULL WHERE id = $1`, op.ID)
	if err != nil {
		return err
	}
	return moveDatabase(ctx, tx, op.DatabaseID, op.Kind.During(), nil)
}

// unlessSucceeded tells an operation that is over because it succeeded from one that lost its database.
func (s *Store) unlessSucceeded(ctx context.Context, id uuid.UUID) error {
	var succeeded bool
	err := s.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT id FROM operations WHERE id = $1 AND state = 'succeeded')`, id).Scan(&succeeded)
	if err != nil {
		return because(err, "read whether the operation succeeded")
	}
	if !succeeded {
		return daap.ErrSuperseded
	}
	return nil
}
