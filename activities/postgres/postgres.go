// Package postgres asks and changes the PostgreSQL of databases, which belongs to teams: whatever it answers is
// bounded, and shown only as diagnosis.Safe.
package postgres

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// kubernetes has the Secrets and Services by which a database is reached.
type kubernetes interface {
	// SecretValue returns one key of a Secret.
	SecretValue(ctx context.Context, namespace, name, key string) ([]byte, error)
	// ServiceIP returns the address of a Service.
	ServiceIP(ctx context.Context, namespace, name string) (string, error)
}

// Postgres reaches the PostgreSQL of databases.
type Postgres struct{ Kubernetes kubernetes }

// roleTimeout is how long one try waits for the worker's role in a PostgreSQL, and rolePoll how often it asks.
const roleTimeout, rolePoll = 10 * time.Second, 200 * time.Millisecond

// SQLSTATEs that are told apart, of PostgreSQL's appendix A.
const (
	protocolViolation     = "08P01"
	invalidPassword       = "28P01"
	invalidAuthorization  = "28000"
	insufficientPrivilege = "42501"
	tooManyConnections    = "53300"
	notInState            = "55000" // a database that takes no connections, among others
	queryCanceled         = "57014"
	noSuchDatabase        = "3D000"
)

// AwaitRole waits, for some seconds at most, until the worker's own role may connect.
func (p *Postgres) AwaitRole(ctx context.Context, db daap.Database) error {
	return letIn(ctx, func(ctx context.Context) error {
		return p.withReadOnly(ctx, db, func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) })
	})
}

// SelectOne runs SELECT 1 as the database's owner, directly and through the pool, as a client would with
// sslmode=verify-full. The direct connection comes first: once it works the pool's own does, which would hold a failure
// against everyone for a while. What an owner may have set since is no error: see shutOut.
func (p *Postgres) SelectOne(ctx context.Context, db daap.Database) error {
	owner, err := p.owner(ctx, db)
	if err != nil {
		return err
	}
	return p.selectOne(ctx, db, owner)
}

// letIn tries a little while until the worker's role is let in: CNPG makes it, or gives it its password, once
// PostgreSQL runs, and the Service leads to a pod a moment after that is ready.
func letIn(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, roleTimeout)
	defer cancel()
	for {
		err := try(ctx)
		if sqlState(err) != invalidPassword && !Unanswered(err) { // PostgreSQL says it of a role that is not there, too
			return err
		}
		select {
		case <-time.After(rolePoll):
		case <-ctx.Done():
			return err
		}
	}
}

// selectOne runs SELECT 1 as clients would, directly and through the pool.
func (p *Postgres) selectOne(ctx context.Context, db daap.Database, owner login) error {
	shut := false
	for _, service := range []string{daap.PrimaryService, daap.PoolerService} {
		w, err := p.routeTo(ctx, db, service)
		if err != nil {
			return err
		}
		err = owner.session(ctx, w, func(ctx context.Context, conn *pgx.Conn) error {
			var one int
			return conn.QueryRow(ctx, "SELECT 1").Scan(&one)
		})
		switch {
		case err == nil:
		case shutOut(db, err), shut && sqlState(err) == protocolViolation: // which is all that PgBouncer says
			shut = true
		default:
			return fmt.Errorf("connect to %s: %w", w.host, err)
		}
	}
	return nil
}

// shutOut says whether the error of a connection is no more than what the owner may have set since the database was
// handed over: another password, that nobody may connect, not as many connections or not for as long. PostgreSQL is
// reached then.
func shutOut(db daap.Database, err error) bool {
	handedOver := db.Status != daap.DatabaseProvisioning && db.Status != daap.DatabaseRestoring
	return handedOver && slices.Contains([]string{
		invalidPassword, invalidAuthorization, insufficientPrivilege, tooManyConnections, queryCanceled,
	}, sqlState(err))
}

// maintenanceDatabase is where the worker connects to: nobody but PostgreSQL's superuser makes anything in it, and a
// database that takes no connections is spoken of there.
const maintenanceDatabase = "postgres"

// worker is the worker itself, as a role of its own.
func (p *Postgres) worker(ctx context.Context, db daap.Database) (login, error) {
	return p.login(ctx, db, manifest.WorkerSecret, login{user: manifest.WorkerRole, database: maintenanceDatabase})
}

// owner is who owns the database, as its clients know it.
func (p *Postgres) owner(ctx context.Context, db daap.Database) (login, error) {
	return p.login(ctx, db, daap.CredentialsSecret, login{user: daap.PostgresUser, database: daap.PostgresDatabase})
}

// login adds what Secrets have.
func (p *Postgres) login(ctx context.Context, db daap.Database, secret string, as login) (login, error) {
	namespace := daap.Namespace(db.ID)
	var err error
	if as.ca, err = p.Kubernetes.SecretValue(ctx, namespace, manifest.CASecret(db), manifest.CAKey); err != nil {
		return login{}, err
	}
	password, err := p.Kubernetes.SecretValue(ctx, namespace, secret, corev1.BasicAuthPasswordKey)
	as.password = string(password)
	return as, err
}

// withReadOnly reads something on a connection to the database's primary that is none to the database itself.
func (p *Postgres) withReadOnly(
	ctx context.Context, db daap.Database, run func(context.Context, *pgx.Conn) error,
) error {
	return p.onPrimary(ctx, db, false, run)
}

// withReadWrite is withReadOnly with a session that may also change something.
func (p *Postgres) withReadWrite(
	ctx context.Context, db daap.Database, run func(context.Context, *pgx.Conn) error,
) error {
	return p.onPrimary(ctx, db, true, run)
}

func (p *Postgres) onPrimary(
	ctx context.Context, db daap.Database, changes bool, run func(context.Context, *pgx.Conn) error,
) error {
	worker, err := p.worker(ctx, db)
	if err != nil {
		return err
	}
	worker.changes = changes
	w, err := p.routeTo(ctx, db, daap.PrimaryService)
	if err != nil {
		return err
	}
	if err := worker.session(ctx, w, run); err != nil {
		return fmt.Errorf("query %s: %w", w.host, err)
	}
	return nil
}

// routeTo is where Kubernetes has the Service of the database.
func (p *Postgres) routeTo(ctx context.Context, db daap.Database, service string) (route, error) {
	ip, err := p.Kubernetes.ServiceIP(ctx, daap.Namespace(db.ID), service)
	if err != nil {
		return route{}, err
	}
	return route{
		host: daap.Host(service, db.ID), address: postgresAt(ip), pooled: service == daap.PoolerService,
	}, nil
}

func postgresAt(ip string) string { return net.JoinHostPort(ip, strconv.Itoa(daap.PostgresPort)) }
