package daap

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// What every database looks like to the people who connect to it. The hosts survive a change of
// incarnation: the Services of these names are made anew for the next one.
const (
	// PostgresDatabase is the database made for the team in its PostgreSQL.
	PostgresDatabase = "app"
	// PostgresUser owns PostgresDatabase.
	PostgresUser = "app"
	// PostgresPort is the port of both hosts.
	PostgresPort = 5432
	// PoolerService is the Service of the connection pool.
	PoolerService = "pooler"
	// PrimaryService is the Service of the primary itself.
	PrimaryService = "primary"
	// CredentialsSecret is the Secret with the keys username and password.
	CredentialsSecret = "credentials"
)

// Namespace is the Kubernetes namespace that holds all of a database.
func Namespace(database uuid.UUID) string { return namespacePrefix + database.String() }

const namespacePrefix = "daap-"

// DatabaseIn is the database whose namespace has the name; false where it is none's.
func DatabaseIn(namespace string) (uuid.UUID, bool) {
	text, found := strings.CutPrefix(namespace, namespacePrefix)
	id, err := uuid.Parse(text)
	return id, found && err == nil && Namespace(id) == namespace
}

// Host is the name by which a Service of a database is reached within Kubernetes.
func Host(service string, database uuid.UUID) string {
	return fmt.Sprintf("%s.%s.svc", service, Namespace(database))
}

// Connection is what a client needs to connect to a database, but for the password.
type Connection struct {
	DatabaseID uuid.UUID
	// CACertificate is what sslrootcert must hold for sslmode verify-full.
	CACertificate CABundle
	// CAExpiresAt is when the one in use ends.
	CAExpiresAt time.Time
}

// PooledHost is the host of the connection pool.
func (c Connection) PooledHost() string { return Host(PoolerService, c.DatabaseID) }

// DirectHost is the host of the primary.
func (c Connection) DirectHost() string { return Host(PrimaryService, c.DatabaseID) }

// URL is a libpq URL of the given host, without the password.
func (c Connection) URL(host string) string {
	return fmt.Sprintf("postgresql://%s@%s:%d/%s?sslmode=verify-full", PostgresUser, host, PostgresPort, PostgresDatabase)
}
