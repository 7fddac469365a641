//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// checksum is of all rows of the test's table, in their order.
const checksum = `SELECT count(*) || ' ' || md5(string_agg(i || ' ' || at, ',' ORDER BY i)) FROM clock`

// destination is where the backups of all tests go.
const destination = "s3://daap-e2e/backups"

// keepingTier offers a tier with backups until the test ends.
func keepingTier(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	makeTier(ctx, t, keeping(name))
}

// keeping is a tier with backups.
func keeping(name string) oas.CreateTierRequest {
	return oas.CreateTierRequest{
		Name: name, CPU: "100m", Memory: "512Mi", StorageSize: "1Gi", BackupEnabled: oas.NewOptBool(true),
		BackupFrequency: oas.NewOptString(nightly), BackupRetentionDays: oas.NewOptInt(7),
		ObjectStorageDestination: oas.NewOptString(destination),
	}
}

func TestBackupThatIsGivenUpIsForgotten(t *testing.T) {
	id := parallelOn(t, sharedKept)
	ctx := t.Context()
	asked, err := stack.API.BackUpDatabase(ctx, oas.BackUpDatabaseParams{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	backup := asked.Response.Meta.OperationID
	isThere := func() bool {
		var all cnpgv1.BackupList
		if err := stack.Kubernetes.List(ctx, &all, client.InNamespace(daap.Namespace(id))); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(all.Items, func(b cnpgv1.Backup) bool { return strings.HasPrefix(b.Name, backup.String()) })
	}
	until(ctx, t, "the base backup is under way", isThere)
	decide(ctx, t, func(key oas.OptString) error {
		_, err := stack.API.CancelOperation(ctx, decision("not now"), oas.CancelOperationParams{ID: backup, IdempotencyKey: key})
		return err
	})
	if op, err := stack.Follow(ctx, backup, nil); err != nil || op.State != oas.OperationStateCancelled {
		t.Errorf("the operation is %s (%v), want cancelled; steps: %s", op.State, err, describe(op))
	}
	if isThere() {
		t.Error("the base backup is still there")
	}
}

func TestDatabaseIsRestoredToTheSecondToNowAndFromARestore(t *testing.T) {
	parallel(t, long, needsStore)
	ctx := t.Context()
	keepingTier(ctx, t, "e2e-kept")
	db, operation := createOn(ctx, t, "e2e-kept", "e2e", "kept")
	succeed(ctx, t, operation)
	psql := psqlOf(ctx, t, db.ID)
	run := func(sql string) string {
		t.Helper()
		got, err := psql.Run(ctx, sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return got
	}
	run(`CREATE TABLE clock AS SELECT i, clock_timestamp() AS at FROM generate_series(1, 1000) AS i`)
	before := run(checksum)
	run(`SELECT pg_sleep(1.5)`)
	moment, err := time.Parse(time.RFC3339, run(`SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')`))
	if err != nil {
		t.Fatal(err)
	}
	run(`SELECT pg_sleep(1.5)`)
	run(`DELETE FROM clock WHERE i > 500`)
	after := run(checksum)

	state := backupsKnown(ctx, t, db.ID)
	if state.Health != oas.BackupHealthOk || state.NextBackupAt.Null {
		t.Errorf("the backups are %+v, want ok", state)
	}
	backups, err := stack.API.ListBackups(ctx, oas.ListBackupsParams{ID: db.ID})
	if err != nil || len(backups.Data) != 1 || backups.Data[0].Status != oas.BackupStatusCompleted || backups.Data[0].EndWal.Null {
		t.Errorf("the base backups are %+v (%v), want one that is completed", backups, err)
	}
	demanded, err := stack.API.BackUpDatabase(ctx, oas.BackUpDatabaseParams{ID: db.ID})
	if err != nil || demanded.Response.Data.Status != oas.DatabaseStatusReady {
		t.Fatalf("ask for a base backup: %+v, %v; want the database to stay ready", demanded, err)
	}
	succeed(ctx, t, demanded.Response.Meta.OperationID)
	until(ctx, t, "there is another base backup with its size", func() bool {
		backups, err = stack.API.ListBackups(ctx, oas.ListBackupsParams{ID: db.ID})
		return err == nil && len(backups.Data) == 2 && backups.Data[0].SizeBytes.Value >= 1<<20 && !backups.Data[0].BackupID.Null
	})
	early := state.FirstRecoverableAt.Value.Add(-time.Minute)
	_, err = stack.API.RestoreDatabase(ctx, &oas.RestoreDatabaseRequest{Name: "too-early", TargetTime: early.Format(time.RFC3339)},
		oas.RestoreDatabaseParams{ID: db.ID})
	refused(t, err, http.StatusUnprocessableEntity, oas.ErrorCodeValidationFailed)

	then, thenOp := restore(ctx, t, db.ID, "kept-then", moment.Format(time.RFC3339))
	latest, latestOp := restore(ctx, t, db.ID, "kept-latest", "latest")
	keys := readsItsSource(ctx, t, db.ID, latest.ID)
	began := time.Now()
	for _, restored := range []struct {
		what          string
		id, operation uuid.UUID
		want          string
	}{{"before the DELETE", then.ID, thenOp, before}, {"to the latest", latest.ID, latestOp, after}} {
		succeed(ctx, t, restored.operation)
		if got, err := psqlOf(ctx, t, restored.id).Run(ctx, checksum); err != nil || got != restored.want {
			t.Errorf("restored %s there is %q (%v), want %q", restored.what, got, err, restored.want)
		}
	}
	t.Logf("two restores beside each other took %s", time.Since(began).Round(time.Second))

	// Nobody writes to what was restored, so that its archive has no commit as late as now.
	backupsKnown(ctx, t, then.ID)
	again, againOp := restore(ctx, t, then.ID, "kept-again", time.Now().UTC().Format(time.RFC3339))
	needsNoSource(ctx, t, keys, latest.ID, after)
	if got := restoredByHand(ctx, t, db.ID); got != after {
		t.Errorf("restored without DAAP there is %q, want %q", got, after)
	}
	succeed(ctx, t, againOp)
	if got, err := psqlOf(ctx, t, again.ID).Run(ctx, checksum); err != nil || got != before {
		t.Errorf("restored from a restore there is %q (%v), want %q", got, err, before)
	}
	shown, err := stack.API.GetDatabase(ctx, oas.GetDatabaseParams{ID: again.ID})
	if err != nil || shown.Data.Source.Value.DatabaseID != then.ID || shown.Data.Source.Value.TargetTime.Null {
		t.Errorf("the restored database shows %+v (%v) as its source, want %s", shown.Data.Source, err, then.ID)
	}
	if got := run(checksum); got != after {
		t.Errorf("the source has %q afterwards, want %q", got, after)
	}
	all := []uuid.UUID{again.ID, then.ID, latest.ID, db.ID}
	for _, id := range all {
		if n := objectsOf(ctx, t, id); n == 0 {
			t.Errorf("database %s has nothing in the object store", id)
		}
	}
	removeAll(ctx, t, all...)
	for _, id := range all {
		if n := objectsOf(ctx, t, id); n > 0 {
			t.Errorf("%d objects are left of database %s, which is deleted", n, id)
		}
	}
}

// restoredByHand restores the database's archive with Barman's tools and PostgreSQL alone, as docs/operators/archives.md says, and
// returns the checksum there. It is done in the database's own pod, which has both.
func restoredByHand(ctx context.Context, t *testing.T, id uuid.UUID) string {
	t.Helper()
	script, err := os.ReadFile("../restore-by-hand.sh")
	if err != nil {
		t.Fatal(err)
	}
	const directory = "/var/lib/postgresql/data/by-hand"
	var input bytes.Buffer // the keys come in by it: arguments are everybody's to read
	fmt.Fprintf(&input, "export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s ENDPOINT=%s\n",
		os.Getenv("DAAP_BACKUP_ACCESS_KEY"), os.Getenv("DAAP_BACKUP_SECRET_KEY"), os.Getenv("DAAP_BACKUP_ENDPOINT"))
	input.Write(script)
	began := time.Now()
	cmd := exec.CommandContext(ctx, "kubectl", "--namespace", daap.Namespace(id), "exec", "--stdin", "pg-1-1", "--container", "postgres", "--",
		"bash", "-s", destination+"/"+id.String(), "pg-1", directory, checksum)
	cmd.Stdin = &input
	out, err := cmd.Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			t.Logf("%s", failed.Stderr)
		}
		t.Fatalf("restore by hand: %v", err)
	}
	t.Logf("a restore without DAAP took %s", time.Since(began).Round(time.Second))
	return strings.TrimSpace(string(out))
}

// objectStore is where all backups are.
func objectStore(t *testing.T) *minio.Client {
	t.Helper()
	endpoint, err := url.Parse(os.Getenv("DAAP_BACKUP_ENDPOINT"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := minio.New(endpoint.Host, &minio.Options{
		Creds: credentials.NewStaticV4(os.Getenv("DAAP_BACKUP_ACCESS_KEY"), os.Getenv("DAAP_BACKUP_SECRET_KEY"), ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// objectsOf counts what is in the object store of the database, versions and markers too.
func objectsOf(ctx context.Context, t *testing.T, id uuid.UUID) int {
	t.Helper()
	n := 0
	for object := range objectStore(t).ListObjects(ctx, "daap-e2e", minio.ListObjectsOptions{
		Prefix: "backups/" + id.String() + "/", Recursive: true, WithVersions: true,
	}) {
		if object.Err != nil {
			t.Fatal(object.Err)
		}
		n++
	}
	return n
}

// restore asks for a new database of the source as it was at the target.
func restore(ctx context.Context, t *testing.T, source uuid.UUID, name, target string) (oas.Database, uuid.UUID) {
	t.Helper()
	accepted, err := stack.API.RestoreDatabase(ctx, &oas.RestoreDatabaseRequest{Name: name, TargetTime: target},
		oas.RestoreDatabaseParams{ID: source})
	if err != nil {
		t.Fatalf("restore %s to %s: %v", source, target, err)
	}
	db := accepted.Response.Data
	t.Cleanup(func() { cleanUp(context.WithoutCancel(ctx), t, db.ID) })
	return db, accepted.Response.Meta.OperationID
}

// backupsKnown waits until it is known since when the database can be restored.
func backupsKnown(ctx context.Context, t *testing.T, id uuid.UUID) oas.BackupState {
	t.Helper()
	var state oas.BackupState
	var failed error
	untilRun(ctx, t, "the database can be restored", func() bool {
		found, err := stack.API.GetDatabase(ctx, oas.GetDatabaseParams{ID: id})
		if err != nil {
			failed = errors.Join(failed, err)
			return true
		}
		state = found.Data.Backup.Value
		return !found.Data.Backup.Null && !state.FirstRecoverableAt.Null
	}, checkBackups)
	if failed != nil {
		t.Fatal(failed)
	}
	return state
}

func TestTierWhoseBackupsHaveNoPlaceIsRefused(t *testing.T) {
	parallel(t, needsStore)
	asked := oas.CreateTierRequest{
		Name: "e2e-nowhere", CPU: "100m", Memory: "512Mi", StorageSize: "1Gi", PgVersion: "17",
		DestructionStrategy: oas.DestructionStrategyHardDelete, BackupEnabled: oas.NewOptBool(true),
		BackupFrequency: oas.NewOptString(nightly), BackupRetentionDays: oas.NewOptInt(7),
		ObjectStorageDestination: oas.NewOptString("s3://daap-audit/backups"), // the audit log's own bucket
	}
	_, err := stack.API.CreateTier(t.Context(), &asked, oas.CreateTierParams{})
	refused(t, err, http.StatusUnprocessableEntity, oas.ErrorCodeValidationFailed)
}
