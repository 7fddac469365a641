package manifest

import (
	"slices"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/daap-dev/daap"
)

// Built is an object that DAAP builds.
type Built interface {
	metav1.Object
	runtime.Object
}

// Object is one of the Kubernetes objects of a database.
type Object struct {
	// Built is the object as it is applied. A Secret has its keys, but no values.
	Built Built
	// Step is the step of an operation that applies it.
	Step daap.StepName
	// Followed: the watch follows it, and drift is reported. Secrets are not followed: a worker that may watch them may
	// read the Secrets of all namespaces.
	Followed bool
	// Grants: the following objects of its step need the rights that it grants to the worker.
	Grants bool
}

// Kind is the kind of the object.
func (o Object) Kind() schema.GroupVersionKind { return o.Built.GetObjectKind().GroupVersionKind() }

// String returns the kind and the name of the object, for people.
func (o Object) String() string { return o.Kind().Kind + " " + o.Built.GetName() }

// Objects are all objects of a running database, in the order in which they are applied. All code that applies, takes
// over, watches, compares or counts objects uses this list.
func Objects(db daap.Database, platform Platform) []Object {
	const secret, followed = false, true
	all := []Object{
		{Built: Namespace(db), Step: daap.StepNamespace, Followed: followed},
		{Built: ConnectionRights(db), Step: daap.StepNamespace, Followed: followed},
		{Built: WorkerRights(db), Step: daap.StepNamespace, Followed: followed, Grants: true},
		// Network access is restricted before anything runs in the namespace.
		{Built: DenyAll(db), Step: daap.StepNamespace, Followed: followed},
		{Built: PlatformTraffic(db, platform.Network), Step: daap.StepNamespace, Followed: followed},
		{Built: Credentials(db, ""), Step: daap.StepCredentials, Followed: secret},
		{Built: WorkerCredentials(db, ""), Step: daap.StepCredentials, Followed: secret},
	}
	if db.Source != nil {
		all = append(all,
			Object{Built: StoreSecret(db, SourceCredentials, "", ""), Step: daap.StepSource, Followed: secret},
			Object{Built: RestoreStore(db, platform), Step: daap.StepSource, Followed: followed})
	}
	if db.Profile.BackupEnabled {
		all = append(all,
			Object{Built: StoreSecret(db, ArchiveCredentials, "", ""), Step: daap.StepArchive, Followed: secret},
			Object{Built: ObjectStore(db, platform), Step: daap.StepArchive, Followed: followed})
	}
	all = append(all,
		Object{Built: Cluster(db, platform), Step: daap.StepCluster, Followed: followed},
		Object{Built: Clients(db), Step: daap.StepPooler, Followed: followed},
		Object{Built: Pooler(db, platform), Step: daap.StepPooler, Followed: followed})
	if db.Profile.BackupEnabled {
		all = append(all, Object{Built: ScheduledBackup(db), Step: daap.StepBackup, Followed: followed})
	}
	return all
}

// Kinds are the kinds of all objects that a database may have.
func Kinds() []schema.GroupVersionKind { return kinds(func(Object) bool { return true }) }

// FollowedKinds are the Kinds that the watch follows.
func FollowedKinds() []schema.GroupVersionKind {
	return kinds(func(o Object) bool { return o.Followed })
}

func kinds(which func(Object) bool) []schema.GroupVersionKind {
	full := daap.Database{Source: &daap.Source{}}
	full.Profile.BackupEnabled = true
	var all []schema.GroupVersionKind
	for _, o := range Objects(full, Platform{}) {
		if kind := o.Kind(); which(o) && !slices.Contains(all, kind) {
			all = append(all, kind)
		}
	}
	return all
}

// ClusterKind is the kind of a Cluster.
var ClusterKind = cnpgv1.SchemeGroupVersion.WithKind(cnpgv1.ClusterKind)
