// Package persistence stores the domain in PostgreSQL, the system of record. Exported methods own their transaction;
// functions that take a pgx.Tx are parts of one. Every transaction locks in the same order: the row of the database,
// then its operations, then their steps.
package persistence

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/daap-dev/daap"
)

// The bounds of a process's connections. A request consists of a few point reads and short transactions: a longer one
// is stuck, and returns its connection to waiting requests.
const (
	connectTimeout           = 5 * time.Second
	statementTimeout         = 10 * time.Second
	lockTimeout              = 5 * time.Second
	idleInTransactionTimeout = 15 * time.Second
	pingTimeout              = 2 * time.Second

	maxConns        = 16
	minIdleConns    = 2
	maxConnIdle     = 5 * time.Minute
	maxConnLifetime = 30 * time.Minute
	lifetimeJitter  = 5 * time.Minute

	applicationName = "daap"
)

// Store is the domain in PostgreSQL; safe for concurrent use. Errors for people are of type *daap.Error; all others are
// faults of the service.
type Store struct{ pool *pgxpool.Pool }

// New returns the Store on a pool from Open, over a schema that migrations.Up has updated.
func New(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// Open returns a connection pool for the PostgreSQL URL. It does not wait for the server: a process may start before
// PostgreSQL does, and Ping reports when it answers. Timeouts, application_name and pool_max_conns in the URL override
// the defaults. The caller closes the pool.
func Open(ctx context.Context, databaseURL string) (*pgxpool.Pool, error) {
	given, err := ParseURL(databaseURL)
	if err != nil {
		return nil, err
	}
	cfg, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("parse the PostgreSQL URL: %w", err)
	}
	if _, ok := given.RuntimeParams["pool_max_conns"]; !ok {
		cfg.MaxConns = maxConns
	}
	if given.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	cfg.MinIdleConns = min(minIdleConns, cfg.MaxConns)
	cfg.MaxConnIdleTime = maxConnIdle
	cfg.MaxConnLifetime, cfg.MaxConnLifetimeJitter = maxConnLifetime, lifetimeJitter
	cfg.PingTimeout = pingTimeout
	cfg.AfterConnect = readTimesAsUTC
	setDefaults(cfg.ConnConfig.RuntimeParams, map[string]string{
		"application_name":                    applicationName,
		"statement_timeout":                   milliseconds(statementTimeout),
		"lock_timeout":                        milliseconds(lockTimeout),
		"idle_in_transaction_session_timeout": milliseconds(idleInTransactionTimeout),
	})
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open the PostgreSQL pool: %w", err)
	}
	return pool, nil
}

// ParseURL reads the URL of a PostgreSQL. Its errors never show the password.
func ParseURL(databaseURL string) (*pgx.ConnConfig, error) {
	if _, err := url.Parse(databaseURL); err != nil {
		// The parser's own error may quote a part of the password.
		return nil, errors.New("the PostgreSQL URL is malformed; percent-encode special characters of the password")
	}
	cfg, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("parse the PostgreSQL URL: %w", err)
	}
	return cfg, nil
}

// Ping returns nil when PostgreSQL answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("ping PostgreSQL: %w", err)
	}
	return nil
}

// readTimesAsUTC keeps the machine's time zone out of displayed times.
func readTimesAsUTC(_ context.Context, conn *pgx.Conn) error {
	conn.TypeMap().RegisterType(&pgtype.Type{
		Name:  "timestamptz",
		OID:   pgtype.TimestamptzOID,
		Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
	})
	return nil
}

// ofTeam is the condition that a row of databases d is in the scope; argument $2 is its owner.
const ofTeam = ` AND ($2::text IS NULL OR d.owner_team = $2)`

// owner returns the team of the scope for ofTeam: null for every team.
func owner(scope daap.Scope) *string {
	team, limited := scope.Team()
	if !limited {
		return nil
	}
	return &team
}

func setDefaults(params, defaults map[string]string) {
	for key, value := range defaults {
		if _, ok := params[key]; !ok {
			params[key] = value
		}
	}
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
