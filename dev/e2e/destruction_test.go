//go:build e2e

package e2e

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// destroyedBy is a tier with backups whose databases are deleted so.
func destroyedBy(ctx context.Context, t *testing.T, name string, strategy oas.DestructionStrategy) uuid.UUID {
	t.Helper()
	return makeTier(ctx, t, oas.CreateTierRequest{
		Name: name, CPU: "100m", Memory: "512Mi", StorageSize: "1Gi", DestructionStrategy: strategy,
		BackupEnabled: oas.NewOptBool(true), BackupFrequency: oas.NewOptString(nightly),
		BackupRetentionDays: oas.NewOptInt(7), ObjectStorageDestination: oas.NewOptString(destination),
	})
}

// destroy deletes the database as its tier says, and waits until that is over.
func destroy(ctx context.Context, t *testing.T, id uuid.UUID, kind oas.OperationKind) {
	t.Helper()
	accepted, err := stack.API.DeleteDatabase(ctx, oas.DeleteDatabaseParams{ID: id})
	if err != nil {
		t.Fatalf("delete database %s: %v", id, err)
	}
	began := time.Now()
	op := succeed(ctx, t, accepted.Response.Meta.OperationID)
	if op.Kind != kind {
		t.Errorf("the operation is %s, want %s", op.Kind, kind)
	}
	t.Logf("%s took %s", kind, time.Since(began).Round(time.Second))
}

