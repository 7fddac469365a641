package persistence

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// openStates is daap.OpenStates in SQL, exactly as in the index operations_open_on_database: otherwise PostgreSQL does
// not use the index.
const openStates = `('pending', 'running', 'needs_attention', 'cancelling')`

const selectDatabases = `
	SELECT d.id, d.name, d.owner_team, d.description, d.labels, d.tier_name, d.tier_id, d.profile, d.status, d.incarnation,
	       d.source, d.cause_code, d.cause_message, d.cause_remedy, o.cause_code, o.cause_message, o.cause_remedy,
	       d.deletion_protection, d.archived_until, d.ca_expires_at, o.id, COALESCE(o.kind, ''),
	       h.health, h.health_since, h.observed_at, d.created_at, d.updated_at, d.deleted_at` + fromDatabases

// fromDatabases joins databases with the operation that holds each, and its last observation.
const fromDatabases = `
	FROM   databases d
	LEFT   JOIN operations o ON o.database_id = d.id AND o.state IN ` + openStates + `
	LEFT   JOIN database_health h ON h.database_id = d.id`

// Database returns the database, including a deleted one. Errors: CodeNotFound, also for one out of scope.
func (s *Store) Database(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.Database, error) {
	sql := selectDatabases + ` WHERE d.id = $1` + ofTeam
	rows, _ := s.pool.Query(ctx, sql, id, owner(scope)) // Collect returns its error
	db, err := pgx.CollectExactlyOneRow(rows, scanDatabase)
	if err != nil {
		return daap.Database{}, missing(err, "read database", "database")
	}
	return db, nil
}

// Databases returns the databases in scope that the filter selects, newest first, at most one page.
func (s *Store) Databases(ctx context.Context, scope daap.Scope, f daap.DatabaseFilter) ([]daap.Database, error) {
	var w filter
	w.within(scope)
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
	}
	if f.Health != "" {
		w.healthy(f.Health, time.Now())
	}
	if len(f.Labels) > 0 || f.Health != "" {
		// The number of databases with a label or health decides between their index and the one in order of ID, so this
		// statement is planned for its arguments every time.
		args = append(args, pgx.QueryExecModeCacheDescribe)
	}
	sql := selectDatabases + w.where() + ` ORDER BY d.id DESC LIMIT ` + w.placeholder(f.Page.Limit)
	rows, _ := s.pool.Query(ctx, sql, append(args, w.args...)...) // Collect returns its error
	dbs, err := pgx.CollectRows(rows, scanDatabase)
	if err != nil {
		return nil, because(err, "read databases")
	}
	return dbs, nil
}

// DatabasesByID returns the databases with the given IDs, including deleted ones.
func (s *Store) DatabasesByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]daap.Database, error) {
	rows, _ := s.pool.Query(ctx, selectDatabases+` WHERE d.id = ANY ($1)`, ids) // Collect returns its error
	dbs, err := pgx.CollectRows(rows, scanDatabase)
	if err != nil {
		return nil, because(err, fmt.Sprintf("read %d databases", len(ids)))
	}
	all := make(map[uuid.UUID]daap.Database, len(dbs))
	for _, db := range dbs {
		all[db.ID] = db
	}
	return all, nil
}

// ExpiredArchives returns at most limit expired archived databases that no operation holds.
func (s *Store) ExpiredArchives(ctx context.Context, limit int) ([]daap.Database, error) {
	rows, _ := s.pool.Query(ctx, selectDatabases+`
		WHERE  d.status = 'archived' AND d.archived_until < now() AND NOT d.deletion_protection AND o.id IS NULL
		ORDER  BY d.archived_until LIMIT $1`, limit) // Collect returns its error
	dbs, err := pgx.CollectRows(rows, scanDatabase)
	if err != nil {
		return nil, because(err, "read expired archives")
	}
	return dbs, nil
}

