package daap

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The connection names of every database. They survive a change of incarnation: the next one gets Services with the
// same names.
const (
	// PostgresDatabase is the database that DAAP creates for the team in its PostgreSQL.
	PostgresDatabase = "app"
	// PostgresUser owns PostgresDatabase.
	PostgresUser = "app"
	// PostgresPort is the port of both hosts.
	PostgresPort = 5432
	// PoolerService is the Service of the connection pool.
	PoolerService = "pooler"
	// PrimaryService is the Service of the primary.
	PrimaryService = "primary"
	// CredentialsSecret is the Secret with the keys username and password.
	CredentialsSecret = "credentials"
)

// Namespace returns the Kubernetes namespace of the database.
func Namespace(database uuid.UUID) string { return namespacePrefix + database.String() }

const namespacePrefix = "daap-"

// DatabaseIn returns the ID of the database with the namespace; false if no database
// can have such a namespace.
func DatabaseIn(namespace string) (uuid.UUID, bool) {
	text, found := strings.CutPrefix(namespace, namespacePrefix)
	id, err := uuid.Parse(text)
	return id, found && err == nil && Namespace(id) == namespace
}

// Host returns the name of a database's Service inside Kubernetes.
func Host(service string, database uuid.UUID) string {
	return fmt.Sprintf("%s.%s.svc", service, Namespace(database))
}

// Connection is everything a client needs to connect to a database, except the password.
type Connection struct {
	DatabaseID uuid.UUID
	// CACertificate is the content of sslrootcert for sslmode verify-full.
	CACertificate CABundle
	// CAExpiresAt is when the certificate in use expires.
	CAExpiresAt time.Time
}

// PooledHost returns the host of the connection pool.
func (c Connection) PooledHost() string { return Host(PoolerService, c.DatabaseID) }

// DirectHost returns the host of the primary.
func (c Connection) DirectHost() string { return Host(PrimaryService, c.DatabaseID) }

// URL returns a libpq URL for the host, without the password.
func (c Connection) URL(host string) string {
	return fmt.Sprintf("postgresql://%s@%s:%d/%s?sslmode=verify-full", PostgresUser, host, PostgresPort, PostgresDatabase)
}
