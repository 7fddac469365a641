package activities

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// certificates keeps the CA certificate that clients of a database need.
type certificates interface {
	// SaveCACertificate records the PEM; ErrSuperseded when the operation no longer holds the database.
	SaveCACertificate(ctx context.Context, operation, database uuid.UUID, pem string) error
}

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

// Postgres are the activities that connect to teams' databases.
type Postgres struct {
	Kubernetes   *Kubernetes
	Certificates certificates
}

// Connect waits until the worker's own role is let in, and runs SELECT 1 as the database's owner, directly and through
// the pool, as a client would with sslmode=verify-full. The CA certificate that it verifies with is recorded first:
// whoever skips this step, as the worker's way to the database is barred, hands it out all the same. The direct
// connection comes before the pool's: once it works the pool's own does, which would hold a failure against everyone
// for a while.
func (p *Postgres) Connect(ctx context.Context, in Input) error {
	db, err := p.Kubernetes.record(ctx, in)
	if err != nil {
		return err
	}
	owner, err := p.owner(ctx, db)
	if err != nil {
		return err
	}
	if err := p.Certificates.SaveCACertificate(ctx, in.Operation, db.ID, string(owner.ca)); err != nil {
		return fmt.Errorf("save the CA certificate of database %s: %w", db.ID, err)
	}
	err = letIn(ctx, func(ctx context.Context) error {
		return p.beside(ctx, db, func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) })
	})
	if err == nil {
		err = p.selectOne(ctx, db, owner)
	}
	if takesNobody(err) {
		if err = p.open(ctx, db); err == nil {
			err = p.selectOne(ctx, db, owner)
		}
	}
	if err != nil {
		return withCause(err, because(daap.CauseConnectFailed, "%s", err.Error()))
	}
	if !db.Profile.BackupEnabled { // otherwise its first base backup comes before
		return p.Kubernetes.leaveSource(ctx, db)
	}
	return nil
}

// letIn tries a little while until the worker's role is let in: CNPG makes it, or gives it its password, once
// PostgreSQL runs, and the Service leads to a pod a moment after that is ready.
func letIn(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, roleTimeout)
	defer cancel()
	for {
		err := try(ctx)
		if sqlState(err) != invalidPassword && !unanswered(err) { // PostgreSQL says it of a role that is not there, too
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
		w, err := p.wayTo(ctx, db, service)
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
	if as.ca, err = p.Kubernetes.secretValue(ctx, namespace, manifest.CASecret(db), manifest.CAKey); err != nil {
		return login{}, err
	}
	password, err := p.Kubernetes.secretValue(ctx, namespace, secret, corev1.BasicAuthPasswordKey)
	as.password = string(password)
	return as, err
}

// beside reads something on a connection to the database's primary that is none to the database itself.
func (p *Postgres) beside(ctx context.Context, db daap.Database, run func(context.Context, *pgx.Conn) error) error {
	return p.onPrimary(ctx, db, false, run)
}

// changing is beside that may also change something.
func (p *Postgres) changing(ctx context.Context, db daap.Database, run func(context.Context, *pgx.Conn) error) error {
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
	w, err := p.wayTo(ctx, db, daap.PrimaryService)
	if err != nil {
		return err
	}
	if err := worker.session(ctx, w, run); err != nil {
		return fmt.Errorf("query %s: %w", w.host, err)
	}
	return nil
}

// wayTo is where Kubernetes has the Service of the database.
func (p *Postgres) wayTo(ctx context.Context, db daap.Database, service string) (way, error) {
	var found corev1.Service
	key := client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: service}
	if err := p.Kubernetes.Client.Get(ctx, key, &found); err != nil {
		return way{}, fmt.Errorf("get service %s: %w", key, err)
	}
	if net.ParseIP(found.Spec.ClusterIP) == nil {
		return way{}, fmt.Errorf("get service %s: it has no address", key)
	}
	return way{
		host: daap.Host(service, db.ID), address: postgresAt(found.Spec.ClusterIP), pooled: service == daap.PoolerService,
	}, nil
}

func postgresAt(ip string) string { return net.JoinHostPort(ip, strconv.Itoa(daap.PostgresPort)) }
