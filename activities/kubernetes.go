package activities

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// Kubernetes are the activities that need the Kubernetes API. What they make is looked up in the record of
// the database; what is there already is brought to what the record says.
type Kubernetes struct {
	Client    client.Client
	Watch     *Watch
	Databases databases
	// Holds tells waits that their operation is over.
	Holds    holds
	Platform manifest.Platform
	// Buckets is the object store that backups go to; nil where there is none.
	Buckets buckets
	// Keys gives each database keys of its own to the object store; nil where all have those of Platform.
	Keys issuer
	// Receipts keeps what deletions remove.
	Receipts receipts
	// Diagnosis finds out why something takes so long; nil where nobody can tell.
	Diagnosis *Diagnosis
}

// ApplyNamespace makes the database's namespace be as it should, with who has rights in it and whom its pods may talk
// with.
func (k *Kubernetes) ApplyNamespace(ctx context.Context, in Input) error {
	db, err := k.record(ctx, in)
	if err != nil {
		return err
	}
	return k.applyNamespace(ctx, db)
}

func (k *Kubernetes) applyNamespace(ctx context.Context, db daap.Database) error {
	for _, object := range []client.Object{manifest.Namespace(db), manifest.ConnectionRights(db)} {
		if err := k.apply(ctx, object); err != nil {
			return err
		}
	}
	if err := k.enter(ctx, db); err != nil {
		return err
	}
	// Nothing runs there before what it may reach is said.
	for _, object := range []client.Object{manifest.DenyAll(db), manifest.PlatformTraffic(db, k.Platform.Network)} {
		if err := k.apply(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

// enter gives the worker its rights in the database's namespace and waits a moment until Kubernetes has seen it, or
// what comes next would be refused. Where that takes longer, what comes next is tried again.
func (k *Kubernetes) enter(ctx context.Context, db daap.Database) error {
	if err := k.apply(ctx, manifest.WorkerRights(db)); err != nil {
		return err
	}
	seen := func(ctx context.Context) (bool, error) { return k.may(ctx, "create", "secrets", daap.Namespace(db.ID)) }
	err := wait.PollUntilContextTimeout(ctx, enterInterval, enterTimeout, true, seen)
	if wait.Interrupted(err) {
		return ctx.Err()
	}
	return err
}

// may asks whether the worker has the right in the namespace; in all of them where that is empty.
func (k *Kubernetes) may(ctx context.Context, verb, resource, namespace string) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Resource: resource, Namespace: namespace},
	}}
	if err := k.Client.Create(ctx, review); err != nil {
		return false, fmt.Errorf("check whether the worker may %s %s: %w", verb, resource, err)
	}
	return review.Status.Allowed, nil
}

// ApplyCluster makes the Cluster of the database's incarnation be as it should, of a database that is being made.
func (k *Kubernetes) ApplyCluster(ctx context.Context, in Input) error {
	db, err := k.record(ctx, in)
	if err != nil {
		return err
	}
	return k.applyCluster(ctx, db)
}

// ApplyPooler makes the Pooler be as it should, and lets the team's clients reach it and the instances.
func (k *Kubernetes) ApplyPooler(ctx context.Context, in Input) error {
	db, err := k.record(ctx, in)
	if err != nil {
		return err
	}
	if err := k.apply(ctx, manifest.Clients(db)); err != nil {
		return err
	}
	return k.apply(ctx, manifest.Pooler(db, k.Platform))
}

// CreateCredentials makes the Secrets with the passwords of the owner and of the worker's own role, once: a password
// that is there stays.
func (k *Kubernetes) CreateCredentials(ctx context.Context, in Input) error {
	db, err := k.record(ctx, in)
	if err != nil {
		return err
	}
	if err := k.createOnce(ctx, manifest.Credentials(db, rand.Text())); err != nil {
		return err
	}
	return k.createOnce(ctx, manifest.WorkerCredentials(db, rand.Text()))
}

// createOnce leaves a Secret that is there as it is.
func (k *Kubernetes) createOnce(ctx context.Context, secret *corev1.Secret) error {
	if err := k.Client.Create(ctx, secret); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	return nil
}

