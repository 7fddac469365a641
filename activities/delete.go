package activities

import (
	"context"
	"fmt"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/objectstore"
)

// DeleteWorkloads deletes every Pooler and Cluster in the database's namespace, and waits until their pods and volume
// claims are gone. Missing objects are not an error. Unless this is an undo, it records the objects in the operation's
// receipt first.
func (s *Steps) DeleteWorkloads(ctx context.Context, in Input) error {
	stays, err := s.enterNamespace(ctx, in)
	if err != nil {
		return err
	}
	if !in.Undo {
		if err := s.keepReceipt(ctx, in, stays); err != nil {
			return err
		}
	}
	namespace := daap.Namespace(in.Database)
	kinds := []client.Object{&cnpgv1.Pooler{}, &cnpgv1.Cluster{}}
	if !stays {
		kinds = nil // they are deleted with the namespace
	}
	for _, kind := range kinds {
		if err := s.Cluster.Client.DeleteAllOf(ctx, kind, client.InNamespace(namespace)); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete all %T objects in %s: %w", kind, namespace, err)
		}
	}
	return s.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		for _, kind := range []schema.GroupVersionKind{
			manifest.ClusterKind, corev1.SchemeGroupVersion.WithKind("Pod"),
			corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"),
		} {
			if left, err := s.Cluster.Count(ctx, kind, namespace); err != nil || left > 0 {
				return false, fmt.Sprintf("%d objects of kind %s are left", left, kind.Kind), err
			}
		}
		return true, "", nil
	})
}

// enterNamespace grants the worker its rights in the database's namespace, which may be incomplete, and reports whether
// the namespace stays: false if it is gone or being deleted, and the rights with it.
func (s *Steps) enterNamespace(ctx context.Context, in Input) (stays bool, err error) {
	db, err := s.database(ctx, in)
	if err != nil {
		return false, err
	}
	var namespace corev1.Namespace
	err = s.Cluster.Client.Get(ctx, client.ObjectKey{Name: daap.Namespace(db.ID)}, &namespace)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("get namespace of database %s: %w", db.ID, err)
	}
	if namespace.DeletionTimestamp != nil {
		return false, nil
	}
	return true, s.Cluster.GrantWorker(ctx, db)
}

// madeByCNPG are the kinds of objects that CloudNativePG creates for a database and that a receipt counts, in addition
// to DAAP's.
func madeByCNPG() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{
		corev1.SchemeGroupVersion.WithKind("Pod"), corev1.SchemeGroupVersion.WithKind("PersistentVolumeClaim"),
		corev1.SchemeGroupVersion.WithKind("Service"), cnpgv1.SchemeGroupVersion.WithKind("Backup"),
	}
}

// keepReceipt counts the objects that are about to be deleted from Kubernetes. In a namespace that is being deleted, it
// counts those that the worker may still read.
func (s *Steps) keepReceipt(ctx context.Context, in Input, stays bool) error {
	receipt := daap.Receipt{Kubernetes: map[string]int{}}
	err := s.Cluster.Client.Get(ctx, client.ObjectKey{Name: daap.Namespace(in.Database)}, &corev1.Namespace{})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get namespace of database %s: %w", in.Database, err)
	}
	kinds := append(manifest.Kinds(), madeByCNPG()...)
	if err != nil {
		kinds = nil // a missing namespace has no objects, and the worker has no rights in it
	}
	for _, kind := range kinds {
		if kind.Kind == "Namespace" {
			receipt.Kubernetes[kind.Kind] = 1
			continue
		}
		n, err := s.Cluster.Count(ctx, kind, daap.Namespace(in.Database))
		if apierrors.IsForbidden(err) && !stays {
			continue
		}
		if err != nil {
			return err
		}
		if n > 0 {
			receipt.Kubernetes[kind.Kind] = n
		}
	}
	if err := s.Results.SaveReceipt(ctx, in.Operation, receipt); err != nil {
		return fmt.Errorf("save the receipt: %w", err)
	}
	return nil
}

