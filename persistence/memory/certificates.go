package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// CACertificate returns the certificates that were recorded last, empty until then. Errors: CodeNotFound.
func (s *Store) CACertificate(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.CABundle, error) {
	return read(ctx, s, func(r *rows) (daap.CABundle, error) {
		_, err := r.databaseIn(scope, id)
		if err != nil {
			return "", err
		}
		return r.databases[id].ca, nil
	})
}

// SaveCACertificate records the certificate in use. daap.ErrSuperseded unless the operation holds that database.
func (s *Store) SaveCACertificate(ctx context.Context, op, database uuid.UUID, pem string) error {
	return s.whileOpen(ctx, op, func(r *rows, op daap.Operation) error {
		if op.DatabaseID != database {
			return daap.ErrSuperseded
		}
		return r.keepCA(database, &op.ID, pem)
	})
}

// RenewCACertificate is SaveCACertificate without an operation.
func (s *Store) RenewCACertificate(ctx context.Context, database uuid.UUID, pem string) error {
	return s.change(ctx, func(r *rows) error { return r.keepCA(database, nil, pem) })
}

// keepCA records the certificate in use, and that it changed.
func (r *rows) keepCA(id uuid.UUID, by *uuid.UUID, pem string) error {
	row, found := r.databases[id]
	if !found {
		return fmt.Errorf("database %s does not exist", id)
	}
	is, err := row.ca.With(pem, r.now)
	if err != nil {
		return err
	}
	expires, err := is.ExpiresAt()
	if err != nil {
		return err
	}
	r.updateDatabase(id, func(db *database) { db.ca, db.CAExpiresAt = is, precise(&expires) })
	if event, changed := daap.ChangedCA(id, row.ca, is); changed {
		event.OperationID = by
		r.insertEvent(event)
	}
	return nil
}

// CertifiedDatabases returns at most limit databases that take connections by a known certificate, in order of ID from
// after on.
func (s *Store) CertifiedDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error) {
	gone := []daap.DatabaseStatus{
		daap.DatabaseArchiving, daap.DatabaseArchived, daap.DatabaseDeleting, daap.DatabaseDeleted,
	}
	return read(ctx, s, func(r *rows) ([]daap.Database, error) {
		return oldest(r.all(), after, limit, func(db daap.Database) bool {
			return r.databases[db.ID].ca != "" && !slices.Contains(gone, db.Status)
		}), nil
	})
}
