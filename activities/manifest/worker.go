package manifest

import (
	"strconv"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"

	"github.com/daap-dev/daap"
)

// workerConnections limits the concurrent connections of the worker's role to one PostgreSQL; workerReserved of them
// stay available to it even if clients use all others.
const workerConnections, workerReserved = 5, 3

// reserving is the role that may use reserved connections. monitoring is the role that may read the amount of WAL, and
// the size of databases that accept no clients. The worker has its rights only after SET ROLE.
const reserving, monitoring = "pg_use_reserved_connections", "pg_monitor"

// reserves reports whether PostgreSQL supports reserved connections, which came with version 16.
func reserves(p daap.Profile) bool {
	version, err := strconv.Atoi(p.PGVersion)
	return err == nil && version >= 16
}

// workerRole is the worker's role as CNPG maintains it, including in a restored PostgreSQL. It has none of the owner's
// rights until SET ROLE, which it uses to open and close the database.
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

// workerRoleSQL creates the role in a new PostgreSQL. In the maintenance database it may switch WAL segments, so that
// the last changes can be archived at once. No login as this role is possible until CNPG sets its password.
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
