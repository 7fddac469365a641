package persistence

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

func (s *Store) scans(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]daap.Scan, error) {
	rows, _ := s.pool.Query(ctx, selectScans+`d.id = ANY ($1)`, ids) // collect returns its error
	return collectScans(rows)
}

const selectScans = `
	SELECT s.database_id, s.attempted_at, s.failure_reason, s.failure_message, s.scanned_at, s.listed_at, s.used_bytes,
	       s.wal_bytes, s.connections, s.max_connections
	FROM   database_scans s JOIN databases d ON d.id = s.database_id
	WHERE  `

func collectScans(rows pgx.Rows) (map[uuid.UUID]daap.Scan, error) {
	all := map[uuid.UUID]daap.Scan{}
	var id uuid.UUID
	var scan daap.Scan
	_, err := pgx.ForEachRow(rows, []any{
		&id, &scan.AttemptedAt, &scan.Reason, &scan.Message, &scan.ScannedAt, &scan.ListedAt, &scan.UsedBytes,
		&scan.WALBytes, &scan.Connections, &scan.MaxConnections,
	}, func() error {
		all[id], scan = scan, daap.Scan{}
		return nil
	})
	return all, err
}

// The interval of scans, and the shorter one for a database whose volume fills up or that did not answer. The latter is
// below one minute, the interval of the scan's workflow.
const scanEvery, scanSoon = 10 * time.Minute, 50 * time.Second

// DatabasesToScan returns at most limit running databases whose scan is due, in order of ID after the given one: those
// without a recent scan, and those that changed since. A failed scan is repeated soon, until a regular interval has
// passed: a failover is over by then, and a longer outage needs no frequent scans.
func (s *Store) DatabasesToScan(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error) {
	rows, _ := s.pool.Query(ctx, selectDatabases+`
		LEFT   JOIN database_scans s ON s.database_id = d.id
		WHERE  d.id > $1 AND `+running("$6", "$7")+` AND (
		       s.database_id IS NULL OR s.attempted_at < GREATEST(d.updated_at, now() - $3::interval)
		       OR s.attempted_at < now() - $4::interval AND (
		              s.failure_reason <> '' AND s.attempted_at < COALESCE(s.listed_at, d.created_at) + $3::interval
		              OR s.used_bytes >= (
		                     SELECT $5::bigint * sum(r.storage_bytes) / 100 FROM reservations r
		                     WHERE  r.database_id = d.id AND r.tier_id = d.tier_id)))
		ORDER  BY d.id LIMIT $2`,
		after, limit, scanEvery, scanSoon, daap.StorageFillsUpFrom,
		daap.RunningStatuses(), daap.RunningKinds()) // Collect returns its error
	dbs, err := pgx.CollectRows(rows, scanDatabase)
	if err != nil {
		return nil, because(err, "read databases to scan")
	}
	return dbs, nil
}

