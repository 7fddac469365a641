// Package manifest builds the Kubernetes objects of a database. Its functions are pure: they depend only on the
// database and the platform's settings, so that golden files show their complete results.
package manifest

import (
	"maps"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap"
)

// FieldOwner is the field manager of every object that DAAP applies.
const FieldOwner = "daap"

// Labels on every object of a database.
const (
	LabelManagedBy  = "daap.io/managed-by"
	LabelDatabaseID = "daap.io/database-id"
	LabelTeam       = "daap.io/team"
	LabelTier       = "daap.io/tier"
	// LabelCluster is CNPG's own label on the objects that it creates for a Cluster or Pooler.
	LabelCluster = "cnpg.io/cluster"
	// LabelPodRole is CNPG's own label on pods: RoleInstance for PostgreSQL, RolePooler for PgBouncer.
	LabelPodRole = "cnpg.io/podRole"
	RoleInstance = "instance"
	RolePooler   = "pooler"
)

// Names of containers in the pods of instances: PostgreSQL's, and the archiver's.
const (
	PostgresContainer = "postgres"
	ArchiverContainer = "plugin-barman-cloud"
)

// Platform are the settings that all databases of an installation share.
type Platform struct {
	// PostgresImages are the operand's images by PostgreSQL major version; the tag of each begins with its version.
	PostgresImages daap.Catalog
	// PoolerImage is PgBouncer's image; empty means the operator's default.
	PoolerImage string
	// StorageClass of the volumes; empty means the cluster's default.
	StorageClass string
	// Archive is the destination of backups.
	Archive Archive
	// Network are the peers of databases.
	Network Network
}

// ClusterName names the CNPG Cluster of the database's incarnation; the name is never reused for another one.
func ClusterName(db daap.Database) string { return db.ServerName() }

// CASecret names the Secret in which CNPG keeps the CA that signs the servers' certificates, under CAKey.
func CASecret(db daap.Database) string { return ClusterName(db) + "-ca" }

// CAKey is the key of the CA certificate in CASecret.
const CAKey = "ca.crt"

// The worker's own role in the PostgreSQL of every database, and the Secret with its user and password.
const (
	WorkerRole   = "daap"
	WorkerSecret = "worker-credentials" //nolint:gosec // a name
)

func labels(db daap.Database) map[string]string {
	return map[string]string{
		LabelManagedBy:  FieldOwner,
		LabelDatabaseID: db.ID.String(),
		LabelTeam:       db.OwnerTeam,
		LabelTier:       db.Tier,
	}
}

func objectMeta(db daap.Database, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: daap.Namespace(db.ID), Labels: maps.Clone(labels(db))}
}

// hosts are all names by which clients reach a Service; its certificate must contain them.
func hosts(service string, database uuid.UUID) []string {
	namespace := daap.Namespace(database)
	return []string{
		service,
		service + "." + namespace,
		daap.Host(service, database),
		daap.Host(service, database) + ".cluster.local",
	}
}
