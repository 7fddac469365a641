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

// A source is asked markTries times, and not after markFor, before it is restored without: it may be what is to be
// replaced. A source that may not end a segment does so by itself, after the five minutes of CNPG's archive_timeout.
const (
	markTries = 5
	markFor   = 7 * time.Minute
)

// ArchiveSourceChanges has all that the source has committed so far archived, while it lives, so that "now" can be
// restored. A source that does not answer is restored to what it had archived; the step keeps the error then.
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
		return nil // it writes nothing any more
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
	if err := s.Keys.Issue(ctx, db, manifest.SourceCredentials, objectstore.SourcePolicy(*db.Source)); err != nil {
		return err
	}
	return s.applyStep(ctx, db, daap.StepSource)
}

// leaveSource takes the keys to the source's archive away from a database that is restored: from now on it needs that
// no more. CloudNativePG still wants the ObjectStore to be there.
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