// SaveScan records a scan: storage and connections if ScannedAt is set, and the complete list of extensions if ListedAt
// is. The other part stays unchanged. Safe to repeat: a later scan wins.
func (s *Store) SaveScan(ctx context.Context, database uuid.UUID, scan daap.Scan, extensions []daap.Extension) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			INSERT INTO database_scans AS s (database_id, attempted_at, failure_reason, failure_message, scanned_at, listed_at,
			       used_bytes, wal_bytes, connections, max_connections)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (database_id) DO UPDATE
			SET attempted_at = $2, failure_reason = $3, failure_message = $4,
			    scanned_at = COALESCE($5, s.scanned_at), listed_at = COALESCE($6, s.listed_at),
			    used_bytes = CASE WHEN $5::timestamptz IS NULL THEN s.used_bytes ELSE $7 END,
			    wal_bytes = CASE WHEN $5::timestamptz IS NULL THEN s.wal_bytes ELSE $8 END,
			    connections = CASE WHEN $5::timestamptz IS NULL THEN s.connections ELSE $9 END,
			    max_connections = CASE WHEN $5::timestamptz IS NULL THEN s.max_connections ELSE $10 END
			WHERE  s.attempted_at <= $2`,
			database, scan.AttemptedAt, scan.Reason, storable(scan.Message), scan.ScannedAt, scan.ListedAt,
			scan.UsedBytes, scan.WALBytes, scan.Connections, scan.MaxConnections)
		if err != nil || tag.RowsAffected() == 0 || scan.ListedAt == nil {
			return err
		}
		return replaceExtensions(ctx, tx, database, *scan.ListedAt, extensions)
	})
	return because(err, fmt.Sprintf("save the scan of database %s", database))
}

// replaceExtensions replaces the database's extensions with the given ones.
func replaceExtensions(
	ctx context.Context, tx pgx.Tx, database uuid.UUID, at time.Time, extensions []daap.Extension,
) error {
	var in, names, versions, available []string
	for _, e := range extensions {
		in, names = append(in, storable(e.PostgresDatabase)), append(names, storable(e.Name))
		versions, available = append(versions, storable(e.Version)), append(available, storable(e.AvailableVersion))
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO database_extensions (database_id, postgres_database, name, version, available_version, last_checked_at)
		SELECT DISTINCT ON (t.postgres_database, t.name)
		       $1::uuid, t.postgres_database, t.name, t.version, t.available, $2::timestamptz
		FROM   unnest($3::text[], $4::text[], $5::text[], $6::text[]) AS t (postgres_database, name, version, available)
		ON CONFLICT (database_id, postgres_database, name) DO UPDATE
		SET version = excluded.version, available_version = excluded.available_version, last_checked_at = $2`,
		database, at, in, names, versions, available)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		DELETE FROM database_extensions WHERE database_id = $1 AND last_checked_at <> $2`, database, at)
	return err
}

// selectExtensions selects the last complete list of database $1.
const selectExtensions = `
	SELECT e.database_id, e.postgres_database, e.name, e.version, e.available_version, e.last_checked_at
	FROM   database_extensions e JOIN databases d ON d.id = e.database_id
	WHERE  d.id = $1` + ofTeam + `
	ORDER  BY e.postgres_database, e.name`

// extensionsInScope selects the extensions of running databases in scope.
const extensionsInScope = `
	FROM   database_extensions e
	JOIN   databases d ON d.id = e.database_id
	LEFT   JOIN operations o ON o.database_id = d.id AND o.state IN ` + openStates

// ExtensionGroups returns the groups of extensions that the filter selects, of running databases in scope, in order of
// name and version, at most one page.
func (s *Store) ExtensionGroups(
	ctx context.Context, scope daap.Scope, f daap.ExtensionFilter,
) ([]daap.ExtensionGroup, error) {
	var w filter
	w.within(scope)
	w.running()
	if f.Name != "" {
		w.andWith(`e.name = $`, f.Name)
	}
	if f.OlderThan != "" {
		w.andWith(`e.version = ANY ($)`, f.Versions)
	}
	if f.Page.AfterName != "" {
		name, version := w.placeholder(f.Page.AfterName), w.placeholder(f.Page.AfterVersion)
		w.and(`(e.name COLLATE "C", e.version COLLATE "C") > (` + name + `, ` + version + `)`)
	}
	rows, _ := s.pool.Query(ctx, `
		SELECT e.name COLLATE "C", e.version COLLATE "C",
		       array_agg(DISTINCT e.available_version) FILTER (WHERE e.available_version <> ''),
		       count(DISTINCT e.database_id),
		       count(DISTINCT e.database_id) FILTER (WHERE e.available_version NOT IN ('', e.version)),
		       min(e.last_checked_at)`+extensionsInScope+w.where()+`
		GROUP  BY 1, 2 ORDER BY 1, 2 LIMIT `+w.placeholder(f.Page.Limit), w.args...) // Collect returns its error
	groups, err := pgx.CollectRows(rows, scanExtensionGroup)
	if err != nil {
		return nil, because(err, "read groups of extensions")
	}
	return groups, nil
}

// ExtensionVersions returns all versions of the extension in running databases in scope.
func (s *Store) ExtensionVersions(ctx context.Context, scope daap.Scope, name string) ([]string, error) {
	var w filter
	w.within(scope)
	w.running()
	w.andWith(`e.name = $`, name)
	rows, _ := s.pool.Query(ctx, `
		SELECT DISTINCT e.version`+extensionsInScope+w.where(), w.args...) // Collect returns its error
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, because(err, "read versions of an extension")
	}
	return all, nil
}

// UnscannedDatabases returns the number of running databases in scope without a complete list of extensions since the
// given time.
func (s *Store) UnscannedDatabases(ctx context.Context, scope daap.Scope, since time.Time) (n int, err error) {
	var w filter
	w.within(scope)
	w.running()
	w.andWith(`(s.database_id IS NULL OR s.failure_reason <> '' OR s.listed_at IS NULL OR s.listed_at < $)`, since)
	err = s.pool.QueryRow(ctx, `
		SELECT count(*)
		FROM   databases d
		LEFT   JOIN operations o ON o.database_id = d.id AND o.state IN `+openStates+`
		LEFT   JOIN database_scans s ON s.database_id = d.id`+w.where(), w.args...).Scan(&n)
	return n, because(err, "count databases without a scan")
}

func scanExtension(row pgx.CollectableRow) (daap.Extension, error) {
	var e daap.Extension
	err := row.Scan(&e.DatabaseID, &e.PostgresDatabase, &e.Name, &e.Version, &e.AvailableVersion, &e.LastCheckedAt)
	return e, err
}

func scanExtensionGroup(row pgx.CollectableRow) (daap.ExtensionGroup, error) {
	var g daap.ExtensionGroup
	err := row.Scan(&g.Name, &g.Version, &g.AvailableVersions, &g.Databases, &g.Outdated, &g.LastCheckedAt)
	return g, err
}