// CreateDatabase records the database, possibly to be restored from a source, and the operation that holds it, or
// nothing. Its dispatch is due a little later, because the caller starts it first. A repeated request gets its first
// answer. Errors: CodeNameTaken, CodeQuotaExceeded, CodeValidationFailed and CodeWrongStatus for a missing tier or
// source, and those of answerOnce.
func (s *Store) CreateDatabase(
	ctx context.Context, by daap.Grant, db daap.Database, from *daap.RestoreFrom, op daap.Operation,
) (daap.Database, daap.Operation, error) {
	if !by.Scope.Covers(db.OwnerTeam) {
		return daap.Database{}, daap.Operation{}, fmt.Errorf("create database: team %s is out of scope", db.OwnerTeam)
	}
	answer, err := answerOnce(ctx, s, by, func(tx pgx.Tx) (accepted, error) {
		tier, err := chooseTier(ctx, tx, db.Tier)
		if err != nil {
			return accepted{}, err
		}
		if from != nil {
			if err := keepSource(ctx, tx, *from, tier); err != nil {
				return accepted{}, err
			}
		}
		db, op.BacksUp = db.With(tier), tier.BackupEnabled
		db.DeletionProtection = tier.DeletionProtection
		made, err := insertDatabase(ctx, tx, db)
		if err != nil {
			return accepted{}, err
		}
		begun, err := insertOperation(ctx, tx, op)
		if err != nil {
			return accepted{}, err
		}
		if err := reserve(ctx, tx, tier, op, tier.Cost()); err != nil {
			return accepted{}, err
		}
		made.OperationID, made.OperationKind = &op.ID, op.Kind
		return accepted{made, &begun}, addAudit(ctx, tx, by.Changed(theDatabase(db.ID), nil, fields{
			"name": made.Name, "owner_team": made.OwnerTeam, "tier": made.Tier,
			"description": made.Description, "labels": made.Labels,
			"operation_id": op.ID, "source": (*sourceRow)(db.Source),
		}))
	})
	if violates(err, nameOfTeam) {
		return daap.Database{}, daap.Operation{}, daap.NameTaken(db.OwnerTeam, db.Name)
	}
	if err != nil {
		return daap.Database{}, daap.Operation{}, because(err, "create database")
	}
	return answer.Database, *answer.Operation, nil
}

// keepSource prevents the deletion of a restore's source during the transaction. Errors: CodeValidationFailed,
// CodeWrongStatus if it is already being deleted.
func keepSource(ctx context.Context, tx pgx.Tx, from daap.RestoreFrom, tier daap.Tier) error {
	if err := from.Check(tier); err != nil {
		return err
	}
	var status daap.DatabaseStatus
	err := tx.QueryRow(ctx, `SELECT status FROM databases WHERE id = $1 FOR SHARE`, from.Source.ID).Scan(&status)
	if err != nil {
		return fmt.Errorf("lock source %s: %w", from.Source.ID, err)
	}
	if status != from.Source.Status {
		return daap.WrongStatus(status, "can no longer be restored from")
	}
	return nil
}

