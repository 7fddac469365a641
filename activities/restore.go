package activities

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/objectstore"
)

// The source is asked to archive its changes in at most markTries attempts and for at most markFor. Then the restore
// continues without it: the source may be the broken database that the restore replaces. A source that may not switch
// segments does so by itself after five minutes, CNPG's archive_timeout.
const (
	markTries = 5
	markFor   = 7 * time.Minute
)

// ArchiveSourceChanges makes a running source archive all changes that it has committed so far, so that "now" can be
// restored. A source that does not respond is restored up to its last archived change; the step keeps the error.
func (s *Steps) ArchiveSourceChanges(ctx context.Context, in Input) error {
	info := activity.GetInfo(ctx)
	if info.Attempt > markTries || time.Since(info.ScheduledTime) > markFor {
		return nil
	}
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	source, err := s.Rows.Database(ctx, daap.EveryTeam, db.Source.DatabaseID)
	if err != nil {
		return fmt.Errorf("read source %s: %w", db.Source.DatabaseID, err)
	}
	if source.Status != daap.DatabaseReady && source.Status != daap.DatabaseUpdating {
		return nil // it no longer accepts changes
	}
	segment := ""
	return s.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		if segment == "" {
			marked, err := s.Postgres.Mark(ctx, source)
			if err != nil {
				return false, "", err
			}
			segment = marked
		}
		last, err := s.Postgres.LastArchived(ctx, source)
		return err == nil && last >= segment, "Waiting for the source to archive segment " + segment, err
	})
}

// ApplySource lets the database read the archive that it is restored from.
func (s *Steps) ApplySource(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	if err := s.openSource(ctx, db); err != nil {
		return err
	}
	return s.applyStep(ctx, db, daap.StepSource)
}

// openSource gives the database keys to the archive that it is restored from.
func (s *Steps) openSource(ctx context.Context, db daap.Database) error {
	return s.Keys.Issue(ctx, db, manifest.SourceCredentials, objectstore.SourcePolicy(*db.Source))
}

// leaveSource revokes the restored database's keys to the source's archive, which it no longer needs. The ObjectStore
// stays, because CloudNativePG requires it.
func (s *Steps) leaveSource(ctx context.Context, db daap.Database) error {
	if db.Source == nil {
		return nil
	}
	issued, err := s.Keys.Issued(ctx, db.ID, manifest.SourceCredentials)
	if err != nil || !issued {
		return err
	}
	return s.Keys.Revoke(ctx, db.ID, manifest.SourceCredentials)
}