// of is a database as it stands.
func of(ctx context.Context, t *testing.T, id uuid.UUID) oas.Database {
	t.Helper()
	found, err := stack.API.GetDatabase(ctx, oas.GetDatabaseParams{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return found.Data
}

// bothWays connects to the database through the pool and directly.
func bothWays(ctx context.Context, t *testing.T, id uuid.UUID) map[string]local.Psql {
	t.Helper()
	conn, err := stack.API.GetDatabaseConnection(ctx, oas.GetDatabaseConnectionParams{ID: id})
	if err != nil {
		t.Fatalf("connection: %v", err)
	}
	ways := map[string]local.Psql{}
	for way, endpoint := range map[string]oas.Endpoint{"pooled": conn.Data.Pooled, "direct": conn.Data.Direct} {
		if ways[way], err = stack.Psql(ctx, conn.Data, endpoint, t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	return ways
}

const written = `CREATE TABLE clock AS SELECT i, clock_timestamp() AS at FROM generate_series(1, 1000) AS i`

func TestFrozenDatabaseRefusesClientsAndComesBackWhole(t *testing.T) {
	parallel(t, long, needsStore)
	ctx := t.Context()
	tier := destroyedBy(ctx, t, "e2e-frozen", oas.DestructionStrategyFreeze)
	db, operation := createOn(ctx, t, "e2e-frozen", "e2e", "frozen")
	succeed(ctx, t, operation)
	before := bothWays(ctx, t, db.ID)
	if _, err := before["direct"].Run(ctx, written); err != nil {
		t.Fatal(err)
	}
	want, err := before["direct"].Run(ctx, checksum)
	if err != nil {
		t.Fatal(err)
	}
	// Somebody works on it, in a transaction that does not end by itself.
	working := make(chan error, 1)
	go func() {
		_, err := before["direct"].Run(ctx, `SELECT pg_sleep(600)`)
		working <- err
	}()

	destroy(ctx, t, db.ID, oas.OperationKindFreezeDatabase)
	if err := <-working; err == nil {
		t.Error("a client went on working on a database that is frozen")
	}
	frozen := of(ctx, t, db.ID)
	if frozen.Status != oas.DatabaseStatusFrozen || !slices.Contains(frozen.AllowedActions, oas.OperationKindUnfreezeDatabase) ||
		slices.Contains(frozen.AllowedActions, oas.OperationKindUpdateDatabase) || frozen.Backup.Value.Health != oas.BackupHealthOk {
		t.Errorf("the database is %+v, want frozen, to be unfrozen, with backups that are well", frozen)
	}
	for way, psql := range before {
		if _, err := psql.Run(ctx, "SELECT 1"); err == nil {
			t.Errorf("a %s connection is taken, want it to be refused", way)
		} else {
			t.Logf("%s: %v", way, err)
		}
	}
	_, err = stack.API.GetDatabaseConnection(ctx, oas.GetDatabaseConnectionParams{ID: db.ID})
	refused(t, err, http.StatusConflict, oas.ErrorCodeWrongStatus)
	_, err = stack.API.DeleteDatabase(ctx, oas.DeleteDatabaseParams{ID: db.ID})
	refused(t, err, http.StatusConflict, oas.ErrorCodeWrongStatus)
	var pods corev1.PodList
	var claims corev1.PersistentVolumeClaimList
	in := client.InNamespace(daap.Namespace(db.ID))
	if err := stack.Kubernetes.List(ctx, &pods, in); err != nil || len(pods.Items) > 0 {
		t.Errorf("%d pods are left (%v), want none", len(pods.Items), err)
	}
	if err := stack.Kubernetes.List(ctx, &claims, in); err != nil || len(claims.Items) != 1 {
		t.Errorf("%d volume claims are left (%v), want one", len(claims.Items), err)
	}
	uses(ctx, t, tier, oas.QuotaUsed{StorageGib: 1, Databases: 1})
	if got := policiesOf(ctx, t, db.ID); !slices.Equal(got, []string{"deny", "platform"}) {
		t.Errorf("the network policies are %v, want none for clients", got)
	}

	began := time.Now()
	woken, err := stack.API.UnfreezeDatabase(ctx, oas.UnfreezeDatabaseParams{ID: db.ID})
	if err != nil {
		t.Fatalf("unfreeze: %v", err)
	}
	succeed(ctx, t, woken.Response.Meta.OperationID)
	t.Logf("unfreeze_database took %s", time.Since(began).Round(time.Second))
	if got := policiesOf(ctx, t, db.ID); !slices.Equal(got, []string{"clients", "deny", "platform"}) {
		t.Errorf("the network policies are %v, want that for clients again", got)
	}
	for way, psql := range bothWays(ctx, t, db.ID) {
		if got, err := psql.Run(ctx, checksum); err != nil || got != want {
			t.Errorf("%s there is %q (%v), want %q", way, got, err, want)
		}
	}
	uses(ctx, t, tier, oas.QuotaUsed{CPUCores: 0.1, MemoryGib: 0.5, StorageGib: 1, Databases: 1})
	backups, err := stack.API.ListBackups(ctx, oas.ListBackupsParams{ID: db.ID})
	if err != nil || len(backups.Data) < 2 {
		t.Errorf("the base backups are %+v (%v), want one more since it is back", backups, err)
	}
	remove(ctx, t, db.ID)
}

func TestArchivedDatabaseIsRestoredAndThenDeletedForGood(t *testing.T) {
	parallel(t, long, needsStore)
	ctx := t.Context()
	destroyedBy(ctx, t, "e2e-archived", oas.DestructionStrategyArchive)
	db, operation := createOn(ctx, t, "e2e-archived", "e2e", "archived")
	succeed(ctx, t, operation)
	psql := psqlOf(ctx, t, db.ID)
	if _, err := psql.Run(ctx, written); err != nil {
		t.Fatal(err)
	}
	want, err := psql.Run(ctx, checksum)
	if err != nil {
		t.Fatal(err)
	}
	preview, err := stack.API.PreviewDelete(ctx, oas.PreviewDeleteParams{ID: db.ID})
	if err != nil || preview.Data.Strategy != oas.DestructionStrategyArchive || !preview.Data.Possible || !preview.Data.Reversible || preview.Data.StaysUntil.Null {
		t.Errorf("the preview is %+v (%v), want that it is archived for a while", preview, err)
	}

	destroy(ctx, t, db.ID, oas.OperationKindArchiveDatabase)
	nothingLeft(ctx, t, db.ID)
	archived := of(ctx, t, db.ID)
	if days := time.Until(archived.ArchivedUntil.Value).Hours() / 24; archived.Status != oas.DatabaseStatusArchived || days < 6.9 || days > 7 {
		t.Errorf("the database is %s until %v, want archived for 7 days", archived.Status, archived.ArchivedUntil)
	}
	last := archived.Backup.Value.LatestRecoverableAt.Value
	_, err = stack.API.RestoreDatabase(ctx, &oas.RestoreDatabaseRequest{Name: "too-late", TargetTime: last.Add(2 * time.Second).Format(time.RFC3339)},
		oas.RestoreDatabaseParams{ID: db.ID})
	refused(t, err, http.StatusUnprocessableEntity, oas.ErrorCodeValidationFailed)
	backups, err := stack.API.ListBackups(ctx, oas.ListBackupsParams{ID: db.ID})
	if err != nil || len(backups.Data) != 2 || backups.Data[0].Status != oas.BackupStatusCompleted {
		t.Errorf("the base backups are %+v (%v), want two that are completed", backups, err)
	}
	began := time.Now()
	latest, latestOp := restore(ctx, t, db.ID, "archived-latest", "latest")
	moment, momentOp := restore(ctx, t, db.ID, "archived-moment", last.Format(time.RFC3339Nano))
	for _, restored := range []struct{ id, operation uuid.UUID }{{latest.ID, latestOp}, {moment.ID, momentOp}} {
		succeed(ctx, t, restored.operation)
		for way, psql := range bothWays(ctx, t, restored.id) {
			if got, err := psql.Run(ctx, checksum); err != nil || got != want {
				t.Errorf("%s there is %q (%v), want %q", way, got, err, want)
			}
		}
	}
	t.Logf("two restores from an archive took %s", time.Since(began).Round(time.Second))
	staysQuiet(ctx, t, db.ID, latest.ID)

	// The prefix of another database may begin with this one's ID.
	neighbour := "backups/" + db.ID.String() + "0/pg-1/wals/there"
	if _, err := objectStore(t).PutObject(ctx, "daap-e2e", neighbour, strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	there := objectsOf(ctx, t, db.ID)
	deleted := remove(ctx, t, db.ID)
	if receipt := deleted.Receipt.Value; receipt.Objects != int64(there) || receipt.Bytes == 0 || receipt.RelistedAt.Null {
		t.Errorf("the receipt is %+v, want %d objects, and that nothing is left", receipt, there)
	}
	if n := objectsOf(ctx, t, db.ID); n > 0 {
		t.Errorf("%d objects are left of a database that is deleted", n)
	}
	if _, err := objectStore(t).StatObject(ctx, "daap-e2e", neighbour, minio.StatObjectOptions{}); err != nil {
		t.Errorf("what another database has is gone: %v", err)
	}
	for _, id := range []uuid.UUID{latest.ID, moment.ID} {
		op := remove(ctx, t, id)
		if receipt := op.Receipt.Value; receipt.KubernetesObjects["Cluster"] != 1 || receipt.KubernetesObjects["Namespace"] != 1 || receipt.Objects == 0 {
			t.Errorf("the receipt is %+v, want a Cluster, a Namespace and objects", receipt)
		}
	}
}

// TestPurgeOfLockedObjectsParksUntilTheyAreFree has one object of an archive be kept by the bucket.
func TestPurgeOfLockedObjectsParksUntilTheyAreFree(t *testing.T) {
	parallel(t, needsStore)
	ctx := t.Context()
	const bucket = "daap-e2e-locked"
	store := objectStore(t)
	if err := store.MakeBucket(ctx, bucket, minio.MakeBucketOptions{ObjectLocking: true}); err != nil && minio.ToErrorResponse(err).Code != minio.BucketAlreadyOwnedByYou {
		t.Fatal(err)
	}
	makeTier(ctx, t, oas.CreateTierRequest{
		Name: "e2e-locked", CPU: "100m", Memory: "512Mi", StorageSize: "1Gi", BackupEnabled: oas.NewOptBool(true),
		BackupFrequency: oas.NewOptString(nightly), BackupRetentionDays: oas.NewOptInt(7),
		ObjectStorageDestination: oas.NewOptString("s3://" + bucket),
	})
	db, operation := createOn(ctx, t, "e2e-locked", "e2e", "locked")
	succeed(ctx, t, operation)
	name := db.ID.String() + "/pg-1/base/kept"
	put, err := store.PutObject(ctx, bucket, name, strings.NewReader("kept"), 4, minio.PutObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	governance, until := minio.Governance, time.Now().Add(time.Hour)
	if err := store.PutObjectRetention(ctx, bucket, name, minio.PutObjectRetentionOptions{
		Mode: &governance, RetainUntilDate: &until, VersionID: put.VersionID,
	}); err != nil {
		t.Fatal(err)
	}
	free := sync.OnceFunc(func() {
		if err := store.PutObjectRetention(context.WithoutCancel(ctx), bucket, name, minio.PutObjectRetentionOptions{
			GovernanceBypass: true, VersionID: put.VersionID,
		}); err != nil {
			t.Errorf("free the object: %v", err)
		}
	})
	t.Cleanup(free)
	accepted, err := stack.API.DeleteDatabase(ctx, forGood(db.ID))
	if err != nil {
		t.Fatal(err)
	}
	op := parked(ctx, t, accepted.Response.Meta.OperationID)
	if op.Error.Value.Code != oas.CauseCodeOBJECTLOCKED || op.Step.Value != "archive" {
		t.Errorf("it is parked at %s for %+v, want that objects are locked", op.Step.Value, op.Error.Value)
	}
	free()
	retry(ctx, t, op.ID, "it is free")
	if done := succeed(ctx, t, op.ID); done.Receipt.Value.RelistedAt.Null || done.Receipt.Value.Objects == 0 {
		t.Errorf("the receipt is %+v, want that nothing is left", done.Receipt)
	}
}

// TestDatabaseThatIsHalfGoneIsDeletedForGood has its namespace and its bucket removed by others before.
func TestDatabaseThatIsHalfGoneIsDeletedForGood(t *testing.T) {
	parallel(t, needsStore)
	ctx := t.Context()
	const bucket = "daap-e2e-gone"
	makeTier(ctx, t, oas.CreateTierRequest{
		Name: "e2e-gone", CPU: "100m", Memory: "512Mi", StorageSize: "1Gi", BackupEnabled: oas.NewOptBool(true),
		BackupFrequency: oas.NewOptString(nightly), BackupRetentionDays: oas.NewOptInt(7),
		ObjectStorageDestination: oas.NewOptString("s3://" + bucket),
	})
	db, operation := createOn(ctx, t, "e2e-gone", "e2e", "half-gone")
	succeed(ctx, t, operation)
	namespace := &corev1.Namespace{}
	namespace.Name = daap.Namespace(db.ID)
	if err := stack.Kubernetes.Delete(ctx, namespace); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, "its namespace is gone", func() bool {
		return apierrors.IsNotFound(stack.Kubernetes.Get(ctx, client.ObjectKeyFromObject(namespace), namespace))
	})
	store := objectStore(t)
	for result := range store.RemoveObjects(ctx, bucket, store.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true}), minio.RemoveObjectsOptions{}) {
		t.Fatal(result.Err)
	}
	if err := store.RemoveBucket(ctx, bucket); err != nil {
		t.Fatal(err)
	}
	remove(ctx, t, db.ID)
	nothingLeft(ctx, t, db.ID)
}
