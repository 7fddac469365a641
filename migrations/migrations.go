// Package migrations holds the schema of DAAP's own PostgreSQL as SQL that only ever goes forward, and runs it.
package migrations

import (
	"context"
	"embed"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/daap-dev/daap/persistence"
)

// Files are the migrations, in the order of their names. One that has been released never changes.
//
//go:embed *.sql
var Files embed.FS

const (
	connectTimeout = 5 * time.Second
	// lockTimeout bounds how long a migration waits for a table that is in use: while it waits, everyone
	// behind it waits too. A migration that gives up has changed nothing and may be run again.
	lockTimeout = 10 * time.Second
	// sessionLock is the advisory lock that only one process holds while it migrates.
	sessionLock = 0x64616170 // "daap"
	// A process that finds the lock taken tries again every second, for five minutes.
	lockPollSeconds, lockPolls = 1, 300
)

// Up brings the database at the PostgreSQL URL to the newest schema. Any number of processes may run it at
// once and again: one migrates, the others wait for it and find nothing to do. A migration that fails is
// rolled back. The URL must lead to PostgreSQL itself: a lock of the session does not hold through a
// connection pool.
func Up(ctx context.Context, databaseURL string) error {
	cfg, err := parse(databaseURL)
	if err != nil {
		return err
	}
	cfg.RuntimeParams["lock_timeout"] = strconv.FormatInt(lockTimeout.Milliseconds(), 10)
	db := stdlib.OpenDB(*cfg)
	defer func() { _ = db.Close() }()

	locker, err := lock.NewPostgresSessionLocker(
		lock.WithLockID(sessionLock),
		lock.WithLockTimeout(lockPollSeconds, lockPolls),
	)
	if err != nil {
		return fmt.Errorf("create the migration lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, Files,
		goose.WithSessionLocker(locker),
		goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()),
	)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// parse reads the URL of a PostgreSQL to migrate.
func parse(databaseURL string) (*pgx.ConnConfig, error) {
	cfg, err := persistence.ParseURL(databaseURL)
	if err != nil {
		return nil, err
	}
	cfg.ConnectTimeout = connectTimeout
	cfg.RuntimeParams["application_name"] = "daap migrate"
	return cfg, nil
}
