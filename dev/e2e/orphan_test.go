//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"

	"github.com/daap-dev/daap/api/oas"
)

// aboutOrphans are the blocks of the runbook about what was left behind, and about what must be gone.
var aboutOrphans = []string{"reap", "orphans", "remove-orphan", "purge"}

// TestOrphanIsFoundAndRemovedOnRequestAlone is not parallel: the health is degraded meanwhile. It has an archive of a database that never was, beside that of one that is
// there, which the runbook then deletes for good.
func TestOrphanIsFoundAndRemovedOnRequestAlone(t *testing.T) {
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
	blocks := runbook(t)
	run := func(block string, env ...string) string {
		t.Helper()
		return shell(ctx, t, blocks["setup"]+blocks[block], append(env, "operation="+uuid.NewString())...)
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
	listed(t, run("orphans"), nobodys.String(), "There is no database of its ID")
	if _, err := store.StatObject(ctx, "daap-e2e", name, minio.StatObjectOptions{}); err != nil {
		t.Errorf("it was removed before anybody asked: %v", err)
	}
	listed(t, run("remove-orphan", "orphan="+orphan.ID.String()), "removal_requested_at")
	until(ctx, t, "it is removed", func() bool {
		found, err := stack.API.ListOrphans(ctx, oas.ListOrphansParams{})
		return err == nil && len(found.Data) == 0
	})
	if _, err := store.StatObject(ctx, "daap-e2e", name, minio.StatObjectOptions{}); err == nil {
		t.Error("it is still there")
	}
	listed(t, run("purge", "database="+db.ID.String()), `"possible": true`, "All backups, to the last version.", `"succeeded"`, "kubernetes_objects")
}
