package activities

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/objectstore"
	"github.com/daap-dev/daap/activities/postgres"
)

// sweptRows are the databases whose certificates and PostgreSQL are checked, and the results.
type sweptRows interface {
	// CertifiedDatabases returns at most limit databases with a CA certificate, ordered by ID, starting after the ID
	// after.
	CertifiedDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error)
	// RenewCACertificate records the PEM if it differs from the recorded one.
	RenewCACertificate(ctx context.Context, database uuid.UUID, pem string) error
	// DatabasesToScan returns at most limit databases that are due for a scan, ordered by ID, starting after the ID
	// after.
	DatabasesToScan(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error)
	// SaveScan records PostgreSQL's report; extensions is the complete list if the scan has listed them.
	SaveScan(ctx context.Context, database uuid.UUID, scan daap.Scan, extensions []daap.Extension) error
}

// Sweeps are the activities that check every database periodically. They heartbeat. A database that cannot be checked
// is logged and its row stays unchanged, so that it becomes stale; the others are still checked.
type Sweeps struct {
	Steps *Steps
	Rows  sweptRows
}

// sweepPage is the number of databases that a sweep reads from the rows at once, sweptAtOnce the number that it checks
// concurrently.
const sweepPage, sweptAtOnce = 100, 8

// pages yields all databases page by page, ordered by ID. read returns at most limit databases, starting after the ID
// after. An error of read is yielded and ends the sequence.
func pages[T any](
	ctx context.Context, limit int, read func(ctx context.Context, after uuid.UUID, limit int) ([]T, error),
	id func(T) uuid.UUID,
) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		for after := uuid.Nil; ; {
			page, err := read(ctx, after, limit)
			if err != nil {
				yield(nil, fmt.Errorf("read the databases from %s on: %w", after, err))
				return
			}
			if !yield(page, nil) || len(page) < limit {
				return
			}
			after = id(page[len(page)-1])
		}
	}
}

func idOf(db daap.Database) uuid.UUID { return db.ID }

// sweep checks every database of the pages, several at once, and heartbeats.
func sweep(
	ctx context.Context, read func(context.Context, uuid.UUID, int) ([]daap.Database, error),
	check func(context.Context, daap.Database),
) error {
	for page, err := range pages(ctx, sweepPage, read, idOf) {
		if err != nil {
			return err
		}
		var group errgroup.Group
		group.SetLimit(sweptAtOnce)
		for _, db := range page {
			group.Go(func() error {
				check(ctx, db)
				activity.RecordHeartbeat(ctx, db.ID.String())
				return nil
			})
		}
		_ = group.Wait() // no function returns an error
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// CheckBackups records the state of the backups of every database that has them.
func (s *Sweeps) CheckBackups(ctx context.Context) error {
	defer s.Steps.Archives.Forget()
	reachable := objectstore.NewReachable(s.Steps.Archives.Store)
	return sweep(ctx, s.Steps.Backups.BackedUpDatabases, func(ctx context.Context, db daap.Database) {
		s.Steps.tryObserveBackups(ctx, db, reachable)
	})
}

// CheckCertificates records the CA certificate of every database that has one: the operator renews certificates before
// they expire.
func (s *Sweeps) CheckCertificates(ctx context.Context) error {
	return sweep(ctx, s.Rows.CertifiedDatabases, func(ctx context.Context, db daap.Database) {
		if err := s.checkCertificate(ctx, db); err != nil {
			activity.GetLogger(ctx).Warn("The CA certificate of a database cannot be checked.",
				"database_id", db.ID.String(), "error", err)
		}
	})
}

func (s *Sweeps) checkCertificate(ctx context.Context, db daap.Database) error {
	ca, err := s.Steps.Cluster.SecretValue(ctx, daap.Namespace(db.ID), manifest.CASecret(db), manifest.CAKey)
	if apierrors.IsNotFound(err) {
		return nil // its Cluster is gone, or not created yet
	}
	if err != nil {
		return err
	}
	return s.Rows.RenewCACertificate(ctx, db.ID, string(ca))
}

// ScanExtensions asks the PostgreSQL of every database that is due for its storage, connections and extensions, and
// records the answer or the reason of a failure. It changes nothing in any database.
func (s *Sweeps) ScanExtensions(ctx context.Context) error {
	return sweep(ctx, s.Rows.DatabasesToScan, func(ctx context.Context, db daap.Database) {
		if err := s.scan(ctx, db); err != nil {
			activity.GetLogger(ctx).Warn("The scan of a database is not recorded.",
				"database_id", db.ID.String(), "error", err)
		}
	})
}

func (s *Sweeps) scan(ctx context.Context, db daap.Database) error {
	at := time.Now()
	scan, extensions, err := s.Steps.Postgres.Scan(ctx, db, at)
	if ctx.Err() != nil { // the worker is stopping; the error says nothing about the database
		return ctx.Err()
	}
	scan.AttemptedAt = at
	if err != nil {
		scan.Reason, scan.Message = postgres.WhyNotScanned(err)
		activity.GetLogger(ctx).Info("A database cannot be scanned.",
			"database_id", db.ID.String(), "reason", scan.Reason, "error", scan.Message)
	}
	return s.Rows.SaveScan(ctx, db.ID, scan, extensions)
}
