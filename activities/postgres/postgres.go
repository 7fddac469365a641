// Package postgres queries and changes the PostgreSQL of databases. Teams control these servers, so every response is
// limited in size and shown only through diagnosis.Safe.
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

// kubernetes has the Secrets and Services that connections to a database need.
type kubernetes interface {
	// SecretValue returns one key of a Secret.
	SecretValue(ctx context.Context, namespace, name, key string) ([]byte, error)
	// ServiceIP returns the address of a Service.
	ServiceIP(ctx context.Context, namespace, name string) (string, error)
}

// Postgres connects to the PostgreSQL of databases.
type Postgres struct{ Kubernetes kubernetes }

// roleTimeout is how long one attempt waits for the worker's role in a PostgreSQL, and rolePoll the interval of the
// checks.
const roleTimeout, rolePoll = 10 * time.Second, 200 * time.Millisecond

// SQLSTATEs that are distinguished, from PostgreSQL's appendix A.
const (
	protocolViolation     = "08P01"
	invalidPassword       = "28P01"
	invalidAuthorization  = "28000"
	insufficientPrivilege = "42501"
	tooManyConnections    = "53300"
	notInState            = "55000" // also of a database that accepts no connections
	queryCanceled         = "57014"
	noSuchDatabase        = "3D000"
)

// AwaitRole waits at most roleTimeout until the worker's own role may connect.
func (p *Postgres) AwaitRole(ctx context.Context, db daap.Database) error {
	return letIn(ctx, func(ctx context.Context) error {
		return p.withReadOnly(ctx, db, func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) })
	})
}

// SelectOne runs SELECT 1 as the database's owner, directly and through the pool, as a client would with
// sslmode=verify-full. The direct connection comes first: after a failed connection of its own, the pool would reject
// all clients for a while. Restrictions that the owner may have set are not an error: see shutOut.
func (p *Postgres) SelectOne(ctx context.Context, db daap.Database) error {
	owner, err := p.owner(ctx, db)
	if err != nil {
		return err
	}
	return p.selectOne(ctx, db, owner)
}

// letIn retries for roleTimeout until the worker's role may connect: CNPG creates it, or sets its password, after
// PostgreSQL has started, and the Service routes to a pod with a short delay after the pod is ready.
func letIn(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, roleTimeout)
	defer cancel()
	for {
		err := try(ctx)
		if sqlState(err) != invalidPassword && !Unanswered(err) { // also of a missing role
			return err
		}
		select {
		case <-time.After(rolePoll):
		case <-ctx.Done():
			return err
		}
	}
}

// selectOne runs SELECT 1 as a client would, directly and through the pool.
func (p *Postgres) selectOne(ctx context.Context, db daap.Database, owner login) error {
	shut := false
	for _, service := range []string{daap.PrimaryService, daap.PoolerService} {
		to, err := p.routeTo(ctx, db, service)
		if err != nil {
			return err
		}
		err = owner.session(ctx, to, func(ctx context.Context, conn *pgx.Conn) error {
			var one int
			return conn.QueryRow(ctx, "SELECT 1").Scan(&one)
		})
		switch {
		case err == nil:
		case shutOut(db, err), shut && sqlState(err) == protocolViolation: // PgBouncer reports every such error as this
			shut = true
		default:
			return fmt.Errorf("connect to %s: %w", to.host, err)
		}
	}
	return nil
}

// shutOut reports whether a connection failed only because of settings that the owner may have changed since the
// database was handed over: another password, revoked rights, a lower limit of connections or time. In that case,
// PostgreSQL is reachable.
func shutOut(db daap.Database, err error) bool {
	handedOver := db.Status != daap.DatabaseProvisioning && db.Status != daap.DatabaseRestoring
	return handedOver && slices.Contains([]string{
		invalidPassword, invalidAuthorization, insufficientPrivilege, tooManyConnections, queryCanceled,
	}, sqlState(err))
}

// maintenanceDatabase is the database that the worker connects to: only PostgreSQL's superuser creates objects in it,
// and it can be used to open a database that accepts no connections.
const maintenanceDatabase = "postgres"

// worker returns the login of the worker's own role.
func (p *Postgres) worker(ctx context.Context, db daap.Database) (login, error) {
	return p.login(ctx, db, manifest.WorkerSecret, login{user: manifest.WorkerRole, database: maintenanceDatabase})
}

// owner returns the login of the database's owner, which its clients use.
func (p *Postgres) owner(ctx context.Context, db daap.Database) (login, error) {
	return p.login(ctx, db, daap.CredentialsSecret, login{user: daap.PostgresUser, database: daap.PostgresDatabase})
}

// login adds the CA certificate and the password from the Secrets.
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

// withReadOnly runs a read-only session on the database's primary, in the maintenance database.
func (p *Postgres) withReadOnly(
	ctx context.Context, db daap.Database, run func(context.Context, *pgx.Conn) error,
) error {
	return p.onPrimary(ctx, db, false, run)
}

// withReadWrite is withReadOnly with a session that may also make changes.
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
	to, err := p.routeTo(ctx, db, daap.PrimaryService)
	if err != nil {
		return err
	}
	if err := worker.session(ctx, to, run); err != nil {
		return fmt.Errorf("query %s: %w", to.host, err)
	}
	return nil
}

// routeTo returns the route to a Service of the database.
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
