package activities

import (
	"context"
	"fmt"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// DeleteWorkloads deletes every Pooler and Cluster in the database's namespace and waits until their pods
// and volume claims are gone. What is gone already is fine. Where that is no undo, the operation's receipt has what
// there was.
func (k *Kubernetes) DeleteWorkloads(ctx context.Context, in Input) error {
	stays, err := k.enterNamespace(ctx, in)
	if err != nil {
		return err
	}
	if !in.Undo {
		if err := k.keepReceipt(ctx, in, stays); err != nil {
			return err
		}
	}
	namespace := client.InNamespace(daap.Namespace(in.Database))
	kinds := []client.Object{&cnpgv1.Pooler{}, &cnpgv1.Cluster{}}
	if !stays {
		kinds = nil // they go with the namespace
	}
	for _, kind := range kinds {
		if err := k.Client.DeleteAllOf(ctx, kind, namespace); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete all %T objects in %s: %w", kind, namespace, err)
		}
	}
	return k.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		lists := []client.ObjectList{&cnpgv1.ClusterList{}, &corev1.PodList{}, &corev1.PersistentVolumeClaimList{}}
		for _, list := range lists {
			if left, err := k.left(ctx, list, namespace); err != nil || left > 0 {
				return false, fmt.Sprintf("%d %T objects still exist", left, list), err
			}
		}
		return true, "", nil
	})
}

// enterNamespace gives the worker its rights in the database's namespace, which may be half made, and says whether it
// stays: false where it is gone or being deleted, and the rights with it.
func (k *Kubernetes) enterNamespace(ctx context.Context, in Input) (stays bool, err error) {
	db, err := k.record(ctx, in)
	if err != nil {
		return false, err
	}
	var namespace corev1.Namespace
	err = k.Client.Get(ctx, client.ObjectKey{Name: daap.Namespace(db.ID)}, &namespace)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("get namespace of database %s: %w", db.ID, err)
	}
	if namespace.DeletionTimestamp != nil {
		return false, nil
	}
	return true, k.enter(ctx, db)
}

// receipts keeps what deletions remove.
type receipts interface {
	// SaveReceipt adds to the operation's receipt what was counted.
	SaveReceipt(ctx context.Context, operation uuid.UUID, counted daap.Receipt) error
}

// counted are the kinds of objects that a receipt counts.
func counted() map[string]client.ObjectList {
	stores := &unstructured.UnstructuredList{}
	stores.SetAPIVersion(manifest.ObjectStoreVersion)
	stores.SetKind("ObjectStoreList")
	return map[string]client.ObjectList{
		"Cluster": &cnpgv1.ClusterList{}, "Pooler": &cnpgv1.PoolerList{}, "Pod": &corev1.PodList{},
		"PersistentVolumeClaim": &corev1.PersistentVolumeClaimList{}, "Secret": &corev1.SecretList{},
		"Service": &corev1.ServiceList{}, "ScheduledBackup": &cnpgv1.ScheduledBackupList{},
		"Backup": &cnpgv1.BackupList{}, "ObjectStore": stores,
	}
}

// RemovalBegun says whether the operation has begun to remove something before, in a run that was lost: what it had to
// see to first is done then, and cannot be done again.
func (k *Kubernetes) RemovalBegun(ctx context.Context, in Input) (bool, error) {
	op, err := k.Databases.Operation(ctx, daap.EveryTeam, in.Operation)
	if err != nil {
		return false, fmt.Errorf("read operation %s: %w", in.Operation, err)
	}
	return op.Receipt != nil, nil
}

// keepReceipt counts what is about to be removed from Kubernetes; of a namespace that does not stay, what of it may
// still be seen.
func (k *Kubernetes) keepReceipt(ctx context.Context, in Input, stays bool) error {
	receipt := daap.Receipt{Kubernetes: map[string]int{}}
	err := k.Client.Get(ctx, client.ObjectKey{Name: daap.Namespace(in.Database)}, &corev1.Namespace{})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get namespace of database %s: %w", in.Database, err)
	}
	kinds := counted()
	if err != nil {
		kinds = nil // nothing is in a namespace that is not there, and nobody may look
	} else {
		receipt.Kubernetes["Namespace"] = 1
	}
	for kind, list := range kinds {
		n, err := k.left(ctx, list, client.InNamespace(daap.Namespace(in.Database)))
		if apierrors.IsForbidden(err) && !stays {
			continue
		}
		if err != nil {
			return err
		}
		if n > 0 {
			receipt.Kubernetes[kind] = n
		}
	}
	if err := k.Receipts.SaveReceipt(ctx, in.Operation, receipt); err != nil {
		return fmt.Errorf("save the receipt: %w", err)
	}
	return nil
}

// left counts what Kubernetes itself still has: the shared watch may not have seen the newest objects.
func (k *Kubernetes) left(ctx context.Context, list client.ObjectList, in client.InNamespace) (int, error) {
	if err := k.Client.List(ctx, list, in); err != nil {
		return 0, fmt.Errorf("list %T in %s: %w", list, in, err)
	}
	return apimeta.LenList(list), nil
}

// DeleteNamespace deletes the database's namespace with all in it and waits until it is gone. The keys to the object
// store that were in it are good for nothing then.
func (k *Kubernetes) DeleteNamespace(ctx context.Context, in Input) error {
	db, err := k.record(ctx, in)
	if err != nil {
		return err
	}
	stays, err := k.enterNamespace(ctx, in)
	if err != nil {
		return err
	}
	if err := k.invalidateIssued(ctx, db, stays); err != nil {
		return err
	}
	var namespace corev1.Namespace
	namespace.Name = daap.Namespace(in.Database)
	if err := k.Client.Delete(ctx, &namespace); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete namespace %s: %w", namespace.Name, err)
	}
	return k.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		err := k.Client.Get(ctx, client.ObjectKeyFromObject(&namespace), &namespace)
		if apierrors.IsNotFound(err) {
			return true, "", nil
		}
		if err != nil {
			return false, "", fmt.Errorf("get namespace %s: %w", namespace.Name, err)
		}
		return false, beingDeleted(&namespace), nil
	})
}

// RemoveNamespace deletes the database's namespace and waits until it and the volumes of its claims are gone: the
// undo of all that was made in it.
func (k *Kubernetes) RemoveNamespace(ctx context.Context, in Input) error {
	if err := k.DeleteNamespace(ctx, in); err != nil {
		return err
	}
	return k.WaitVolumesGone(ctx, in)
}

// beingDeleted says what holds a namespace's deletion up, as Kubernetes tells it in its conditions.
func beingDeleted(namespace *corev1.Namespace) string {
	for _, condition := range namespace.Status.Conditions {
		if condition.Status == corev1.ConditionTrue && condition.Message != "" {
			return withReason("Namespace is being deleted", condition.Message)
		}
	}
	return "Namespace is being deleted"
}

// WaitVolumesGone waits until no PersistentVolume is bound to a claim of the database.
func (k *Kubernetes) WaitVolumesGone(ctx context.Context, in Input) error {
	return k.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		var volumes corev1.PersistentVolumeList
		if err := k.Client.List(ctx, &volumes); err != nil {
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
