package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

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
	return p.Kubernetes.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		if stopped, progress, err := p.Kubernetes.poolerStopped(ctx, db); !stopped || err != nil {
			return false, progress, err
		}
		if err := p.closed(ctx, db, nil); err != nil {
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

// closed lets nobody into the database and then does what is last, on the same connection; nil does nothing.
func (p *Postgres) closed(ctx context.Context, db daap.Database, last func(context.Context, *pgx.Conn) error) error {
	return p.changing(ctx, db, func(ctx context.Context, conn *pgx.Conn) error {
		if err := asOwner(ctx, conn, closeDatabase); err != nil || last == nil {
			return err
		}
		return last(ctx, conn)
	})
}

// open lets clients in.
func (p *Postgres) open(ctx context.Context, db daap.Database) error {
	return p.changing(ctx, db, func(ctx context.Context, conn *pgx.Conn) error {
		return asOwner(ctx, conn, openDatabase)
	})
}

// asOwner does what only the database's owner may.
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

// closeDatabase lets no new connection in and ends those there are, also those to the maintenance database, where one
// may hold the lock that is needed. PostgreSQL's superuser is the operator, who connects elsewhere.
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

// endClients has all connections of clients end, and does not wait for it.
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

// isOpen says whether the database lets clients in.
func isOpen(ctx context.Context, conn *pgx.Conn) (open bool, err error) {
	err = conn.QueryRow(ctx, `
		SELECT d.datallowconn FROM pg_catalog.pg_database AS d WHERE d.datname OPERATOR(pg_catalog.=) $1`,
		daap.PostgresDatabase).Scan(&open)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("database %s does not exist", daap.PostgresDatabase)
	}
	return open, err
}

// stillClosed is final where the database lets clients in: its owner may have opened it, and written to it.
func (p *Postgres) stillClosed(ctx context.Context, db daap.Database) error {
	open := true
	err := p.beside(ctx, db, func(ctx context.Context, conn *pgx.Conn) error {
		var err error
		open, err = isOpen(ctx, conn)
		return err
	})
	if err != nil || !open {
		return err
	}
	return final(because(daap.CauseRejected, "The owner allowed client connections again, so the archive may lack the "+
		"latest changes; abort, and archive the database again"))
}

// takesNobody says whether the error of a connection is that nobody is let in: as into a database that was frozen, or
// restored from one that takes no more changes.
func takesNobody(err error) bool { return sqlState(err) == notInState }
