package activities

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/activity"

	"github.com/daap-dev/daap"
)

// A source is asked markTries times, and not after markFor, before it is restored without: it may be what is to be
// replaced. A source that may not end a segment does so by itself, after the five minutes of CNPG's archive_timeout.
const (
	markTries = 5
	markFor   = 7 * time.Minute
)

// MarkSource has all that the source has committed so far archived, while it lives, so that "now" can be restored. A
// source that does not answer is restored to what it had archived; the step keeps the error then.
func (p *Postgres) MarkSource(ctx context.Context, in Input) error {
	info := activity.GetInfo(ctx)
	if info.Attempt > markTries || time.Since(info.ScheduledTime) > markFor {
		return nil
	}
	db, err := p.Kubernetes.record(ctx, in)
	if err != nil {
		return err
	}
	source, err := p.Kubernetes.Databases.Database(ctx, daap.EveryTeam, db.Source.DatabaseID)
	if err != nil {
		return fmt.Errorf("read source %s: %w", db.Source.DatabaseID, err)
	}
	if source.Status != daap.DatabaseReady && source.Status != daap.DatabaseUpdating {
		return nil // it writes nothing any more
	}
	segment := ""
	return p.Kubernetes.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		last := ""
		err := p.changing(ctx, source, func(ctx context.Context, conn *pgx.Conn) error {
			var err error
			if segment == "" {
				if segment, err = mark(ctx, conn); err != nil {
					return err
				}
			}
			last, _, err = lastArchived(ctx, conn)
			return err
		})
		return err == nil && last >= segment, "Waiting for the source to archive segment " + segment, err
	})
}

// mark commits something, so that there is a commit as late as now, and ends the segment that it is in, which it
// returns. They are two transactions: the segment would be ended before the commit is written. Where the worker's role
// may not end a segment, as in databases that were made before it was there, the segment ends by itself.
func mark(ctx context.Context, conn *pgx.Conn) (segment string, err error) {
	if _, err := conn.Exec(ctx, `SELECT pg_catalog.pg_current_xact_id()`); err != nil {
		return "", fmt.Errorf("commit a marker: %w", err)
	}
	return endSegment(ctx, conn)
}

// endSegment ends the segment that has the last of what is written, unless somebody else ended it just now, and
// returns it. PostgreSQL tells where that ends, which may be where the next one begins, and since version 17 the next
// one is named then, which may not end for long: the byte before is in the one that is meant.
func endSegment(ctx context.Context, conn *pgx.Conn) (segment string, err error) {
	err = conn.QueryRow(ctx, `
		SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_switch_wal() OPERATOR(pg_catalog.-) 1::numeric)`).Scan(&segment)
	if sqlState(err) == insufficientPrivilege {
		err = conn.QueryRow(ctx, `SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn())`).Scan(&segment)
	}
	if err == nil && place(segment) < 0 {
		err = fmt.Errorf("%q is not a WAL segment", safe(segment))
	}
	if err != nil {
		return "", fmt.Errorf("switch the WAL segment: %w", err)
	}
	return segment, nil
}

// archivedName is what PostgreSQL archives: segments, and files of backups and timelines that are named after one.
var archivedName = regexp.MustCompile(`^[0-9A-F]{8}[0-9A-Za-z.]{1,56}$`)

// lastArchived is what PostgreSQL has archived last, and when; empty where it has archived nothing.
func lastArchived(ctx context.Context, conn *pgx.Conn) (name string, at *time.Time, err error) {
	err = conn.QueryRow(ctx, `
		SELECT COALESCE(pg_catalog.left(a.last_archived_wal, 64), ''), a.last_archived_time
		FROM   pg_catalog.pg_stat_archiver AS a`).Scan(&name, &at)
	if err == nil && name != "" && !archivedName.MatchString(name) {
		err = fmt.Errorf("invalid archived segment %q", safe(name))
	}
	if err == nil && at != nil {
		err = believed(*at)
	}
	if err != nil {
		return "", nil, fmt.Errorf("read the archiving status: %w", err)
	}
	return name, at, nil
}

// clockSkew is by how much the clock of a PostgreSQL may be ahead of the worker's.
const clockSkew = time.Hour

// believed is an error for a time that PostgreSQL cannot have seen.
func believed(at time.Time) error {
	if at.Year() < 2000 || time.Until(at) > clockSkew {
		return fmt.Errorf("invalid time %s", at.Format(time.RFC3339))
	}
	return nil
}
