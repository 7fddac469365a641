//go:build e2e

package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// TestOrphanIsFoundAndRemovedOnRequestAlone puts an archive of a database that never was beside that of one that is
// there, which the runbook then deletes for good. Other tests leave orphans too, for a moment.
func TestOrphanIsFoundAndRemovedOnRequestAlone(t *testing.T) {
	parallel(t, needsStore, degrades)
	ctx := t.Context()
	keepingTier(ctx, t, "e2e-orphans")
	db, operation := createOn(ctx, t, "e2e-orphans", "e2e", "no-orphan")
	succeed(ctx, t, operation)
	nobodys := uuid.New()
	name := "backups/" + nobodys.String() + "/pg-1/wals/left"
	store := objectStore(t)
	if _, err := store.PutObject(ctx, "daap-e2e", name, strings.NewReader("left"), 4, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	fleet := pageOf(t, "docs/operators/fleet.md")
	run := func(block string, env ...string) string {
		t.Helper()
		return fleet.run(ctx, t, block, env...)
	}
	run("reap")
	var orphan oas.Orphan
	until(ctx, t, "it is found", func() bool {
		found, err := stack.API.ListOrphans(ctx, oas.ListOrphansParams{})
		if err != nil {
			return false
		}
		for _, o := range found.Data {
			if o.DatabaseID == db.ID {
				t.Fatalf("what a database has is taken for an orphan: %+v", o)
			}
			if o.DatabaseID == nobodys {
				orphan = o
			}
		}
		return orphan.Kind == oas.OrphanKindArchive && orphan.Name == destination+"/"+nobodys.String()
	})
	if health, err := stack.API.GetHealth(ctx); err != nil || health.Data.Status != oas.HealthStatusDegraded {
		t.Errorf("the health is %+v (%v), want degraded while something was left behind", health, err)
	}
	listed(t, run("orphans"), nobodys.String(), "No database has ever had its ID")
	if _, err := store.StatObject(ctx, "daap-e2e", name, minio.StatObjectOptions{}); err != nil {
		t.Errorf("it was removed before anybody asked: %v", err)
	}
	listed(t, run("remove-orphan", "orphan="+orphan.ID.String()), "removal_requested_at")
	until(ctx, t, "it is removed", func() bool { return len(orphansOf(ctx, t, nobodys)) == 0 })
	if _, err := store.StatObject(ctx, "daap-e2e", name, minio.StatObjectOptions{}); err == nil {
		t.Error("it is still there")
	}
	volumeIsRemoved(ctx, t, db.ID, run)
	listed(t, run("purge", "database="+db.ID.String()), `"possible": true`, "All backups, including all object "+
		"versions.", `"succeeded"`, "kubernetes_objects")
}

// volumeIsRemoved archives the database and has a volume be there that is of a claim of its.
func volumeIsRemoved(ctx context.Context, t *testing.T, id uuid.UUID, run func(block string, env ...string) string) {
	t.Helper()
	accepted, err := stack.API.DeleteDatabase(ctx, oas.DeleteDatabaseParams{
		ID: id, Strategy: oas.NewOptDestructionStrategy(oas.DestructionStrategyArchive),
	})
	if err != nil {
		t.Fatal(err)
	}
	succeed(ctx, t, accepted.Response.Meta.OperationID)
	volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "e2e-left"}, Spec: nobodysVolume(daap.Namespace(id), "pg-1-1")}
	volume.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimDelete
	if err := stack.Kubernetes.Create(ctx, volume); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Kubernetes.Delete(context.WithoutCancel(ctx), volume); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	run("reap")
	until(ctx, t, "the volume is found", func() bool {
		found := orphansOf(ctx, t, id)
		if len(found) == 0 {
			return false
		}
		if len(found) != 1 || found[0].Kind != oas.OrphanKindPersistentVolume {
			t.Fatalf("orphans are %+v, want the volume alone", found)
		}
		run("remove-orphan", "orphan="+found[0].ID.String())
		return true
	})
	until(ctx, t, "the volume is removed", func() bool {
		return apierrors.IsNotFound(stack.Kubernetes.Get(ctx, client.ObjectKeyFromObject(volume), volume))
	})
}

func orphansOf(ctx context.Context, t *testing.T, database uuid.UUID) []oas.Orphan {
	t.Helper()
	found, err := stack.API.ListOrphans(ctx, oas.ListOrphansParams{})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(found.Data, func(o oas.Orphan) bool { return o.DatabaseID != database })
}
