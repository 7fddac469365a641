package persistence

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// CACertificate returns the last recorded bundle, empty until the first. Errors: CodeNotFound.
func (s *Store) CACertificate(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.CABundle, error) {
	var bundle daap.CABundle
	sql := `SELECT COALESCE(d.ca_certificate, '') FROM databases d WHERE d.id = $1` + ofTeam
	err := s.pool.QueryRow(ctx, sql, id, owner(scope)).Scan(&bundle)
	if err != nil {
		return "", missing(err, "read CA certificate", "database")
	}
	return bundle, nil
}

// SaveCACertificate records the certificate that connections use from now on; earlier ones stay in the bundle until
// they expire. Safe to repeat. It fails for text without a certificate; daap.ErrSuperseded unless the operation holds
// the database.
func (s *Store) SaveCACertificate(ctx context.Context, op, database uuid.UUID, pem string) error {
	err := s.whileBegun(ctx, op, func(tx pgx.Tx, op daap.Operation) error {
		if op.DatabaseID != database {
			return daap.ErrSuperseded
		}
		return keepCA(ctx, tx, database, &op.ID, pem)
	})
	return because(err, "save CA certificate")
}

// RenewCACertificate is SaveCACertificate without an operation.
func (s *Store) RenewCACertificate(ctx context.Context, database uuid.UUID, pem string) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return keepCA(ctx, tx, database, nil, pem) })
	return because(err, "renew CA certificate")
}

// CertifiedDatabases returns at most limit databases with a known CA certificate that accept connections, now or after
// they are unfrozen, in order of ID after the given one.
func (s *Store) CertifiedDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error) {
	rows, _ := s.pool.Query(ctx, selectDatabases+`
		WHERE  d.ca_certificate IS NOT NULL AND d.status NOT IN ('archiving', 'archived', 'deleting', 'deleted')
		       AND d.id > $1
		ORDER  BY d.id LIMIT $2`, after, limit) // Collect returns its error
	dbs, err := pgx.CollectRows(rows, scanDatabase)
	if err != nil {
		return nil, because(err, "read databases with certificates")
	}
	return dbs, nil
}

// keepCA records the certificate in use and, if it replaced another, the event of the change: with the operation, or
// without one.
func keepCA(ctx context.Context, tx pgx.Tx, database uuid.UUID, by *uuid.UUID, pem string) error {
	var was daap.CABundle
	err := tx.QueryRow(ctx, `
		SELECT COALESCE(ca_certificate, '') FROM databases WHERE id = $1 FOR UPDATE`, database).Scan(&was)
	if err != nil {
		return fmt.Errorf("lock database: %w", err)
	}
	is, err := was.With(pem, time.Now())
	if err != nil {
		return err
	}
	expires, err := is.ExpiresAt()
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		UPDATE databases SET ca_certificate = $2, ca_expires_at = $3
		WHERE  id = $1 AND (ca_certificate, ca_expires_at) IS DISTINCT FROM ($2::text, $3::timestamptz)`,
		database, is, expires)
	if err != nil {
		return err
	}
	event, changed := daap.ChangedCA(database, was, is)
	if !changed {
		return nil
	}
	event.OperationID = by
	return insertEvent(ctx, tx, event)
}
