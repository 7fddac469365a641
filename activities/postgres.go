package activities

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

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

// Postgres are the activities that connect to teams' databases.
type Postgres struct {
	Kubernetes   *Kubernetes
	Certificates certificates
}

// Connect runs SELECT 1 as the database's owner, directly and through the pool, as a client would with
// sslmode=verify-full. The CA certificate that it verifies with is recorded first: whoever skips this step, as
// the worker's way to the database is barred, hands it out all the same. The direct connection comes before the
// pool's: once it works the pool's own does, which would hold a failure against everyone for a while.
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
	err = p.selectOne(ctx, db, owner)
	if takesNobody(err) {
		if err = p.open(ctx, owner, db); err == nil {
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

// selectOne runs SELECT 1 as clients would, directly and through the pool.
func (p *Postgres) selectOne(ctx context.Context, db daap.Database, owner owner) error {
	for _, service := range []string{daap.PrimaryService, daap.PoolerService} {
		host := daap.Host(service, db.ID)
		err := owner.query(ctx, host, func(ctx context.Context) (string, error) { return p.addressOf(ctx, db, service) },
			func(conn *pgx.Conn) error {
				var one int
				return conn.QueryRow(ctx, "SELECT 1").Scan(&one)
			})
		if err != nil {
			return fmt.Errorf("connect to %s: %w", host, err)
		}
	}
	return nil
}

// owner is who owns a database, with what is needed to connect.
type owner struct {
	password string
	ca       []byte
	// database is where to connect to: the one that is owned, or another one of its PostgreSQL.
	database string
}

func (p *Postgres) owner(ctx context.Context, db daap.Database) (owner, error) {
	namespace := daap.Namespace(db.ID)
	ca, err := p.Kubernetes.secretValue(ctx, namespace, manifest.CASecret(db), manifest.CAKey)
	if err != nil {
		return owner{}, err
	}
	password, err := p.Kubernetes.secretValue(ctx, namespace, daap.CredentialsSecret, corev1.BasicAuthPasswordKey)
	return owner{string(password), ca, daap.PostgresDatabase}, err
}

// query runs something on a connection to host, of which address knows the IP address, within connectTimeout.
func (o owner) query(
	ctx context.Context, host string, address func(context.Context) (string, error), run func(*pgx.Conn) error,
) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	config, err := o.config(host)
	if err != nil {
		return err
	}
	// So that it also works where the cluster's DNS is not at hand.
	config.LookupFunc = func(ctx context.Context, _ string) ([]string, error) {
		found, err := address(ctx)
		return []string{found}, err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return run(conn)
}

// config is that of a client with sslmode=verify-full.
func (o owner) config(host string) (*pgx.ConnConfig, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(o.ca) {
		return nil, errors.New("read the CA certificate: it is not PEM")
	}
	config, err := pgx.ParseConfig("")
	if err != nil {
		return nil, fmt.Errorf("parse an empty configuration: %w", err)
	}
	config.Host, config.Port = host, daap.PostgresPort
	config.User, config.Password, config.Database = daap.PostgresUser, o.password, o.database
	config.TLSConfig = &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}
	config.Fallbacks = nil
	config.ConnectTimeout = connectTimeout
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // the pool is per transaction: no prepared statements
	return config, nil
}

// addressOf is where Kubernetes has the Service of the database.
func (p *Postgres) addressOf(ctx context.Context, db daap.Database, service string) (string, error) {
	var found corev1.Service
	key := client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: service}
	if err := p.Kubernetes.Client.Get(ctx, key, &found); err != nil {
		return "", fmt.Errorf("get service %s: %w", key, err)
	}
	if net.ParseIP(found.Spec.ClusterIP) == nil {
		return "", fmt.Errorf("get service %s: it has no address", key)
	}
	return found.Spec.ClusterIP, nil
}
