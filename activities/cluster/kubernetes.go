// Package cluster is what DAAP does with Kubernetes: it applies objects, takes them back from others, watches them, and
// derives the conditions of a database from them.
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

// Kubernetes reads and writes the objects of databases. It changes nothing that DAAP does not own.
type Kubernetes struct {
	// Client asks the API server itself.
	Client client.Client
	// Watch is the shared watch: what it has costs the API server nothing, and may be a moment old.
	Watch *Watch
}

// GoneError is the error of a change to a Cluster that is not there.
type GoneError struct{ Cluster string }

// Error names the Cluster.
func (e *GoneError) Error() string { return "Cluster " + e.Cluster + " is gone" }

// How long and how often Kubernetes is asked whether it has seen a right that was given.
const (
	grantInterval = 10 * time.Millisecond
	grantTimeout  = 2 * time.Second
)

// Apply makes the object be as it is built, by server-side apply. Safe to repeat.
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

// CreateOnce creates the Secret; one that is there stays as it is.
func (k *Kubernetes) CreateOnce(ctx context.Context, secret *corev1.Secret) error {
	if err := k.Client.Create(ctx, secret); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	return nil
}

// Change applies the Cluster that is there, and never makes one: it would be an empty database under the name of the
// one that was. Errors: GoneError where there is none.
func (k *Kubernetes) Change(ctx context.Context, db daap.Database, built *cnpgv1.Cluster) error {
	there, err := Get(ctx, k.Client, db)
	if apierrors.IsNotFound(err) {
		return &GoneError{Cluster: built.Name}
	}
	if err != nil {
		return err
	}
	built.UID = there.UID // an object that is named so Kubernetes refuses to make
	return k.Apply(ctx, built)
}

// GrantWorker gives the worker its rights in the database's namespace.
func (k *Kubernetes) GrantWorker(ctx context.Context, db daap.Database) error {
	if err := k.Apply(ctx, manifest.WorkerRights(db)); err != nil {
		return err
	}
	return k.AwaitRights(ctx, db)
}

// AwaitRights waits a moment until Kubernetes has seen the worker's rights in the database's namespace, or what comes
// next would be refused. Where that takes longer, what comes next is tried again.
func (k *Kubernetes) AwaitRights(ctx context.Context, db daap.Database) error {
	seen := func(ctx context.Context) (bool, error) { return k.May(ctx, "create", "secrets", daap.Namespace(db.ID)) }
	err := wait.PollUntilContextTimeout(ctx, grantInterval, grantTimeout, true, seen)
	if wait.Interrupted(err) {
		return ctx.Err()
	}
	return err
}

// May asks whether the worker has the right in the namespace; in all of them where that is empty.
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

// Delete deletes the object; one that is gone is fine.
func (k *Kubernetes) Delete(ctx context.Context, object client.Object) error {
	if err := k.Client.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete %T %s: %w", object, client.ObjectKeyFromObject(object), err)
	}
	return nil
}

// Count returns how many objects of the kind Kubernetes itself has in the namespace: the shared watch may not have seen
// the newest.
func (k *Kubernetes) Count(ctx context.Context, kind schema.GroupVersionKind, namespace string) (int, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err := k.Client.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return 0, fmt.Errorf("list every %s in %s: %w", kind.Kind, namespace, err)
	}
	return len(list.Items), nil
}
