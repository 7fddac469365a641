package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/daap-dev/daap/activities/manifest"
)

// TakeOver transfers the fields of other writers in the object to DAAP, so that the next apply removes those that DAAP
// does not set. It reports whether there were any.
func (k *Kubernetes) TakeOver(ctx context.Context, built client.Object) (bool, error) {
	object, err := manifest.Sent(built)
	if err != nil {
		return false, err
	}
	there := &unstructured.Unstructured{}
	there.SetGroupVersionKind(object.GroupVersionKind())
	err = k.Client.Get(ctx, client.ObjectKeyFromObject(object), there)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("get %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	if err != nil {
		return false, nil
	}
	if bound := there.Object["roleRef"]; !equality.Semantic.DeepEqual(bound, object.Object["roleRef"]) {
		return true, k.remove(ctx, there) // the role of a RoleBinding is immutable
	}
	entries, taken, err := takenOver(there.GetManagedFields(), there.GetAPIVersion())
	if err != nil || !taken {
		return false, err
	}
	// A change since the object was read is a conflict: the next attempt reads the object again.
	patch, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/managedFields", "value": entries},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": there.GetResourceVersion()},
	})
	if err != nil {
		return false, fmt.Errorf("encode the managed fields of %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	err = k.Client.Patch(ctx, there, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(manifest.FieldOwner))
	if err != nil {
		return false, fmt.Errorf("take over %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return true, nil
}

// takenOver returns the entries with the desired-state fields of all foreign writers, as if DAAP had applied them: its
// next apply then removes those that it does not set. false means that there is nothing to take over. It can transfer
// only fields of the same API version.
func takenOver(entries []metav1.ManagedFieldsEntry, apiVersion string) ([]metav1.ManagedFieldsEntry, bool, error) {
	taken := fieldpath.NewSet()
	var left []metav1.ManagedFieldsEntry
	for _, entry := range entries {
		if !isForeign(entry) || entry.APIVersion != apiVersion {
			left = append(left, entry)
			continue
		}
		fields, err := fieldsOf(entry)
		if err != nil {
			return nil, false, err
		}
		counts := counting(fields)
		taken = taken.Union(counts)
		if fields = fields.Difference(counts); !fields.Empty() {
			if entry, err = withFields(entry, fields); err != nil {
				return nil, false, err
			}
			left = append(left, entry)
		}
	}
	if taken.Empty() {
		return entries, false, nil
	}
	at := slices.IndexFunc(left, func(entry metav1.ManagedFieldsEntry) bool {
		return isApplied(entry) && entry.APIVersion == apiVersion
	})
	if at < 0 {
		at = len(left)
		left = append(left, metav1.ManagedFieldsEntry{
			Manager: manifest.FieldOwner, Operation: metav1.ManagedFieldsOperationApply,
			APIVersion: apiVersion, FieldsType: "FieldsV1",
		})
	}
	own, err := fieldsOf(left[at])
	if err != nil {
		return nil, false, err
	}
	left[at], err = withFields(left[at], own.Union(taken))
	return left, true, err
}

// withFields returns the entry with other fields.
func withFields(entry metav1.ManagedFieldsEntry, fields *fieldpath.Set) (metav1.ManagedFieldsEntry, error) {
	raw, err := fields.ToJSON()
	if err != nil {
		return entry, fmt.Errorf("encode the fields of manager %s: %w", entry.Manager, err)
	}
	entry.FieldsV1 = metav1.NewFieldsV1(string(raw))
	return entry, nil
}

// remove deletes the object, unless it was changed or replaced since it was read.
func (k *Kubernetes) remove(ctx context.Context, there *unstructured.Unstructured) error {
	uid, version := there.GetUID(), there.GetResourceVersion()
	err := k.Client.Delete(ctx, there, client.Preconditions{UID: &uid, ResourceVersion: &version})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete %s %s: %w", there.GetKind(), there.GetName(), err)
	}
	return nil
}

// MadeByDAAP reports whether DAAP has applied the object, as it does with every object that it creates.
func MadeByDAAP(object client.Object) bool {
	return slices.ContainsFunc(object.GetManagedFields(), isApplied)
}
