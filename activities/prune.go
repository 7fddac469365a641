package activities

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/daap-dev/daap"
)

// RetentionReport is the result of pruning.
type RetentionReport struct {
	// Databases is the number of checked databases, Failed the number of them that could not be pruned: the log says
	// why.
	Databases, Failed int
	// Objects and Bytes count everything that was removed, including versions and delete markers.
	Objects int
	Bytes   int64
	// Archives are the archives that lost objects, at most reportedArchives of them.
	Archives []PrunedArchive
}

// PrunedArchive describes the objects that were removed from one archive.
type PrunedArchive struct {
	Database uuid.UUID
	Server   string
	// Backups are Barman's IDs of the removed base backups.
	Backups []string
	Objects int
	Bytes   int64
}

// reportedArchives keeps a report well below Temporal's size limit.
const reportedArchives = 500

// ErrorNotPruned is the type of the error that some archives could not be pruned; its details are the report.
const ErrorNotPruned = "NotPruned"

// PruneArchives removes objects that are older than their database's retention from the archives that no Cluster writes
// to any more: the plugin prunes only the archive of a running Cluster. It heartbeats. An archive that cannot be pruned
// is logged; the others are still pruned. Errors: ErrorNotPruned. Safe to repeat.
func (s *Sweeps) PruneArchives(ctx context.Context) (RetentionReport, error) {
	var report RetentionReport
	if s.Steps.Archives.Store == nil {
		return report, nil
	}
	for page, err := range pages(ctx, sweepPage, s.Steps.Backups.DatabasesWithArchives, idOf) {
		if err != nil {
			return report, err
		}
		for _, db := range page {
			activity.RecordHeartbeat(ctx, db.ID.String())
			report.Databases++
			if err := s.pruneArchivesOf(ctx, db, &report); err != nil {
				report.Failed++
				activity.GetLogger(ctx).Error("The retired archives of a database cannot be pruned.",
					"database_id", db.ID.String(), "error", err)
			}
		}
	}
	if report.Failed > 0 {
		return report, temporal.NewApplicationError(
			fmt.Sprintf("the archives of %d of %d databases could not be pruned", report.Failed, report.Databases),
			ErrorNotPruned, report)
	}
	return report, nil
}

func (s *Sweeps) pruneArchivesOf(ctx context.Context, db daap.Database, report *RetentionReport) error {
	servers, err := s.Steps.Archives.Retired(ctx, db)
	if err != nil {
		return err
	}
	for _, server := range servers {
		pruned, err := s.prune(ctx, db, server)
		if err != nil {
			return fmt.Errorf("prune archive %s: %w", server, err)
		}
		if pruned.Objects == 0 {
			continue
		}
		report.Objects += pruned.Objects
		report.Bytes += pruned.Bytes
		if len(report.Archives) < reportedArchives {
			report.Archives = append(report.Archives, pruned)
		}
		activity.GetLogger(ctx).Info("A retired archive is pruned.", "database_id", db.ID.String(), "server", server,
			"backups", pruned.Backups, "objects", pruned.Objects, "bytes", pruned.Bytes)
	}
	return nil
}

// prune prunes one archive, and deletes the rows of the removed base backups.
func (s *Sweeps) prune(ctx context.Context, db daap.Database, server string) (PrunedArchive, error) {
	alive := func() { activity.RecordHeartbeat(ctx, db.ID.String()) }
	removed, err := s.Steps.Archives.Prune(ctx, db, server, alive)
	pruned := PrunedArchive{
		Database: db.ID, Server: server, Backups: removed.Backups, Objects: removed.Objects, Bytes: removed.Bytes,
	}
	if err != nil || len(pruned.Backups) == 0 {
		return pruned, err
	}
	return pruned, s.Steps.Backups.ForgetBackups(ctx, db.ID, server, pruned.Backups)
}
