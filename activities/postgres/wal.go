package postgres

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/diagnosis"
)

// SegmentBytes is the size of a segment of the log, and SegmentsPerLog how many have the same middle part of their
// name.
const (
	SegmentBytes   = 16 << 20
	SegmentsPerLog = 1 << 32 / SegmentBytes
)

// SegmentPlace returns the position of a segment in the log, whatever its timeline; -1 for what is no segment.
func SegmentPlace(segment string) int64 {
	segment, _, _ = strings.Cut(segment, ".")
	if len(segment) != 24 {
		return -1
	}
	log, err := strconv.ParseInt(segment[8:16], 16, 64)
	at, wrong := strconv.ParseInt(segment[16:], 16, 64)
	if err != nil || wrong != nil {
		return -1
	}
	return log*SegmentsPerLog + at
}

// Mark commits something, so that there is a commit as late as now, and ends the segment that it is in, which it
// returns.
func (p *Postgres) Mark(ctx context.Context, db daap.Database) (segment string, err error) {
	err = p.withReadWrite(ctx, db, func(ctx context.Context, conn *pgx.Conn) error {
		segment, err = mark(ctx, conn)
		return err
	})
	return segment, err
}

// LastArchived returns the name of what the database's PostgreSQL has archived last; empty where it has archived
// nothing.
func (p *Postgres) LastArchived(ctx context.Context, db daap.Database) (name string, err error) {
	err = p.withReadOnly(ctx, db, func(ctx context.Context, conn *pgx.Conn) error {
		name, _, err = lastArchived(ctx, conn)
		return err
	})
	return name, err
}

// Archiving returns when PostgreSQL archived last, nil where it has archived nothing, and how many bytes it has written
// since.
func (p *Postgres) Archiving(ctx context.Context, db daap.Database) (last *time.Time, behind int64, err error) {
	err = p.withReadOnly(ctx, db, func(ctx context.Context, conn *pgx.Conn) error {
		segment, at, err := lastArchived(ctx, conn)
		if err != nil || SegmentPlace(segment) < 0 { // it has archived nothing yet
			return err
		}
		all, err := written(ctx, conn)
		if err != nil {
			return err
		}
		last, behind = at, unarchived(segment, all)
		return nil
	})
	return last, behind, err
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
	if err == nil && SegmentPlace(segment) < 0 {
		err = fmt.Errorf("%q is not a WAL segment", diagnosis.Safe(segment))
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
		err = fmt.Errorf("invalid archived segment %q", diagnosis.Safe(name))
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

// idleBytes is what PostgreSQL writes into a new segment when nobody changes anything: a header, a checkpoint, and that
// nothing runs; 96 to 272 bytes were seen. As much of what somebody wrote is not counted either, until the segment is
// closed, which is within archive_timeout.
const idleBytes = 512

// written is how much was ever written to the log, in bytes.
func written(ctx context.Context, conn *pgx.Conn) (n int64, err error) {
	err = conn.QueryRow(ctx, `
		SELECT pg_catalog.int8(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0'::pg_catalog.pg_lsn))`,
	).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("read the WAL position: %w", err)
	}
	return n, nil
}

// unarchived is how much is written after the segment, where that much is written in all.
func unarchived(segment string, written int64) int64 {
	since := written - (SegmentPlace(segment)+1)*SegmentBytes
	if since <= idleBytes {
		return 0
	}
	return since
}
