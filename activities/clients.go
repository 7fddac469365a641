package activities

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/daap-dev/daap"
)

// maintenanceDatabase is where PostgreSQL is told about the database itself, which may take no connections.
const maintenanceDatabase = "postgres"

// objectNotInPrerequisiteState is SQLSTATE 55000, of PostgreSQL's appendix A: a database takes no connections.
const objectNotInPrerequisiteState = "55000"

// CloseToClients takes the pool and the network's way in away, waits until the pool is gone, and has PostgreSQL let
// nobody into the database any more: that holds wherever clients are, also where no NetworkPolicy is enforced.
func (p *Postgres) CloseToClients(ctx context.Context, in Input) error {
	db, err := p.Kubernetes.record(ctx, in)
	if err != nil {
		return err
	}
	if err := p.Kubernetes.StopPooler(ctx, in); err != nil {
		return err
	}
	owner, err := p.owner(ctx, db)
	if err != nil {
		return err
	}
	return p.Kubernetes.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		if stopped, progress, err := p.Kubernetes.poolerStopped(ctx, db); !stopped || err != nil {
			return false, progress, err
		}
		if err := p.closed(ctx, owner, db, nil); err != nil {
			return false, err.Error(), nil // why PostgreSQL does not answer is found out meanwhile
		}
		return true, "", nil
	})
}

// OpenToClients brings the pool back and lets clients in again.
func (p *Postgres) OpenToClients(ctx context.Context, in Input) error {
	if err := p.Kubernetes.ApplyPooler(ctx, in); err != nil {
		return err
	}
	if err := p.Kubernetes.WaitReady(ctx, in); err != nil {
		return err
	}
	return p.Connect(ctx, in)
}

// beside runs something on a connection to the database's PostgreSQL that is none to the database itself.
func (p *Postgres) beside(ctx context.Context, owner owner, db daap.Database, run func(*pgx.Conn) error) error {
	owner.database = maintenanceDatabase
	return p.onPrimary(ctx, owner, db, run)
}

// closed lets nobody into the database but last, which runs on a connection of its own once all others are ended; nil
// runs nothing.
func (p *Postgres) closed(ctx context.Context, owner owner, db daap.Database, last func(*pgx.Conn) error) error {
	return p.beside(ctx, owner, db, func(admin *pgx.Conn) error {
		if last == nil {
			return closeDatabase(ctx, admin, 0)
		}
		if err := openDatabase(ctx, admin); err != nil {
			return err
		}
		return p.onPrimary(ctx, owner, db, func(conn *pgx.Conn) error {
			if err := closeDatabase(ctx, admin, conn.PgConn().PID()); err != nil {
				return err
			}
			return last(conn)
		})
	})
}

// closeDatabase lets no new connection in and ends those there are but for one. PostgreSQL's superuser is the
// operator, who connects elsewhere.
func closeDatabase(ctx context.Context, admin *pgx.Conn, but uint32) error {
	name := pgx.Identifier{daap.PostgresDatabase}.Sanitize()
	if _, err := admin.Exec(ctx, `ALTER DATABASE `+name+` ALLOW_CONNECTIONS false`); err != nil {
		return fmt.Errorf("let no client in: %w", err)
	}
	_, err := admin.Exec(ctx, `
		SELECT pg_catalog.pg_terminate_backend(pid, 3000) FROM pg_catalog.pg_stat_activity
		WHERE  datname = $1 AND usename = CURRENT_USER AND pid <> $2`, daap.PostgresDatabase, but)
	if err != nil {
		return fmt.Errorf("end the connections of clients: %w", err)
	}
	left := 0
	err = admin.QueryRow(ctx, `
		SELECT count(*) FROM pg_catalog.pg_stat_activity
		WHERE  datname = $1 AND usename = CURRENT_USER AND pid <> $2`, daap.PostgresDatabase, but).Scan(&left)
	if err == nil && left > 0 {
		err = fmt.Errorf("%d connections of clients are left", left)
	}
	return err
}

func openDatabase(ctx context.Context, admin *pgx.Conn) error {
	name := pgx.Identifier{daap.PostgresDatabase}.Sanitize()
	if _, err := admin.Exec(ctx, `ALTER DATABASE `+name+` ALLOW_CONNECTIONS true`); err != nil {
		return fmt.Errorf("let clients in: %w", err)
	}
	return nil
}

// isOpen says whether the database lets clients in.
func isOpen(ctx context.Context, admin *pgx.Conn) (open bool, err error) {
	err = admin.QueryRow(ctx, `SELECT datallowconn FROM pg_catalog.pg_database WHERE datname = $1`,
		daap.PostgresDatabase).Scan(&open)
	return open, err
}

// stillClosed is final where the database lets clients in: its owner may have opened it, and written to it.
func (p *Postgres) stillClosed(ctx context.Context, owner owner, db daap.Database) error {
	open := true
	err := p.beside(ctx, owner, db, func(admin *pgx.Conn) error {
		var err error
		open, err = isOpen(ctx, admin)
		return err
	})
	if err != nil || !open {
		return err
	}
	return final(because(daap.CauseRejected, "The database lets clients in again: its owner has opened it, and what was "+
		"written since may not be in the archive; abort, and archive it anew"))
}

// takesNobody says whether the error of a connection is that nobody is let in: as into a database that was frozen, or
// restored from one that takes no more changes.
func takesNobody(err error) bool {
	var told *pgconn.PgError
	return errors.As(err, &told) && told.Code == objectNotInPrerequisiteState
}

// open lets clients in.
func (p *Postgres) open(ctx context.Context, owner owner, db daap.Database) error {
	return p.beside(ctx, owner, db, func(admin *pgx.Conn) error { return openDatabase(ctx, admin) })
}
