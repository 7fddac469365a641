// Package persistencetest gives each test a migrated PostgreSQL database of its own.
//
// The server is the one that DAAP_TEST_POSTGRES_URL leads to, as a superuser: tests also do what DAAP's own roles may
// not. Without it the test process starts one for itself, which ends with it.
package persistencetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/daap-dev/daap/migrations"
	"github.com/daap-dev/daap/persistence"
)

// setUpTimeout bounds what happens before and after a test proper.
const setUpTimeout = 2 * time.Minute

// New returns a pool on a migrated database that this test has for itself; both are gone when it ends. The
// test fails where there is no PostgreSQL.
func New(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	pool, err := persistence.Open(context.Background(), URL(tb))
	if err != nil {
		tb.Fatalf("open the test's database: %v", err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

// URL is New for a test that hands its database to something else: it returns the URL.
func URL(tb testing.TB) string {
	tb.Helper()
	return create(tb, true)
}

// EmptyURL is URL of a database without a schema.
func EmptyURL(tb testing.TB) string {
	tb.Helper()
	return create(tb, false)
}

func create(tb testing.TB, migrated bool) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), setUpTimeout)
	defer cancel()
	server, template, err := prepared(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	if !migrated {
		template = "template0"
	}
	name := "daap_test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if err := execute(ctx, server, "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		tb.Fatalf("create the test's database: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), setUpTimeout)
		defer cancel()
		if err := execute(ctx, server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Errorf("drop the test's database: %v", err)
		}
	})
	databaseURL, err := inDatabase(server, name)
	if err != nil {
		tb.Fatal(err)
	}
	return databaseURL
}

// prepared returns the server's URL and the name of its migrated template, both made once per process.
func prepared(ctx context.Context) (server, template string, err error) {
	once.Do(func() {
		if once.server = os.Getenv("DAAP_TEST_POSTGRES_URL"); once.server == "" {
			once.server, once.err = start(ctx)
		}
		if once.err == nil {
			once.template, once.err = migrateTemplate(ctx, once.server)
		}
	})
	return once.server, once.template, once.err
}

var once struct {
	sync.Once
	server, template string
	err              error
}

// migrateTemplate returns the name of a database with the newest schema. A server that outlives the process
// keeps it: the name contains a hash of the migrations, and the advisory lock lets one process make it.
func migrateTemplate(ctx context.Context, server string) (string, error) {
	digest, err := digestOf(migrations.Files)
	if err != nil {
		return "", fmt.Errorf("read migrations: %w", err)
	}
	template := "daap_template_" + digest
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", fmt.Errorf("connect to the test server: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // the lock goes with it
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtext($1))`, template); err != nil {
		return "", fmt.Errorf("lock the template: %w", err)
	}
	var there bool
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, template).Scan(&there)
	if err != nil || there {
		return template, err
	}
	unfinished := template + "_unfinished"
	migratedURL, err := inDatabase(server, unfinished)
	if err != nil {
		return "", err
	}
	for _, sql := range []string{"DROP DATABASE IF EXISTS " + unfinished, "CREATE DATABASE " + unfinished} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return "", fmt.Errorf("create the template: %w", err)
		}
	}
	if err := migrations.Up(ctx, migratedURL); err != nil {
		return "", fmt.Errorf("migrate the template: %w", err)
	}
	if _, err := conn.Exec(ctx, "ALTER DATABASE "+unfinished+" RENAME TO "+template); err != nil {
		return "", fmt.Errorf("name the template: %w", err)
	}
	return template, nil
}

// digestOf tells one set of files from another.
func digestOf(files fs.FS) (string, error) {
	digest := sha256.New()
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, path)
		fmt.Fprintf(digest, "%s %d\n%s", path, len(content), content)
		return err
	})
	return hex.EncodeToString(digest.Sum(nil))[:16], err
}

// inDatabase returns the server's URL with another database.
func inDatabase(server, name string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || !strings.HasPrefix(u.Scheme, "postgres") {
		return "", fmt.Errorf("DAAP_TEST_POSTGRES_URL must look like postgres://user:password@host:port/postgres")
	}
	u.Path = "/" + name
	return u.String(), nil
}

func execute(ctx context.Context, server, sql string) error {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, sql)
	return err
}
