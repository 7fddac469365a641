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

// SegmentBytes is the size of a WAL segment, and SegmentsPerLog the number of segments with the same middle part of
// their name.
const (
	SegmentBytes   = 16 << 20
	SegmentsPerLog = 1 << 32 / SegmentBytes
)

// SegmentPlace returns the position of a segment in the WAL, independent of its timeline; -1 if the name is not a
// segment's.
func SegmentPlace(segment string) int64 {
	segment, _, _ = strings.Cut(segment, ".")
	if len(segment) != 24 {
		return -1
	}
	log, err := strconv.ParseInt(segment[8:16], 16, 64)
	at, atErr := strconv.ParseInt(segment[16:], 16, 64)
	if err != nil || atErr != nil {
		return -1
	}
	return log*SegmentsPerLog + at
}

// Mark commits a marker, so that the latest commit is as late as now, switches the segment that contains it, and
// returns that segment.
func (p *Postgres) Mark(ctx context.Context, db daap.Database) (segment string, err error) {
	err = p.withReadWrite(ctx, db, func(ctx context.Context, conn *pgx.Conn) error {
		segment, err = mark(ctx, conn)
		return err
	})
	return segment, err
}

// LastArchived returns the name of the last segment or file that the database's PostgreSQL has archived; empty if there
// is none.
func (p *Postgres) LastArchived(ctx context.Context, db daap.Database) (name string, err error) {
	err = p.withReadOnly(ctx, db, func(ctx context.Context, conn *pgx.Conn) error {
		name, _, err = lastArchived(ctx, conn)
		return err
	})
	return name, err
}

// Archiving returns when PostgreSQL last archived a segment, nil if never, and how many bytes of WAL it has written
// since.
func (p *Postgres) Archiving(ctx context.Context, db daap.Database) (last *time.Time, behind int64, err error) {
	err = p.withReadOnly(ctx, db, func(ctx context.Context, conn *pgx.Conn) error {
		segment, at, err := lastArchived(ctx, conn)
		if err != nil || SegmentPlace(segment) < 0 { // nothing is archived yet
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

// mark is Mark on a connection. It needs two transactions: in one, the segment would be switched before the commit is
// written. The worker's role may lack the right to switch segments, in databases that are older than the role; the
// segment then ends by itself.
func mark(ctx context.Context, conn *pgx.Conn) (segment string, err error) {
	if _, err := conn.Exec(ctx, `SELECT pg_catalog.pg_current_xact_id()`); err != nil {
		return "", fmt.Errorf("commit a marker: %w", err)
	}
	return endSegment(ctx, conn)
}

// endSegment switches the segment with the last WAL record, unless another process has just done so, and returns it.
// pg_switch_wal returns the end of the segment, which may be the first byte of the next one; since PostgreSQL 17,
// pg_walfile_name then names that next segment, which may stay open for long. The byte before is in the right segment.
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

// archivedName matches the names of archived files: segments, and files of backups and timelines, which are named after
// a segment.
var archivedName = regexp.MustCompile(`^[0-9A-F]{8}[0-9A-Za-z.]{1,56}$`)

// lastArchived returns the name of the last archived file, and when it was archived; empty if there is none.
func lastArchived(ctx context.Context, conn *pgx.Conn) (name string, at *time.Time, err error) {
	err = conn.QueryRow(ctx, `
		SELECT COALESCE(pg_catalog.left(a.last_archived_wal, 64), ''), a.last_archived_time
		FROM   pg_catalog.pg_stat_archiver AS a`).Scan(&name, &at)
	if err == nil && name != "" && !archivedName.MatchString(name) {
		err = fmt.Errorf("invalid archived segment %q", diagnosis.Safe(name))
	}
	if err == nil && at != nil {
		err = checkTime(*at)
	}
	if err != nil {
		return "", nil, fmt.Errorf("read the archiving status: %w", err)
	}
	return name, at, nil
}

// clockSkew is how far the clock of a PostgreSQL may be ahead of the worker's.
const clockSkew = time.Hour

// checkTime returns an error for a time that PostgreSQL cannot have recorded.
func checkTime(at time.Time) error {
	if at.Year() < 2000 || time.Until(at) > clockSkew {
		return fmt.Errorf("invalid time %s", at.Format(time.RFC3339))
	}
	return nil
}

// idleBytes is the size of the records that an idle PostgreSQL writes into a new segment: a header, a checkpoint, and
// the running transactions; 96 to 272 bytes were observed. Changes of up to this size are not counted until the segment
// is closed, which happens within archive_timeout.
const idleBytes = 512

// written returns the number of bytes ever written to the WAL.
func written(ctx context.Context, conn *pgx.Conn) (n int64, err error) {
	err = conn.QueryRow(ctx, `
		SELECT pg_catalog.int8(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0'::pg_catalog.pg_lsn))`,
	).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("read the WAL position: %w", err)
	}
	return n, nil
}

// unarchived returns the number of bytes written after the segment, given the number ever written.
func unarchived(segment string, written int64) int64 {
	since := written - (SegmentPlace(segment)+1)*SegmentBytes
	if since <= idleBytes {
		return 0
	}
	return since
}
