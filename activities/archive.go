package activities

import (
	"context"
	"fmt"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/objectstore"
)

// CheckRemovalBegun reports whether an earlier, lost run of the operation has begun to remove objects. If so, the steps
// before the first removal are done and cannot be repeated.
func (s *Steps) CheckRemovalBegun(ctx context.Context, in Input) (bool, error) {
	op, err := s.Rows.Operation(ctx, daap.EveryTeam, in.Operation)
	if err != nil {
		return false, fmt.Errorf("read operation %s: %w", in.Operation, err)
	}
	return op.Receipt != nil, nil
}

// VerifyArchive checks that the archive has everything that a restore of the database needs: the base backup that the
// operation took, as Barman catalogs it, and every WAL segment from its first one to the last that PostgreSQL has
// archived. It also records the observed state of the backups.
func (s *Steps) VerifyArchive(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	last, err := s.Postgres.LastArchived(ctx, db)
	if err != nil {
		return err
	}
	if err := s.stillClosed(ctx, db); err != nil {
		return err
	}
	backups, err := s.Cluster.Backups(ctx, db, cluster.BackupFilter{Prefix: in.Operation.String()})
	if err != nil {
		return err
	}
	missing := "The Backup object of the operation no longer exists in Kubernetes; retry to take another base backup"
	for i := range backups {
		status := backups[i].Status
		if status.Phase != cnpgv1.BackupPhaseCompleted {
			continue
		}
		if missing, err = s.Archives.Missing(ctx, db, status.BackupID, status.BeginWal, last); err != nil {
			return err
		}
		if missing == "" {
			return s.observeBackups(ctx, db, objectstore.NewReachable(s.Archives.Store))
		}
	}
	return withCause(fmt.Errorf("the archive is not complete: %s", missing),
		diagnosis.Cause(daap.CauseBackupFailed, "%s", missing))
}

// stillClosed returns a final error if the database accepts clients: its owner may have opened it and written to it.
func (s *Steps) stillClosed(ctx context.Context, db daap.Database) error {
	open, err := s.Postgres.IsOpen(ctx, db)
	if err != nil || !open {
		return err
	}
	return final(diagnosis.Cause(daap.CauseRejected, "The owner allowed client connections again, so the archive may "+
		"lack the latest changes; abort, and archive the database again"))
}
