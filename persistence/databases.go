package persistence

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// openStates are daap.OpenStates in SQL, word for word as in the index operations_holding_database: only
// then does PostgreSQL use it.
const openStates = `('pending', 'running', 'needs_attention')`

const selectDatabases = `
	SELECT d.id, d.name, d.owner_team, d.description, d.labels, d.status, d.incarnation,
	       d.cause_code, d.cause_message, o.id, d.created_at, d.updated_at, d.deleted_at
	FROM   databases d
	LEFT   JOIN operations o ON o.database_id = d.id AND o.state IN ` + openStates

// Database returns the database, a deleted one too. Errors: CodeNotFound.
func (s *Store) Database(ctx context.Context, id uuid.UUID) (daap.Database, error) {
	rows, _ := s.pool.Query(ctx, selectDatabases+` WHERE d.id = $1`, id) // its error comes out of Collect
	db, err := pgx.CollectExactlyOneRow(rows, scanDatabase)
	if err != nil {
		return daap.Database{}, missing(err, "read database", "database")
	}
	return db, nil
}

// Databases returns the databases that the filter chooses, newest first, at most as many as its page holds.
func (s *Store) Databases(ctx context.Context, f daap.DatabaseFilter) ([]daap.Database, error) {
	var w filter
	if f.Status == "" {
		w.and(`d.status <> 'deleted'`)
	} else {
		w.andWith(`d.status = $`, f.Status)
	}
	if f.Team != "" {
		w.andWith(`d.owner_team = $`, f.Team)
	}
	if f.Page.After != uuid.Nil {
		w.andWith(`d.id < $`, f.Page.After)
	}
	var args []any
	if len(f.Labels) > 0 {
		w.andWith(`d.labels @> $`, f.Labels)
		// How many databases have a label decides between the index on labels and the one in order of id,
		// so this one is planned for the labels at hand, not once for all.
		args = append(args, pgx.QueryExecModeCacheDescribe)
	}
	sql := selectDatabases + w.where() + ` ORDER BY d.id DESC LIMIT ` + w.placeholder(f.Page.Limit)
	rows, _ := s.pool.Query(ctx, sql, append(args, w.args...)...) // its error comes out of Collect
	dbs, err := pgx.CollectRows(rows, scanDatabase)
	if err != nil {
		return nil, because(err, "read databases")
	}
	return dbs, nil
}

// CACertificate returns what SaveCACertificate saved, empty until then. Errors: CodeNotFound.
func (s *Store) CACertificate(ctx context.Context, id uuid.UUID) (string, error) {
	var pem string
	err := s.pool.QueryRow(ctx, `SELECT COALESCE(ca_certificate, '') FROM databases WHERE id = $1`, id).Scan(&pem)
	if err != nil {
		return "", missing(err, "read CA certificate", "database")
	}
	return pem, nil
}

// CreateDatabase records the database and the operation that holds it, or neither. The operation is due for
// dispatch a little later: the caller starts it first. Errors: CodeNameTaken.
func (s *Store) CreateDatabase(ctx context.Context, db daap.Database, op daap.Operation) (daap.Database, error) {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var err error
		if db, err = insertDatabase(ctx, tx, db); err != nil {
			return err
		}
		_, err = insertOperation(ctx, tx, op)
		return err
	})
	if violates(err, nameOfTeam) {
		return daap.Database{}, daap.NameTaken(db.OwnerTeam, db.Name)
	}
	if err != nil {
		return daap.Database{}, because(err, "create database")
	}
	db.OperationID = &op.ID
	return db, nil
}

// PatchDatabase applies the patch to the database as it is under lock, so that no change is lost. Errors:
// CodeNotFound, CodeValidationFailed, CodeWrongStatus when deleted.
func (s *Store) PatchDatabase(
	ctx context.Context, id uuid.UUID, patch daap.DatabasePatch,
) (daap.Database, error) {
	var db daap.Database
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var err error
		if db, err = lockDatabase(ctx, tx, id); err != nil {
			return err
		}
		if db.Status == daap.DatabaseDeleted {
			return daap.WrongStatus(db.Status, "can no longer be changed")
		}
		if db, err = patch.Apply(db); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			UPDATE databases SET description = $2, labels = $3, updated_at = now()
			WHERE  id = $1
			RETURNING updated_at`,
			id, db.Description, db.Labels).Scan(&db.UpdatedAt)
	})
	if err != nil {
		return daap.Database{}, because(err, "patch database")
	}
	return db, nil
}

// insertDatabase returns the database with its times.
func insertDatabase(ctx context.Context, tx pgx.Tx, db daap.Database) (daap.Database, error) {
	if db.Labels == nil {
		db.Labels = map[string]string{}
	}
	err := tx.QueryRow(ctx, `
		INSERT INTO databases (id, name, owner_team, description, labels, status, incarnation)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		RETURNING created_at, updated_at`,
		db.ID, db.Name, db.OwnerTeam, db.Description, db.Labels, db.Status, db.Incarnation,
	).Scan(&db.CreatedAt, &db.UpdatedAt)
	return db, err
}

// lockDatabase keeps everyone else from changing the database or who holds it, and returns it as it is then.
// The lock comes first, alone: only a later statement sees what the one who held the lock before has written.
func lockDatabase(ctx context.Context, tx pgx.Tx, id uuid.UUID) (daap.Database, error) {
	if _, err := tx.Exec(ctx, `SELECT id FROM databases WHERE id = $1 FOR UPDATE`, id); err != nil {
		return daap.Database{}, fmt.Errorf("lock database: %w", err)
	}
	return readDatabase(ctx, tx, id)
}

func readDatabase(ctx context.Context, tx pgx.Tx, id uuid.UUID) (daap.Database, error) {
	rows, _ := tx.Query(ctx, selectDatabases+` WHERE d.id = $1`, id) // its error comes out of Collect
	db, err := pgx.CollectExactlyOneRow(rows, scanDatabase)
	if err != nil {
		return daap.Database{}, missing(err, "read database", "database")
	}
	return db, nil
}

// moveDatabase gives the database a status it may move to, with the cause that belongs to it. It is the only
// place where a status changes.
func moveDatabase(ctx context.Context, tx pgx.Tx, id uuid.UUID, to daap.DatabaseStatus, cause *daap.Cause) error {
	var code, message any
	if cause != nil {
		code, message = cause.Code, cause.Message
	}
	moved, err := tx.Exec(ctx, `
		UPDATE databases
		SET    status = $2, cause_code = $3, cause_message = $4, updated_at = now(),
		       deleted_at = CASE WHEN $2 = 'deleted' THEN now() END
		WHERE  id = $1 AND status = ANY ($5)`,
		id, to, code, message, daap.StatusesBefore(to))
	if err != nil {
		return fmt.Errorf("move database to %s: %w", to, err)
	}
	if moved.RowsAffected() != 1 {
		return fmt.Errorf("database %s may not move to %s from the status it has", id, to)
	}
	return nil
}

func scanDatabase(row pgx.CollectableRow) (daap.Database, error) {
	var db daap.Database
	var code, message *string
	err := row.Scan(&db.ID, &db.Name, &db.OwnerTeam, &db.Description, &db.Labels, &db.Status, &db.Incarnation,
		&code, &message, &db.OperationID, &db.CreatedAt, &db.UpdatedAt, &db.DeletedAt)
	db.Cause = cause(code, message)
	return db, err
}

// cause returns the cause in two columns that are both null or both not.
func cause(code, message *string) *daap.Cause {
	if code == nil || message == nil {
		return nil
	}
	return &daap.Cause{Code: daap.CauseCode(*code), Message: *message}
}
