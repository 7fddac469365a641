package migrations_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/migrations"
	"github.com/daap-dev/daap/persistence"
	"github.com/daap-dev/daap/persistence/persistencetest"
)

func tables(t *testing.T, url string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	rows, _ := conn.Query(t.Context(), `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename`)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestUpTwiceIsUpOnce(t *testing.T) {
	t.Parallel()
	url := persistencetest.EmptyURL(t)
	for range 2 {
		if err := migrations.Up(t.Context(), url); err != nil {
			t.Fatal(err)
		}
	}
	got := strings.Join(tables(t, url), " ")
	if want := "api_keys audit_chain audit_log audit_retention audit_unsealed backup_states backups database_extensions database_health database_scans databases events goose_db_version idempotency_keys operation_steps operations orphans reservations tier_quotas tier_usage tiers"; got != want {
		t.Errorf("tables = %s, want %s", got, want)
	}
}

func TestUpByManyAtOnceIsUpOnce(t *testing.T) {
	t.Parallel()
	url := persistencetest.EmptyURL(t)
	const processes = 4
	done := make(chan error, processes)
	for range processes {
		go func() { done <- migrations.Up(t.Context(), url) }()
	}
	var errs error
	for range processes {
		errs = errors.Join(errs, <-done)
	}
	if errs != nil {
		t.Fatal(errs)
	}
}

// withRole runs do on a migrated database as its owner, with a role that is gone afterwards.
func withRole(t *testing.T, do func(url string, conn *pgx.Conn, role string)) {
	t.Helper()
	url := persistencetest.URL(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	role := `Daap "service" ` + uuid.NewString()
	quoted := pgx.Identifier{role}.Sanitize()
	execute(t, conn, `CREATE ROLE `+quoted)
	defer execute(t, conn, `DROP OWNED BY `+quoted+`; DROP ROLE `+quoted)
	do(url, conn, role)
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Errorf("%s: %v", sql, err)
	}
}

func TestGrantLeavesOnlyTheNeededPrivileges(t *testing.T) {
	t.Parallel()
	withRole(t, func(url string, conn *pgx.Conn, role string) {
		execute(t, conn, `GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC, `+pgx.Identifier{role}.Sanitize())
		execute(t, conn, `GRANT CREATE ON SCHEMA public TO PUBLIC`)
		execute(t, conn, `GRANT UPDATE (actor) ON audit_log TO `+pgx.Identifier{role}.Sanitize())
		for range 2 {
			if err := migrations.Grant(t.Context(), url, role); err != nil {
				t.Fatal(err)
			}
		}
		const all = "DELETE INSERT SELECT UPDATE"
		const stays, added, counted = "INSERT SELECT UPDATE", "INSERT SELECT", "DELETE INSERT SELECT"
		want := map[string]string{
			"api_keys": stays, "audit_chain": added, "audit_log": added, "audit_retention": "", "audit_unsealed": counted,
			"backup_states": stays, "backups": all, "database_extensions": all, "database_health": stays,
			"database_scans": stays, "databases": stays, "events": added, "goose_db_version": "",
			"idempotency_keys": all, "operation_steps": stays, "operations": stays, "orphans": all, "reservations": counted,
			"tier_quotas": stays, "tier_usage": stays, "tiers": all,
		}
		for _, table := range tables(t, url) {
			var got string
			var column, create, temporary bool
			err := conn.QueryRow(t.Context(), `
				SELECT COALESCE(string_agg(p, ' ' ORDER BY p) FILTER (WHERE has_table_privilege($1, $2, p)), ''),
				       has_any_column_privilege($1, 'audit_log', 'UPDATE'), has_schema_privilege($1, 'public', 'CREATE'),
				       has_database_privilege($1, current_database(), 'CREATE, TEMPORARY')
				FROM   unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p`,
				role, table).Scan(&got, &column, &create, &temporary)
			if err != nil || got != want[table] || column || create || temporary {
				t.Errorf("rights on %s = %s, %t, %t, %t, %v; want %s", table, got, column, create, temporary, err, want[table])
			}
		}
	})
}

func TestGrantByManyAtOnceIsGrantOnce(t *testing.T) {
	t.Parallel()
	withRole(t, func(url string, _ *pgx.Conn, role string) {
		const processes = 4
		done := make(chan error, processes)
		for range processes {
			go func() { done <- migrations.Grant(t.Context(), url, role) }()
		}
		var errs error
		for range processes {
			errs = errors.Join(errs, <-done)
		}
		if errs != nil {
			t.Error(errs)
		}
	})
}

func TestGrantToTheOwnerDoesNothing(t *testing.T) {
	t.Parallel()
	withRole(t, func(url string, conn *pgx.Conn, role string) {
		var owner string
		if err := conn.QueryRow(t.Context(), `SELECT current_user`).Scan(&owner); err != nil {
			t.Fatal(err)
		}
		if err := migrations.Grant(t.Context(), url, owner); err != nil {
			t.Error(err)
		}
		var may bool
		err := conn.QueryRow(t.Context(), `SELECT has_table_privilege('audit_log', 'UPDATE')`).Scan(&may)
		if err != nil || !may {
			t.Errorf("the owner may update = %t, %v; want true", may, err)
		}
		if err := migrations.Grant(t.Context(), url, role+" unknown"); err == nil {
			t.Error("grant to an unknown role = nil, want an error")
		}
	})
}

func TestKeepAuditSetsTheRetention(t *testing.T) {
	t.Parallel()
	withRole(t, func(url string, conn *pgx.Conn, _ string) {
		execute(t, conn, `DELETE FROM audit_retention`)
		for _, keep := range []time.Duration{48 * time.Hour, 72 * time.Hour} {
			if err := migrations.KeepAudit(t.Context(), url, keep); err != nil {
				t.Fatal(err)
			}
			var kept time.Duration
			if err := conn.QueryRow(t.Context(), `SELECT keep FROM audit_retention`).Scan(&kept); err != nil || kept != keep {
				t.Errorf("kept for %s, %v; want %s", kept, err, keep)
			}
		}
		if err := migrations.KeepAudit(t.Context(), url, time.Hour); err == nil {
			t.Error("keep for an hour = nil, want an error")
		}
	})
}

func TestUpNamesTheUnreachableServer(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://daap:se/cret@db.example/daap",
		"postgres://daap:secret@127.0.0.1:1/daap",
		"postgres://daap:secret@db.example/daap?sslmode=none",
	} {
		err := migrations.Up(t.Context(), url)
		if err == nil {
			t.Errorf("up of %s = nil, want an error", url)
			continue
		}
		if strings.Contains(err.Error(), "se/") || strings.Contains(err.Error(), "cret") {
			t.Errorf("error %q shows the password", err)
		}
	}
}

