package activities

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

func TestRemovalAcceptsMissingObjects(t *testing.T) {
	t.Parallel()
	namespace := daap.Namespace(orders.ID)
	everything := []client.Object{
		manifest.Namespace(orders), manifest.Cluster(orders, manifest.Platform{}), manifest.Pooler(orders, manifest.Platform{}),
	}
	for name, objects := range map[string][]client.Object{"everything exists": everything, "nothing exists": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := stepsWith(t, objects...)
			for _, remove := range []func(context.Context, Input) error{k.DeleteWorkloads, k.DeleteNamespace, k.WaitVolumesGone} {
				if err := run(t, remove); err != nil {
					t.Fatal(err)
				}
			}
			var clusters cnpgv1.ClusterList
			if err := k.Cluster.Client.List(t.Context(), &clusters, client.InNamespace(namespace)); err != nil || len(clusters.Items) > 0 {
				t.Errorf("clusters = %d, %v, want none", len(clusters.Items), err)
			}
		})
	}
}

// TestRightsDeletedWithTheNamespaceAreNotNeeded lets Kubernetes refuse the requests that need the worker's rights in
// the namespace.
func TestRightsDeletedWithTheNamespaceAreNotNeeded(t *testing.T) {
	t.Parallel()
	going := manifest.Namespace(orders)
	going.Finalizers, going.DeletionTimestamp = []string{"kubernetes"}, &metav1.Time{Time: time.Now()}
	for name, tt := range map[string]struct {
		objects []client.Object
		refused bool
	}{
		"gone":  {nil, false},
		"going": {[]client.Object{going}, false},
		"stays": {[]client.Object{manifest.Namespace(orders)}, true},
	} {
		k := stepsWith(t, tt.objects...)
		intercept(t, k, interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
				_, typed := list.(*corev1.SecretList)
				if typed || list.GetObjectKind().GroupVersionKind().Kind == "SecretList" {
					if tt.objects == nil {
						t.Error("secrets are listed in a deleted namespace")
					}
					return forbiddenTo("list secrets")
				}
				return c.List(ctx, list, o...)
			},
			DeleteAllOf: func(context.Context, client.WithWatch, client.Object, ...client.DeleteAllOfOption) error {
				return forbiddenTo("delete clusters")
			},
		})
		if err := run(t, k.DeleteWorkloads); (err != nil) != tt.refused {
			t.Errorf("where the namespace %s, DeleteWorkloads() = %v, want it refused: %t", name, err, tt.refused)
		}
	}
}

func TestOnlyTheDatabasesOwnVolumesAreWaitedFor(t *testing.T) {
	t.Parallel()
	volume := func(namespace string, policy corev1.PersistentVolumeReclaimPolicy) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: "pv"},
			Spec: corev1.PersistentVolumeSpec{
				ClaimRef: &corev1.ObjectReference{Namespace: namespace}, PersistentVolumeReclaimPolicy: policy,
			},
		}
	}
	tests := map[string]struct {
		volume *corev1.PersistentVolume
		waits  bool
	}{
		"own":           {volume(daap.Namespace(orders.ID), corev1.PersistentVolumeReclaimDelete), true},
		"own, retained": {volume(daap.Namespace(orders.ID), corev1.PersistentVolumeReclaimRetain), false},
		"another's":     {volume("elsewhere", corev1.PersistentVolumeReclaimDelete), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := stepsWith(t, tt.volume)
			held := &holding{lost: daap.ErrSuperseded} // ends the wait at its first recheck
			k.Rows = rowsOf{oneDatabase{}, held}
			err := run(t, k.WaitVolumesGone)
			if (err != nil) != tt.waits || (len(held.steps) > 0) != tt.waits {
				t.Errorf("WaitVolumesGone() = %v with %v, want it to wait: %v", err, held.steps, tt.waits)
			}
		})
	}
}

// receiptOf returns the saved receipt.
func receiptOf(t *testing.T, k *Steps) daap.Receipt {
	t.Helper()
	receipts, is := k.Results.(*kept)
	if !is {
		t.Fatalf("receipts are kept in %T", k.Results)
	}
	return receipts.receipt
}

func TestArchiveIsRemovedUntilNothingIsLeft(t *testing.T) {
	t.Parallel()
	const another = "backups/shop/another/pg-1/wals/1"
	buckets := &store{}
	buckets.put(another, 1, time.Time{})
	for i := range removedBySome * (removalsAtOnce + 2) {
		buckets.put(fmt.Sprintf("backups/shop/%s/pg-1/wals/%d", orders.ID, i), 1, time.Time{})
	}
	k := stepsWith(t)
	k.Rows, k.Archives.Store = rowsOf{keptOrders{}, &holding{}}, buckets
	if err := run(t, k.DeleteArchive); err != nil || len(buckets.objects) != 1 || buckets.objects[another].Size != 1 {
		t.Errorf("DeleteArchive() = %v with %v left, want only another database's objects", err, buckets.objects)
	}
	receipt := receiptOf(t, k)
	if want := int64(removedBySome * (removalsAtOnce + 2)); receipt.Objects != want || receipt.Bytes != want || receipt.RelistedAt == nil {
		t.Errorf("the receipt is %+v, want %d objects of one byte, and nothing left", receipt, want)
	}
	k.Archives.Store = &store{err: errors.New("AccessDenied")}
	if cause := Cause(run(t, k.DeleteArchive), "Remove"); cause.Code != daap.CauseS3Denied {
		t.Errorf("the cause is %+v, want that the store denied access", cause)
	}
	k.Archives.Store = &store{err: errors.New("Object is WORM protected and cannot be overwritten")}
	if cause := Cause(run(t, k.DeleteArchive), "Remove"); cause.Code != daap.CauseObjectLocked {
		t.Errorf("the cause is %+v, want that the objects are locked", cause)
	}
}

// TestReceiptCountsEveryKindThatDAAPMakes has one of each object of a database.
func TestReceiptCountsEveryKindThatDAAPMakes(t *testing.T) {
	t.Parallel()
	r, rows := reconciling(t)
	rows.db.Source = &sourceOfOrders
	want := map[string]int{}
	for _, o := range manifest.Objects(rows.db, r.Platform) {
		want[o.Kind().Kind]++
		object, is := o.Built.DeepCopyObject().(client.Object)
		if !is {
			t.Fatalf("%T is not an object", o.Built)
		}
		if err := r.Cluster.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	kept := &kept{}
	r.Results = kept
	must(t, r.DeleteWorkloads)
	if got := kept.receipt.Kubernetes; !maps.Equal(got, want) {
		t.Errorf("the receipt counts %v, want %v", got, want)
	}
}
