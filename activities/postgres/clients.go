package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// clientsTimeout is how long one attempt waits for the connections of clients to end, and clientsPoll the interval of
// the checks.
const clientsTimeout, clientsPoll = 2 * time.Second, 50 * time.Millisecond

// Close makes the database reject clients, and ends their connections. Safe to repeat.
func (p *Postgres) Close(ctx context.Context, db daap.Database) error { return p.closed(ctx, db, nil) }

// CloseAndMark closes the database, commits a marker, and switches the WAL segment that contains the marker. It returns
// that segment, and PostgreSQL's own time between closing and the marker.
func (p *Postgres) CloseAndMark(ctx context.Context, db daap.Database) (segment string, at time.Time, err error) {
	err = p.closed(ctx, db, func(ctx context.Context, conn *pgx.Conn) error {
		err := conn.QueryRow(ctx, `SELECT pg_catalog.clock_timestamp()`).Scan(&at)
		if err == nil {
			err = checkTime(at)
		}
		if err != nil {
			return fmt.Errorf("read the time: %w", err)
		}
		segment, err = mark(ctx, conn)
		return err
	})
	return segment, at, err
}

// closed closes the database and then runs last on the same connection, unless it is nil.
func (p *Postgres) closed(ctx context.Context, db daap.Database, last func(context.Context, *pgx.Conn) error) error {
	return p.withReadWrite(ctx, db, func(ctx context.Context, conn *pgx.Conn) error {
		if err := asOwner(ctx, conn, closeDatabase); err != nil || last == nil {
			return err
		}
		return last(ctx, conn)
	})
}

// Open lets clients connect.
func (p *Postgres) Open(ctx context.Context, db daap.Database) error {
	return p.withReadWrite(ctx, db, func(ctx context.Context, conn *pgx.Conn) error {
		return asOwner(ctx, conn, openDatabase)
	})
}

// asOwner runs do with the rights of the database's owner.
func asOwner(ctx context.Context, conn *pgx.Conn, do func(context.Context, *pgx.Conn) error) error {
	if _, err := conn.Exec(ctx, `SET ROLE `+pgx.Identifier{daap.PostgresUser}.Sanitize()); err != nil {
		return fmt.Errorf("set the role of the owner: %w", err)
	}
	if err := do(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `RESET ROLE`); err != nil {
		return fmt.Errorf("reset the role: %w", err)
	}
	return nil
}

// closeDatabase rejects new connections and ends the open ones, including those to the maintenance database, which may
// hold the lock that it needs. PostgreSQL's superuser is the operator, which connects elsewhere.
func closeDatabase(ctx context.Context, conn *pgx.Conn) error {
	if err := endClients(ctx, conn); err != nil {
		return err
	}
	name := pgx.Identifier{daap.PostgresDatabase}.Sanitize()
	if _, err := conn.Exec(ctx, `ALTER DATABASE `+name+` ALLOW_CONNECTIONS false`); err != nil {
		return fmt.Errorf("block clients: %w", err)
	}
	poll, over := time.NewTicker(clientsPoll), time.After(clientsTimeout)
	defer poll.Stop()
	for {
		if err := endClients(ctx, conn); err != nil {
			return err
		}
		var left int64
		err := conn.QueryRow(ctx, `
			SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity AS a
			WHERE  a.usename OPERATOR(pg_catalog.=) $1 AND a.datname OPERATOR(pg_catalog.=) $2`,
			daap.PostgresUser, daap.PostgresDatabase).Scan(&left)
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-poll.C:
		case <-over:
			return fmt.Errorf("%d client connections are still open", left)
		}
	}
}

// endClients asks all connections of clients to end, without waiting.
func endClients(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `
		SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity AS a
		WHERE  a.usename OPERATOR(pg_catalog.=) $1`, daap.PostgresUser)
	if err != nil {
		return fmt.Errorf("close client connections: %w", err)
	}
	return nil
}

func openDatabase(ctx context.Context, conn *pgx.Conn) error {
	name := pgx.Identifier{daap.PostgresDatabase}.Sanitize()
	if _, err := conn.Exec(ctx, `ALTER DATABASE `+name+` ALLOW_CONNECTIONS true`); err != nil {
		return fmt.Errorf("allow clients: %w", err)
	}
	return nil
}

// isOpen reports whether the database accepts clients.
func isOpen(ctx context.Context, conn *pgx.Conn) (open bool, err error) {
	err = conn.QueryRow(ctx, `
		SELECT d.datallowconn FROM pg_catalog.pg_database AS d WHERE d.datname OPERATOR(pg_catalog.=) $1`,
		daap.PostgresDatabase).Scan(&open)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("database %s does not exist", daap.PostgresDatabase)
	}
	return open, err
}

// IsOpen reports whether the database accepts clients.
func (p *Postgres) IsOpen(ctx context.Context, db daap.Database) (open bool, err error) {
	err = p.withReadOnly(ctx, db, func(ctx context.Context, conn *pgx.Conn) error {
		var err error
		open, err = isOpen(ctx, conn)
		return err
	})
	return open, err
}

// AcceptsNoConnections reports whether a connection failed because the database accepts no connections: it was frozen,
// or restored from a database that no longer accepts changes.
func AcceptsNoConnections(err error) bool { return sqlState(err) == notInState }