// DeleteNamespace deletes the database's namespace with everything in it, and waits until it is gone. It invalidates
// the keys to the object store that the namespace contains.
func (s *Steps) DeleteNamespace(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	stays, err := s.enterNamespace(ctx, in)
	if err != nil {
		return err
	}
	if err := s.Keys.InvalidateIssued(ctx, db, stays); err != nil {
		return err
	}
	var namespace corev1.Namespace
	namespace.Name = daap.Namespace(in.Database)
	if err := s.Cluster.Delete(ctx, &namespace); err != nil {
		return err
	}
	return s.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		err := s.Cluster.Client.Get(ctx, client.ObjectKeyFromObject(&namespace), &namespace)
		if apierrors.IsNotFound(err) {
			return true, "", nil
		}
		if err != nil {
			return false, "", fmt.Errorf("get namespace %s: %w", namespace.Name, err)
		}
		return false, beingDeleted(&namespace), nil
	})
}

// beingDeleted returns the reason why the namespace still exists, as Kubernetes reports it in the conditions.
func beingDeleted(namespace *corev1.Namespace) string {
	for _, condition := range namespace.Status.Conditions {
		if condition.Status == corev1.ConditionTrue && condition.Message != "" {
			return diagnosis.WithReason("Namespace is being deleted", condition.Message)
		}
	}
	return "Namespace is being deleted"
}

// WaitVolumesGone waits until no PersistentVolume is bound to a claim of the database.
func (s *Steps) WaitVolumesGone(ctx context.Context, in Input) error {
	return s.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		var volumes corev1.PersistentVolumeList
		if err := s.Cluster.Client.List(ctx, &volumes); err != nil {
			return false, "", fmt.Errorf("list persistent volumes: %w", err)
		}
		for _, volume := range volumes.Items {
			claim := volume.Spec.ClaimRef
			if claim == nil || claim.Namespace != daap.Namespace(in.Database) {
				continue
			}
			if volume.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain {
				continue // the platform's storage class keeps volumes; there is nothing to wait for
			}
			return false, fmt.Sprintf("PersistentVolume %s is %s", volume.Name, volume.Status.Phase), nil
		}
		return true, "", nil
	})
}

// DeleteNamespaceAndVolumes deletes the database's namespace and waits until it and the volumes of its claims are gone.
// It is the undo of every step that creates objects there.
func (s *Steps) DeleteNamespaceAndVolumes(ctx context.Context, in Input) error {
	if err := s.DeleteNamespace(ctx, in); err != nil {
		return err
	}
	return s.WaitVolumesGone(ctx, in)
}

// DeleteArchive deletes all backups of a database whose workloads are gone, so that nothing writes to the archive any
// more. It ends when the object store has nothing left of them. It first invalidates the database's keys.
func (s *Steps) DeleteArchive(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	if s.Archives.Store == nil {
		return objectstore.ErrNoStore
	}
	return alive(ctx, func() error { return s.deleteArchive(ctx, in, db) })
}

func (s *Steps) deleteArchive(ctx context.Context, in Input, db daap.Database) error {
	if err := s.Keys.Invalidate(ctx, db.ID, manifest.ArchiveCredentials); err != nil {
		return err
	}
	there, err := s.Archives.Count(ctx, db)
	if err != nil {
		return err
	}
	counted := daap.Receipt{Objects: int64(there.Objects), Bytes: there.Bytes}
	if err := s.Results.SaveReceipt(ctx, in.Operation, counted); err != nil {
		return fmt.Errorf("save the receipt: %w", err)
	}
	if err := s.Archives.AbortUploads(ctx, db); err != nil {
		return err
	}
	removed := 0
	err = s.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		for range removalsAtOnce {
			some, err := s.Archives.RemoveSome(ctx, db)
			if err != nil {
				return false, "", err
			}
			if some.Objects == 0 {
				return true, "", nil
			}
			removed += some.Objects
		}
		return false, fmt.Sprintf("%d of %d objects are removed", removed, there.Objects), nil
	})
	if err != nil {
		return err
	}
	if there, err = s.Archives.Count(ctx, db); err != nil {
		return err
	}
	if there.Objects > 0 {
		return fmt.Errorf("%d objects reappeared: something still writes to the archive", there.Objects)
	}
	now := time.Now()
	return s.Results.SaveReceipt(ctx, in.Operation, daap.Receipt{RelistedAt: &now})
}

// removalsAtOnce is the number of removals between two reports of progress.
const removalsAtOnce = 10
