package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/diagnosis"
)

// Scan returns the storage, connections and extensions of the database's PostgreSQL at that time. If it fails midway,
// it returns the results so far with the error; WhyNotScanned explains that error. It changes nothing.
func (p *Postgres) Scan(ctx context.Context, db daap.Database, at time.Time) (daap.Scan, []daap.Extension, error) {
	ctx, cancel := context.WithTimeout(ctx, scanTimeout)
	defer cancel()
	ask, err := p.connectTo(ctx, db)
	if err != nil {
		return daap.Scan{}, nil, err
	}
	return scanAll(ctx, ask, at)
}

// scanTimeout limits all sessions of one scan.
const scanTimeout = 30 * time.Second

// connector runs a function in a session of the worker's own role in the named PostgreSQL database.
type connector func(ctx context.Context, database string, run func(context.Context, *pgx.Conn) error) error

// connectTo reads the login and the route once, for several sessions.
func (p *Postgres) connectTo(ctx context.Context, db daap.Database) (connector, error) {
	as, err := p.worker(ctx, db)
	if err != nil {
		return nil, err
	}
	to, err := p.routeTo(ctx, db, daap.PrimaryService)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, database string, run func(context.Context, *pgx.Conn) error) error {
		as := as
		as.database = database
		return as.session(ctx, to, run)
	}, nil
}

// unscannedError is why the extensions of a PostgreSQL database could not be read.
type unscannedError struct {
	database string
	err      error
}

// Error returns a text that may be shown.
func (e *unscannedError) Error() string {
	return fmt.Sprintf("PostgreSQL database %s: %s", diagnosis.Safe(e.database), e.err)
}

// Unwrap returns the session's error.
func (e *unscannedError) Unwrap() error { return e.err }

// errTooMuch means that the result exceeds a limit.
var errTooMuch = errors.New("the result is too large")

// scanAll reads the measurements of all databases in the maintenance database, and then the extensions in each database
// that accepts connections. If one fails, it returns the results so far with the error.
func scanAll(ctx context.Context, connect connector, at time.Time) (daap.Scan, []daap.Extension, error) {
	var scan daap.Scan
	var names []string
	err := connect(ctx, maintenanceDatabase, func(ctx context.Context, conn *pgx.Conn) (err error) {
		if scan, err = measure(ctx, conn); err == nil {
			names, err = postgresDatabases(ctx, conn)
		}
		return err
	})
	if err != nil {
		return daap.Scan{}, nil, &unscannedError{maintenanceDatabase, err}
	}
	scan.ScannedAt = &at
	if len(names) > maxPostgresDatabases {
		return scan, nil, fmt.Errorf("%w: more than %d PostgreSQL databases", errTooMuch, maxPostgresDatabases)
	}
	var all []daap.Extension
	for _, name := range names {
		var found []daap.Extension
		err := connect(ctx, name, func(ctx context.Context, conn *pgx.Conn) (err error) {
			found, err = extensionsOf(ctx, conn, name)
			return err
		})
		if sqlState(err) == noSuchDatabase { // dropped or renamed meanwhile
			continue
		}
		if err != nil {
			return scan, nil, &unscannedError{name, err}
		}
		if all = append(all, found...); len(all) > maxExtensions {
			return scan, nil, fmt.Errorf("%w: more than %d extensions", errTooMuch, maxExtensions)
		}
	}
	scan.ListedAt = &at
	return scan, all, nil
}

// monitoring is the role that may read the sizes of all databases, their sessions and WAL.
const monitoring = "pg_monitor"

// measure reads the used storage and connections. If the worker does not have the monitoring role yet, the size of the
// WAL is unknown.
func measure(ctx context.Context, conn *pgx.Conn) (daap.Scan, error) {
	var scan daap.Scan
	var monitors bool
	err := conn.QueryRow(ctx, `SELECT pg_catalog.pg_has_role($1, 'MEMBER')`, monitoring).Scan(&monitors)
	if err == nil && monitors {
		_, err = conn.Exec(ctx, `SET ROLE `+monitoring)
	}
	if err != nil {
		return scan, fmt.Errorf("monitor: %w", err)
	}
	err = conn.QueryRow(ctx, `
		SELECT COALESCE(pg_catalog.int8(pg_catalog.sum(pg_catalog.pg_database_size(d.oid))), 0)
		FROM   pg_catalog.pg_database AS d
		WHERE  $1::pg_catalog.bool OR pg_catalog.has_database_privilege(d.oid, 'CONNECT')`, monitors).Scan(&scan.UsedBytes)
	if err == nil && monitors {
		err = conn.QueryRow(ctx, `
			SELECT COALESCE(pg_catalog.int8(pg_catalog.sum(w.size)), 0) FROM pg_catalog.pg_ls_waldir() AS w`,
		).Scan(&scan.WALBytes)
	}
	if err == nil && max(scan.UsedBytes, scan.WALBytes) > maxStorage || min(scan.UsedBytes, scan.WALBytes) < 0 {
		err = fmt.Errorf("invalid sizes: %d and %d bytes", scan.UsedBytes, scan.WALBytes)
	}
	if err != nil {
		return scan, fmt.Errorf("read the storage use: %w", err)
	}
	scan.UsedBytes += scan.WALBytes
	var most, reserved, superusers int32
	var n int64
	err = conn.QueryRow(ctx, `
		SELECT pg_catalog.current_setting('max_connections')::pg_catalog.int4,
		       pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int4,
		       COALESCE(pg_catalog.current_setting('reserved_connections', true), '0')::pg_catalog.int4,
		       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity AS a
		        WHERE  a.usename IS NOT NULL AND a.datname IS NOT NULL
		               AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
		               AND COALESCE(a.backend_type, 'client backend') OPERATOR(pg_catalog.=) 'client backend')`,
	).Scan(&most, &superusers, &reserved, &n)
	if err == nil && (most < 0 || superusers < 0 || reserved < 0 || n < 0 || n > int64(most)) {
		err = fmt.Errorf("invalid connection counts: %d of %d", n, most)
	}
	if err != nil {
		return scan, fmt.Errorf("read the number of connections: %w", err)
	}
	scan.Connections, scan.MaxConnections = int(n), int(most)-int(superusers)-int(reserved)
	return scan, nil
}

// WhyNotScanned returns the error of a scan as one word and as a sentence for people.
func WhyNotScanned(err error) (reason, message string) {
	if errors.Is(err, errTooMuch) {
		return "TooMuch", diagnosis.Safe(err.Error())
	}
	var where *unscannedError
	errors.As(err, &where)
	switch state := sqlState(err); {
	case where == nil:
	case state == insufficientPrivilege, state == invalidPassword, state == invalidAuthorization:
		return "PermissionDenied", fmt.Sprintf("DAAP may not connect to the PostgreSQL database %s. Its owner can allow "+
			"it with GRANT CONNECT ON DATABASE … TO daap.", diagnosis.Safe(where.database))
	case state == tooManyConnections:
		return "TooManyConnections", fmt.Sprintf("DAAP cannot connect to the PostgreSQL database %s because all "+
			"connections are in use.",
			diagnosis.Safe(where.database))
	case state == queryCanceled:
		return "TooSlow", fmt.Sprintf("The PostgreSQL database %s did not answer in time.", diagnosis.Safe(where.database))
	}
	return "ConnectFailed", diagnosis.Safe(err.Error())
}
