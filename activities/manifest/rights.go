package manifest

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap"
)

// The names in deploy/kubernetes for the rights in databases' namespaces.
const (
	// ServiceNamespace is the namespace of DAAP itself, and WorkerAccount the worker's ServiceAccount in it.
	ServiceNamespace = "daap"
	WorkerAccount    = "daap-worker"
	// DatabaseRole names the ClusterRole with the worker's rights in the namespace of a single database.
	DatabaseRole = "daap-database"
	// ConnectionRole names the ClusterRole that allows reading the Secret with the database's credentials.
	ConnectionRole = "daap-connection"
)

// TeamGroup is the Kubernetes group of a team's people and workloads.
func TeamGroup(team string) string { return "daap:team:" + team }

// WorkerRights lets the worker into the database's namespace: elsewhere it reads no Secrets and writes nothing.
func WorkerRights(db daap.Database) *rbacv1.RoleBinding {
	return bound(db, WorkerAccount, DatabaseRole,
		rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: ServiceNamespace, Name: WorkerAccount})
}

// ConnectionRights lets the database's team read its credentials, and nothing else.
func ConnectionRights(db daap.Database) *rbacv1.RoleBinding {
	return bound(db, "connection", ConnectionRole,
		rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: TeamGroup(db.OwnerTeam)})
}

func bound(db daap.Database, name, role string, to rbacv1.Subject) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
		ObjectMeta: objectMeta(db, name),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{to},
	}
}