// WaitReady waits until the Cluster and the Pooler run all of what was asked for.
func (k *Kubernetes) WaitReady(ctx context.Context, in Input) error {
	db, err := k.record(ctx, in)
	if err != nil {
		return err
	}
	return k.wait(ctx, in, func(ctx context.Context) (bool, string, error) { return ready(ctx, k.Watch, db) })
}

func (k *Kubernetes) wait(ctx context.Context, in Input, look look) error {
	w := waiter{watch: k.Watch, operations: k.Holds}
	if k.Diagnosis != nil {
		w.diagnose = func(ctx context.Context) (*daap.Cause, error) {
			db, err := k.record(ctx, in)
			if err != nil {
				return nil, err
			}
			return k.Diagnosis.Of(ctx, db)
		}
	}
	return w.until(ctx, in, look)
}

// record reads the row of the database, whosever it is.
func (k *Kubernetes) record(ctx context.Context, in Input) (daap.Database, error) {
	db, err := k.Databases.Database(ctx, daap.EveryTeam, in.Database)
	if err != nil {
		return db, fmt.Errorf("read database %s: %w", in.Database, err)
	}
	return db, nil
}

func (k *Kubernetes) applyCluster(ctx context.Context, db daap.Database) error {
	if err := k.beforeCluster(ctx, db); err != nil {
		return err
	}
	return k.apply(ctx, manifest.Cluster(db, k.Platform))
}

// changeCluster brings the Cluster that is there to what the database's record says.
func (k *Kubernetes) changeCluster(ctx context.Context, db daap.Database) error {
	if err := k.beforeCluster(ctx, db); err != nil {
		return err
	}
	return k.change(ctx, db, manifest.Cluster(db, k.Platform))
}

// beforeCluster sees to what the Cluster needs.
func (k *Kubernetes) beforeCluster(ctx context.Context, db daap.Database) error {
	if err := k.imageKnown(db); err != nil {
		return err
	}
	// The worker had no role of its own in databases that were made before.
	return k.createOnce(ctx, manifest.WorkerCredentials(db, rand.Text()))
}

// change applies the Cluster that is there, and never makes one: it would be an empty database under the name of the
// one that was. It is final where there is none.
func (k *Kubernetes) change(ctx context.Context, db daap.Database, built *cnpgv1.Cluster) error {
	there, err := clusterOf(ctx, k.Client, db)
	if apierrors.IsNotFound(err) {
		return final(because(daap.CauseClusterGone, "Cluster %s is gone", built.Name))
	}
	if err != nil {
		return err
	}
	built.UID = there.UID // an object that is named so Kubernetes refuses to make
	return k.apply(ctx, built)
}

// imageKnown is final where there is no image of the database's PostgreSQL: without one the operator would take its
// own default, which may be of another version.
func (k *Kubernetes) imageKnown(db daap.Database) error {
	if k.Platform.PostgresImages[db.Profile.PGVersion] != "" {
		return nil
	}
	return final(because(daap.CauseVersionUnknown, "The worker has no image for PostgreSQL %s, only for %s",
		db.Profile.PGVersion, strings.Join(k.Platform.PostgresImages.Versions(), ", ")))
}

// apply makes the object be as it is built, by server-side apply.
func (k *Kubernetes) apply(ctx context.Context, built client.Object) error {
	object, err := manifest.Sent(built)
	if err != nil {
		return err
	}
	err = k.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object),
		client.FieldOwner(manifest.FieldOwner), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}

// secretValue reads one key of a Secret of the database.
func (k *Kubernetes) secretValue(ctx context.Context, namespace, name, key string) ([]byte, error) {
	var secret corev1.Secret
	if err := k.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &secret); err != nil {
		return nil, fmt.Errorf("get secret %s/%s: %w", namespace, name, err)
	}
	value, ok := secret.Data[key]
	if !ok {
		return nil, fmt.Errorf("get secret %s/%s: key %s is missing", namespace, name, key)
	}
	return value, nil
}
