package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.temporal.io/sdk/activity"

	"github.com/daap-dev/daap"
)

// A source is asked markTries times, and not after markFor, before it is restored without: it may be what is to be
// replaced. A source that may not end a segment does so by itself, after the five minutes of CNPG's archive_timeout.
const (
	markTries = 5
	markFor   = 7 * time.Minute
)

// insufficientPrivilege is SQLSTATE 42501, of PostgreSQL's appendix A.
const insufficientPrivilege = "42501"

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
	owner, err := p.owner(ctx, source)
	if err != nil {
		return err
	}
	segment := ""
	return p.Kubernetes.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		archived := false
		err := p.onPrimary(ctx, owner, source, func(conn *pgx.Conn) error {
			if segment == "" {
				var err error
				if segment, err = mark(ctx, conn); err != nil {
					return err
				}
			}
			return conn.QueryRow(ctx, `
				SELECT COALESCE(last_archived_wal, '') >= $1 FROM pg_catalog.pg_stat_archiver`, segment).Scan(&archived)
		})
		return archived, "Source archives segment " + segment, err
	})
}

// onPrimary runs something on a connection to the database's primary.
func (p *Postgres) onPrimary(ctx context.Context, owner owner, db daap.Database, run func(*pgx.Conn) error) error {
	service := daap.PrimaryService
	host := daap.Host(service, db.ID)
	address := func(ctx context.Context) (string, error) { return p.addressOf(ctx, db, service) }
	if err := owner.query(ctx, host, address, run); err != nil {
		return fmt.Errorf("ask %s: %w", host, err)
	}
	return nil
}

// mark commits something, so that there is a commit as late as now, and ends the segment that it is in, which it
// returns. They are two transactions: the segment would be ended before the commit is written. Owners of databases that
// were made before DAAP had backups may not end a segment; it ends by itself then.
func mark(ctx context.Context, conn *pgx.Conn) (segment string, err error) {
	if _, err := conn.Exec(ctx, `SELECT pg_catalog.pg_current_xact_id()`); err != nil {
		return "", fmt.Errorf("commit a marker: %w", err)
	}
	err = conn.QueryRow(ctx, `SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_switch_wal())`).Scan(&segment)
	var told *pgconn.PgError
	if errors.As(err, &told) && told.Code == insufficientPrivilege {
		err = conn.QueryRow(ctx, `SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn())`).Scan(&segment)
	}
	if err != nil {
		return "", fmt.Errorf("end the segment: %w", err)
	}
	return segment, nil
}
