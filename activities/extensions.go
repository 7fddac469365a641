package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/activity"

	"github.com/daap-dev/daap"
)

// scanned are the databases whose PostgreSQL is asked, and what it told.
type scanned interface {
	// DatabasesToScan returns at most limit of those that are to be asked by now, in order of ID from after on.
	DatabasesToScan(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error)
	// SaveScan records what was told, and that extensions are all there are where the scan has listed them.
	SaveScan(ctx context.Context, database uuid.UUID, scan daap.Scan, extensions []daap.Extension) error
}

// Scans are the activities that ask databases' own PostgreSQL.
type Scans struct {
	Postgres  *Postgres
	Databases scanned
}

// What is asked of one database. More than that is no answer.
const (
	maxPostgresDatabases = 100
	maxExtensions        = 1000
	maxStorage           = 1 << 60 // bytes
)

// ScanExtensions asks the PostgreSQL of every database that is due for its storage, its connections and its extensions,
// and records what it tells, or why it does not. It heartbeats, and changes nothing in any database.
func (s *Scans) ScanExtensions(ctx context.Context) error {
	return lookAtEach(ctx, s.Databases.DatabasesToScan, func(ctx context.Context, db daap.Database) {
		if err := s.scan(ctx, db); err != nil {
			activity.GetLogger(ctx).Warn("The scan of a database cannot be recorded.",
				"database_id", db.ID.String(), "error", err)
		}
	})
}

func (s *Scans) scan(ctx context.Context, db daap.Database) error {
	bounded, cancel := context.WithTimeout(ctx, scanTimeout)
	defer cancel()
	at := time.Now()
	var scan daap.Scan
	var extensions []daap.Extension
	ask, err := s.Postgres.asking(bounded, db)
	if err == nil {
		scan, extensions, err = scanAll(bounded, ask, at)
	}
	if ctx.Err() != nil { // the worker stops; that tells nothing of the database
		return ctx.Err()
	}
	scan.AttemptedAt = at
	if err != nil {
		scan.Reason, scan.Message = whyNotScanned(err)
		activity.GetLogger(ctx).Info("The extensions of a database cannot be listed.",
			"database_id", db.ID.String(), "reason", scan.Reason, "error", scan.Message)
	}
	return s.Databases.SaveScan(ctx, db.ID, scan, extensions)
}

// asking runs something in a session of the worker's own role in the PostgreSQL database of that name.
type asking func(ctx context.Context, database string, run func(context.Context, *pgx.Conn) error) error

// asking reads once who connects to where.
func (p *Postgres) asking(ctx context.Context, db daap.Database) (asking, error) {
	as, err := p.worker(ctx, db)
	if err != nil {
		return nil, err
	}
	w, err := p.wayTo(ctx, db, daap.PrimaryService)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, database string, run func(context.Context, *pgx.Conn) error) error {
		as := as
		as.database = database
		return as.session(ctx, w, run)
	}, nil
}

// unscannedError is why a PostgreSQL database does not tell its extensions.
type unscannedError struct {
	database string
	err      error
}

// Error is safe.
func (e *unscannedError) Error() string {
	return fmt.Sprintf("PostgreSQL database %s: %s", safe(e.database), e.err)
}

// Unwrap is what the session ended with.
func (e *unscannedError) Unwrap() error { return e.err }

// errTooMuch says that there is more than is asked for.
var errTooMuch = errors.New("the result is too large")

