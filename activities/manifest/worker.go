package manifest

import (
	"strconv"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"

	"github.com/daap-dev/daap"
)

// workerConnections bounds how many connections the worker's role has at once in one PostgreSQL; workerReserved of them
// are there for it also where clients have all others.
const workerConnections, workerReserved = 5, 3

// reserving is the role that may use what is reserved, monitoring the one that may know how much WAL there is, and how
// large databases are whose owner lets nobody in. The worker has of it what it has once it says SET ROLE.
const reserving, monitoring = "pg_use_reserved_connections", "pg_monitor"

// reserves says whether PostgreSQL knows of reserved connections, which came with version 16.
func reserves(p daap.Profile) bool {
	version, err := strconv.Atoi(p.PGVersion)
	return err == nil && version >= 16
}

// workerRole is the worker's role as CNPG keeps it, in a restored PostgreSQL too. It has none of what the owner has
// until it says SET ROLE, which is to open and to close the database.
func workerRole(db daap.Database) cnpgv1.RoleConfiguration {
	role := cnpgv1.RoleConfiguration{
		Name: WorkerRole, Ensure: cnpgv1.EnsurePresent, Login: true, Inherit: new(false),
		InRoles: []string{daap.PostgresUser, monitoring}, ConnectionLimit: workerConnections,
		PasswordSecret: &cnpgv1.LocalObjectReference{Name: WorkerSecret},
	}
	if reserves(db.Profile) {
		role.InRoles = append(role.InRoles, reserving)
	}
	return role
}

// workerRoleSQL makes the role in a new PostgreSQL, in whose maintenance database it may end a segment, so that what
// was written last can be archived at once. Nobody logs in as it before CNPG gives it a password.
func workerRoleSQL(db daap.Database) []string {
	made := []string{
		"CREATE ROLE " + WorkerRole + " NOINHERIT IN ROLE " + daap.PostgresUser + ", " + monitoring,
		"GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() TO " + WorkerRole,
	}
	if reserves(db.Profile) {
		made = append(made, "GRANT "+reserving+" TO "+WorkerRole+" WITH INHERIT TRUE")
	}
	return made
}