// migratedFrom returns a store on a database that was at the version with the rows that the SQL makes, and then migrated.
func migratedFrom(t *testing.T, version int64, sql string) (*persistence.Store, *pgxpool.Pool) {
	t.Helper()
	url := persistencetest.EmptyURL(t)
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDB(*cfg)
	defer func() { _ = db.Close() }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.Files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	if err := migrations.Up(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	pool, err := persistence.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return persistence.New(pool), pool
}

func TestDatabasesFromBeforeThereWereTiersGetOne(t *testing.T) {
	t.Parallel()
	store, _ := migratedFrom(t, 3, `
		INSERT INTO databases (id, name, owner_team, status, incarnation, deleted_at) VALUES
			('00000000-0000-7000-8000-000000000001', 'orders', 'shop', 'ready', 1, NULL),
			('00000000-0000-7000-8000-000000000002', 'gone', 'shop', 'deleted', 1, now());
		INSERT INTO operations (id, database_id, kind, state, started_at, finished_at)
		SELECT id, id, 'provision_database', 'succeeded', now(), now() FROM databases`)
	for id, live := range map[string]bool{
		"00000000-0000-7000-8000-000000000001": true, "00000000-0000-7000-8000-000000000002": false,
	} {
		got, err := store.Database(t.Context(), daap.EveryTeam, uuid.MustParse(id))
		if err != nil || got.Tier != "default" || got.Profile.Memory.String() != "512Mi" || (got.TierID != nil) != live {
			t.Errorf("database %s = %+v, %v; want the tier default, and its reference while it is live", got.Name, got, err)
		}
	}
	if err := store.CheckQuotas(t.Context()); err != nil {
		t.Error(err)
	}
}