// PatchDatabase applies the patch to the locked database, so that no change is lost. If the patch sets a tier that
// differs from the database's copy, op gets that tier, holds the database and is returned; else nil. Errors:
// CodeNotFound, CodeValidationFailed, CodeQuotaExceeded, CodeDatabaseBusy, CodeWrongStatus, and those of answerOnce.
func (s *Store) PatchDatabase(
	ctx context.Context, by daap.Grant, id uuid.UUID, patch daap.DatabasePatch, op daap.Operation,
) (daap.Database, *daap.Operation, error) {
	answer, err := answerOnce(ctx, s, by, func(tx pgx.Tx) (accepted, error) {
		was, err := lockDatabase(ctx, tx, by.Scope, id)
		if err != nil {
			return accepted{}, err
		}
		if was.Status == daap.DatabaseDeleted {
			return accepted{}, daap.WrongStatus(was.Status, "can no longer be changed")
		}
		is, err := patch.Apply(was)
		if err != nil {
			return accepted{}, err
		}
		_, err = tx.Exec(ctx, `
			UPDATE databases SET description = $2, labels = $3, deletion_protection = $4, updated_at = now() WHERE id = $1`,
			id, is.Description, is.Labels, is.DeletionProtection)
		if err != nil {
			return accepted{}, err
		}
		before, after := changed(databaseFields(was), databaseFields(is))
		begun, err := beginUpdate(ctx, tx, was, patch.Tier, op)
		if err != nil {
			return accepted{}, err
		}
		if begun != nil {
			by = by.AsAccepted()
			before["tier"], before["status"] = was.Tier, was.Status
			after["tier"], after["status"], after["operation_id"] = begun.Tier.Name, begun.Kind.During(), begun.ID
		}
		if err := addAudit(ctx, tx, by.Changed(theDatabase(id), before, after)); err != nil {
			return accepted{}, err
		}
		db, err := readDatabase(ctx, tx, by.Scope, id)
		return accepted{db, begun}, err
	})
	return answer.Database, answer.Operation, because(err, "patch database")
}

// beginUpdate gives the locked database to op for the tier with that name or ID. It returns nil if none is named, or if
// the database already has it and no operation in progress could change that.
func beginUpdate(
	ctx context.Context, tx pgx.Tx, db daap.Database, named *string, op daap.Operation,
) (*daap.Operation, error) {
	if named == nil {
		return nil, nil
	}
	tier, err := chooseTier(ctx, tx, *named)
	if err != nil || db.Has(tier) && db.OperationID == nil {
		return nil, err
	}
	op.Tier, op.BacksUp = &tier, tier.BackupEnabled
	begun, err := hold(ctx, tx, db, op)
	if err != nil {
		return nil, err
	}
	if err := db.CheckTier(tier); err != nil {
		return nil, err
	}
	asked := tier.Cost()
	if *db.TierID == tier.ID {
		asked = asked.ExcessOver(db.Profile.Cost())
	}
	return &begun, reserve(ctx, tx, tier, op, asked)
}

// databaseFields are the fields that a patch may change, as in the audit log.
func databaseFields(db daap.Database) fields {
	return fields{
		"description": db.Description, "labels": db.Labels, "deletion_protection": db.DeletionProtection,
	}
}

// theDatabase identifies a database in the audit log.
func theDatabase(id uuid.UUID) daap.Resource {
	return daap.Resource{Kind: daap.ResourceDatabase, ID: id}
}

// insertDatabase returns the database with its timestamps.
func insertDatabase(ctx context.Context, tx pgx.Tx, db daap.Database) (daap.Database, error) {
	if db.Labels == nil {
		db.Labels = map[string]string{}
	}
	err := tx.QueryRow(ctx, `
		INSERT INTO databases (id, name, owner_team, description, labels, tier_id, tier_name, profile, status, incarnation,
		                       source, deletion_protection)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		RETURNING created_at, updated_at`,
		db.ID, db.Name, db.OwnerTeam, db.Description, db.Labels, db.TierID, db.Tier, profileRow(db.Profile), db.Status,
		db.Incarnation, (*sourceRow)(db.Source), db.DeletionProtection).Scan(&db.CreatedAt, &db.UpdatedAt)
	return db, err
}

// lockDatabase locks the database and its holder against changes, and returns it. The lock is a statement of its own:
// only a later statement sees the writes of the previous lock holder.
func lockDatabase(ctx context.Context, tx pgx.Tx, scope daap.Scope, id uuid.UUID) (daap.Database, error) {
	sql := `SELECT d.id FROM databases d WHERE d.id = $1` + ofTeam + ` FOR UPDATE`
	if _, err := tx.Exec(ctx, sql, id, owner(scope)); err != nil {
		return daap.Database{}, fmt.Errorf("lock database: %w", err)
	}
	return readDatabase(ctx, tx, scope, id)
}

