// Package cluster is DAAP's client of Kubernetes: it applies objects, reverts the changes of other writers, watches
// objects, and derives the conditions of databases from them.
package cluster

import (
	"context"
	"fmt"
	"net"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// Kubernetes reads and writes the objects of databases. It changes only objects that DAAP owns.
type Kubernetes struct {
	// Client reads from the API server.
	Client client.Client
	// Watch is the shared watch: reading it costs the API server nothing, and the result may be slightly old.
	Watch *Watch
}

// GoneError is the error of a change to a Cluster that does not exist.
type GoneError struct{ Cluster string }

// Error names the Cluster.
func (e *GoneError) Error() string { return "Cluster " + e.Cluster + " is gone" }

// The interval and the timeout of the checks whether Kubernetes has processed a newly granted right.
const (
	grantInterval = 10 * time.Millisecond
	grantTimeout  = 2 * time.Second
)

// Apply applies the object with server-side apply. Safe to repeat.
func (k *Kubernetes) Apply(ctx context.Context, built client.Object) error {
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

// CreateOnce creates the Secret; an existing one stays unchanged, and so does the argument.
func (k *Kubernetes) CreateOnce(ctx context.Context, secret *corev1.Secret) error {
	if err := k.Client.Create(ctx, secret.DeepCopy()); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	return nil
}

// Change applies the existing Cluster. It never creates one, because that would be an empty database under the name of
// the previous one. Errors: GoneError if there is no Cluster.
func (k *Kubernetes) Change(ctx context.Context, db daap.Database, built *cnpgv1.Cluster) error {
	there, err := Get(ctx, k.Client, db)
	if apierrors.IsNotFound(err) {
		return &GoneError{Cluster: built.Name}
	}
	if err != nil {
		return err
	}
	built.UID = there.UID // Kubernetes refuses to create an object that has a UID
	return k.Apply(ctx, built)
}

// GrantWorker grants the worker its rights in the database's namespace.
func (k *Kubernetes) GrantWorker(ctx context.Context, db daap.Database) error {
	if err := k.Apply(ctx, manifest.WorkerRights(db)); err != nil {
		return err
	}
	return k.AwaitRights(ctx, db)
}

// AwaitRights waits up to grantTimeout until Kubernetes has processed the worker's rights in the database's namespace:
// it would refuse the next requests otherwise. If that takes longer, there is no error, and the caller's next request
// is retried.
func (k *Kubernetes) AwaitRights(ctx context.Context, db daap.Database) error {
	seen := func(ctx context.Context) (bool, error) { return k.May(ctx, "create", "secrets", daap.Namespace(db.ID)) }
	err := wait.PollUntilContextTimeout(ctx, grantInterval, grantTimeout, true, seen)
	if wait.Interrupted(err) {
		return ctx.Err()
	}
	return err
}

// May checks whether the worker has the right in the namespace; in all namespaces if namespace is empty.
func (k *Kubernetes) May(ctx context.Context, verb, resource, namespace string) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Resource: resource, Namespace: namespace},
	}}
	if err := k.Client.Create(ctx, review); err != nil {
		return false, fmt.Errorf("check whether the worker may %s %s: %w", verb, resource, err)
	}
	return review.Status.Allowed, nil
}

// SecretValue reads one key of a Secret of the database.
func (k *Kubernetes) SecretValue(ctx context.Context, namespace, name, key string) ([]byte, error) {
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

// ServiceIP returns the address of a Service of the database.
func (k *Kubernetes) ServiceIP(ctx context.Context, namespace, name string) (string, error) {
	var found corev1.Service
	key := client.ObjectKey{Namespace: namespace, Name: name}
	if err := k.Client.Get(ctx, key, &found); err != nil {
		return "", fmt.Errorf("get service %s: %w", key, err)
	}
	if net.ParseIP(found.Spec.ClusterIP) == nil {
		return "", fmt.Errorf("get service %s: it has no address", key)
	}
	return found.Spec.ClusterIP, nil
}

// Delete deletes the object; a missing object is not an error.
func (k *Kubernetes) Delete(ctx context.Context, object client.Object) error {
	if err := k.Client.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete %T %s: %w", object, client.ObjectKeyFromObject(object), err)
	}
	return nil
}

// Count returns the number of objects of the kind in the namespace. It asks the API server, because the shared watch
// may lack the newest objects.
func (k *Kubernetes) Count(ctx context.Context, kind schema.GroupVersionKind, namespace string) (int, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err := k.Client.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return 0, fmt.Errorf("list every %s in %s: %w", kind.Kind, namespace, err)
	}
	return len(list.Items), nil
}