// scanAll asks the maintenance database for what is true of all, and then each database that takes connections for its
// extensions. Of one that fails, what was told before is returned all the same.
func scanAll(ctx context.Context, ask asking, at time.Time) (daap.Scan, []daap.Extension, error) {
	var scan daap.Scan
	var names []string
	err := ask(ctx, maintenanceDatabase, func(ctx context.Context, conn *pgx.Conn) (err error) {
		if scan, err = measured(ctx, conn); err == nil {
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
		err := ask(ctx, name, func(ctx context.Context, conn *pgx.Conn) (err error) {
			found, err = extensionsOf(ctx, conn, name)
			return err
		})
		if sqlState(err) == noSuchDatabase { // dropped, or given another name, since
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

// monitoring is the role of those who may know of everybody's databases, sessions and WAL.
const monitoring = "pg_monitor"

// measured reads how much storage and how many connections there are in use. Where the worker's role does not monitor
// yet, WAL is not known.
func measured(ctx context.Context, conn *pgx.Conn) (daap.Scan, error) {
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

// postgresDatabases are the names of those that take connections; one more than there may be, where there are more.
func postgresDatabases(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, _ := conn.Query(ctx, `
		SELECT d.datname::pg_catalog.text FROM pg_catalog.pg_database AS d
		WHERE  d.datallowconn AND NOT d.datistemplate ORDER BY 1 LIMIT $1`,
		maxPostgresDatabases+1) // ForEachRow returns its error
	var names []string
	var name string
	_, err := pgx.ForEachRow(rows, []any{&name}, func() error {
		if name == "" || len(name) > daap.MaxPostgresName || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
			return errors.New("invalid database name")
		}
		if len(names) > maxPostgresDatabases {
			return errTooMuch
		}
		names = append(names, name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the PostgreSQL databases: %w", err)
	}
	return names, nil
}

// extensionsOf are those of the PostgreSQL database that conn is a connection to.
func extensionsOf(ctx context.Context, conn *pgx.Conn, database string) ([]daap.Extension, error) {
	rows, _ := conn.Query(ctx, `
		SELECT e.extname::pg_catalog.text, pg_catalog.left(e.extversion, $1),
		       COALESCE(pg_catalog.left(a.default_version, $1), '')
		FROM   pg_catalog.pg_extension AS e
		LEFT   JOIN pg_catalog.pg_available_extensions AS a ON a.name OPERATOR(pg_catalog.=) e.extname
		ORDER  BY 1 LIMIT $2`, daap.MaxExtensionVersion, maxExtensions+1) // ForEachRow returns its error
	var all []daap.Extension
	var name, version, available string
	_, err := pgx.ForEachRow(rows, []any{&name, &version, &available}, func() error {
		if len(all) > maxExtensions {
			return errTooMuch
		}
		all = append(all, daap.Extension{
			PostgresDatabase: short(database, daap.MaxPostgresName), Name: short(name, daap.MaxPostgresName),
			Version:          short(version, daap.MaxExtensionVersion),
			AvailableVersion: short(available, daap.MaxExtensionVersion),
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read extensions: %w", err)
	}
	return all, nil
}

// short is what may be shown of a text that others wrote, of no more than that many bytes.
func short(text string, most int) string {
	text = safe(text)
	if len(text) <= most {
		return text
	}
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// whyNotScanned is the error of a scan in one word and for people.
func whyNotScanned(err error) (reason, message string) {
	if errors.Is(err, errTooMuch) {
		return "TooMuch", safe(err.Error())
	}
	var where *unscannedError
	errors.As(err, &where)
	switch state := sqlState(err); {
	case where == nil:
	case state == insufficientPrivilege, state == invalidPassword, state == invalidAuthorization:
		return "PermissionDenied", fmt.Sprintf("DAAP may not connect to the PostgreSQL database %s. Its owner can allow "+
			"it with GRANT CONNECT ON DATABASE … TO daap.", safe(where.database))
	case state == tooManyConnections:
		return "TooManyConnections", fmt.Sprintf("DAAP cannot connect to the PostgreSQL database %s because all "+
			"connections are in use.",
			safe(where.database))
	case state == queryCanceled:
		return "TooSlow", fmt.Sprintf("The PostgreSQL database %s did not answer in time.", safe(where.database))
	}
	return "ConnectFailed", safe(err.Error())
}