func readDatabase(ctx context.Context, tx pgx.Tx, scope daap.Scope, id uuid.UUID) (daap.Database, error) {
	sql := selectDatabases + ` WHERE d.id = $1` + ofTeam
	rows, _ := tx.Query(ctx, sql, id, owner(scope)) // Collect returns its error
	db, err := pgx.CollectExactlyOneRow(rows, scanDatabase)
	if err != nil {
		return daap.Database{}, missing(err, "read database", "database")
	}
	return db, nil
}

// moveDatabase moves the database to an allowed status, with the cause that belongs to it. It is the only place where a
// status changes.
func moveDatabase(ctx context.Context, tx pgx.Tx, id uuid.UUID, to daap.DatabaseStatus, cause *daap.Cause) error {
	why := columnsOf(cause)
	moved, err := tx.Exec(ctx, `
		UPDATE databases
		SET    status = $2, cause_code = $3, cause_message = $4, cause_remedy = $5, updated_at = now(),
		       deleted_at = CASE WHEN $2 = 'deleted' THEN now() END,
		       archived_until = CASE WHEN $2 <> 'archived' THEN archived_until
		                             ELSE COALESCE(archived_until, now()
		                                           + (profile ->> 'backup_retention_days')::integer * interval '1 day') END,
		       tier_id = CASE WHEN $2 <> 'deleted' THEN tier_id END
		WHERE  id = $1 AND status = ANY ($6)`,
		id, to, why.code, why.message, why.remedy, daap.StatusesBefore(to))
	if err != nil {
		return fmt.Errorf("move database to %s: %w", to, err)
	}
	if moved.RowsAffected() != 1 {
		return fmt.Errorf("database %s cannot move to %s from its current status", id, to)
	}
	if to == daap.DatabaseDeleted {
		return release(ctx, tx, reservationsOf{database: id})
	}
	return nil
}

func scanDatabase(row pgx.CollectableRow) (daap.Database, error) {
	var db daap.Database
	var own, waiting causeColumns
	var profile profileRow
	var source *sourceRow
	var health *daap.DatabaseHealth
	var since, observed *time.Time
	err := row.Scan(&db.ID, &db.Name, &db.OwnerTeam, &db.Description, &db.Labels,
		&db.Tier, &db.TierID, &profile, &db.Status, &db.Incarnation, &source,
		&own.code, &own.message, &own.remedy, &waiting.code, &waiting.message, &waiting.remedy,
		&db.DeletionProtection, &db.ArchivedUntil, &db.CAExpiresAt, &db.OperationID, &db.OperationKind,
		&health, &since, &observed, &db.CreatedAt, &db.UpdatedAt, &db.DeletedAt)
	db.Profile, db.Source, db.Cause = daap.Profile(profile), (*daap.Source)(source), own.cause()
	if db.Status != daap.DatabaseError {
		db.WaitingOn = waiting.cause()
	}
	if health != nil && since != nil && observed != nil {
		db.LastHealth = &daap.HealthObservation{Health: *health, Since: *since, ObservedAt: *observed}
	}
	return db, err
}

// causeColumns returns the columns of a cause: all null without one.
type causeColumns struct{ code, message, remedy *string }

func columnsOf(cause *daap.Cause) causeColumns {
	if cause == nil {
		return causeColumns{}
	}
	code, message, remedy := string(cause.Code), storable(cause.Message), storable(cause.Remedy)
	return causeColumns{&code, &message, &remedy}
}

func (c causeColumns) cause() *daap.Cause {
	if c.code == nil || c.message == nil {
		return nil
	}
	cause := &daap.Cause{Code: daap.CauseCode(*c.code), Message: *c.message}
	if c.remedy != nil { // a process of the previous version wrote none
		cause.Remedy = *c.remedy
	}
	return cause
}
