//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// makeTier offers a tier until the test ends, when no database has it any more.
func makeTier(ctx context.Context, t *testing.T, asked oas.CreateTierRequest) uuid.UUID {
	t.Helper()
	id := createTier(ctx, t, asked)
	t.Cleanup(func() { deleteTier(context.WithoutCancel(ctx), t, id) })
	return id
}

func createTier(ctx context.Context, t *testing.T, asked oas.CreateTierRequest) uuid.UUID {
	t.Helper()
	asked.PgVersion = "17"
	if asked.DestructionStrategy == "" {
		asked.DestructionStrategy = oas.DestructionStrategyHardDelete
	}
	var id uuid.UUID
	until(ctx, t, "tier "+asked.Name+" is made", func() bool {
		made, err := stack.API.CreateTier(ctx, &asked, oas.CreateTierParams{})
		if err == nil {
			id = made.Data.Tier.ID
			return true
		}
		if !isUnavailable(err) { // whether the destination can be used was not known in time
			t.Fatalf("create tier %s: %v", asked.Name, err)
		}
		return false
	})
	return id
}

func deleteTier(ctx context.Context, t *testing.T, id uuid.UUID) {
	t.Helper()
	if _, err := stack.API.DeleteTier(ctx, oas.DeleteTierParams{ID: id}); err != nil {
		t.Errorf("delete tier %s: %v", id, err)
	}
}

// psqlOf connects to the database directly.
func psqlOf(ctx context.Context, t *testing.T, id uuid.UUID) local.Psql {
	t.Helper()
	conn, err := stack.API.GetDatabaseConnection(ctx, oas.GetDatabaseConnectionParams{ID: id})
	if err != nil {
		t.Fatalf("connection: %v", err)
	}
	psql, err := stack.Psql(ctx, conn.Data, conn.Data.Direct, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return psql
}

// inForce fails the test unless all that the tier says is so, in PostgreSQL, in PgBouncer, and of the pods and volumes.
func inForce(ctx context.Context, t *testing.T, id uuid.UUID, tier oas.CreateTierRequest, buffers, pool string) {
	t.Helper()
	psql := psqlOf(ctx, t, id)
	audited := "ddl, role"
	for _, class := range tier.PgauditLog[min(2, len(tier.PgauditLog)):] {
		audited += ", " + string(class)
	}
	for setting, want := range map[string]string{
		"max_connections": fmt.Sprint(tier.MaxConnections.Value), "shared_buffers": buffers, "pgaudit.log": audited,
	} {
		if got, err := psql.Run(ctx, "SHOW "+setting); err != nil || got != want {
			t.Errorf("SHOW %s = %q (%v), want %s", setting, got, err, want)
		}
	}
	namespace := daap.Namespace(id)
	for setting, want := range map[string]string{"pool_mode": string(tier.PoolMode.Value), "default_pool_size": pool} {
		if got := poolerShows(ctx, t, namespace, setting); got != want {
			t.Errorf("SHOW CONFIG of PgBouncer has the %s %q, want %s", setting, got, want)
		}
	}
	var pods corev1.PodList
	if err := stack.Kubernetes.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{"cnpg.io/podRole": "instance"}); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != max(1, tier.Instances.Value) {
		t.Errorf("there are %d instances, want %d", len(pods.Items), tier.Instances.Value)
	}
	for _, pod := range pods.Items {
		asked := pod.Spec.Containers[0].Resources
		if asked.Requests.Cpu().String() != tier.CPU || asked.Limits.Memory().String() != tier.Memory {
			t.Errorf("pod %s asks for %v, want %s and %s", pod.Name, asked, tier.CPU, tier.Memory)
		}
	}
	var claims corev1.PersistentVolumeClaimList
	if err := stack.Kubernetes.List(ctx, &claims, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	for _, claim := range claims.Items {
		if has := claim.Status.Capacity.Storage().String(); has != tier.StorageSize {
			t.Errorf("volume claim %s has %s, want %s", claim.Name, has, tier.StorageSize)
		}
	}
	if len(claims.Items) != len(pods.Items) {
		t.Errorf("there are %d volume claims, want one for each instance", len(claims.Items))
	}
}

// poolerShows is a setting as PgBouncer itself tells it, on its own console. A pod that is ending is not asked: it is
// from before, and its PgBouncer listens no more.
func poolerShows(ctx context.Context, t *testing.T, namespace, setting string) string {
	t.Helper()
	var pods corev1.PodList
	err := stack.Kubernetes.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{"cnpg.io/podRole": "pooler"})
	if err != nil {
		t.Fatal(err)
	}
	pods.Items = slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil })
	if len(pods.Items) != 1 {
		t.Fatalf("there are %d pods of PgBouncer, want one", len(pods.Items))
	}
	var told strings.Builder
	cmd := exec.CommandContext(ctx, "kubectl", "--namespace", namespace, "exec", pods.Items[0].Name, "--container", "pgbouncer",
		"--", "psql", "--host=/controller/run", "--username=pgbouncer", "--tuples-only", "--no-align", "--command=SHOW CONFIG", "pgbouncer")
	cmd.Stderr = &told
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ask PgBouncer for its settings: %v: %s", err, &told)
	}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Split(line, "|"); fields[0] == setting && len(fields) > 1 {
			return fields[1]
		}
	}
	return ""
}

func TestWhatTheTierSaysArrivesAndSoDoesAnotherTier(t *testing.T) {
	parallel(t, long)
	ctx := t.Context()
	small := oas.CreateTierRequest{
		Name: "e2e-arrives", CPU: "150m", Memory: "600Mi", StorageSize: "1Gi", MaxConnections: oas.NewOptInt(60),
		PoolMode: oas.NewOptPoolMode(oas.PoolModeSession),
	}
	large := oas.CreateTierRequest{
		Name: "e2e-raised", CPU: "200m", Memory: "800Mi", StorageSize: "2Gi", MaxConnections: oas.NewOptInt(90),
		PoolMode: oas.NewOptPoolMode(oas.PoolModeTransaction), Instances: oas.NewOptInt(2), HaReplicas: oas.NewOptInt(1),
		PgauditLog: []oas.PGAuditClass{oas.PGAuditClassDdl, oas.PGAuditClassRole, oas.PGAuditClassWrite},
	}
	tier, raised := makeTier(ctx, t, small), makeTier(ctx, t, large)
	db, operation := createOn(ctx, t, small.Name, "e2e", "arrives")
	succeed(ctx, t, operation)
	inForce(ctx, t, db.ID, small, "150MB", "48")
	uses(ctx, t, tier, oas.QuotaUsed{CPUCores: 0.15, MemoryGib: 600. / 1024, StorageGib: 1, Databases: 1})
	_, err := stack.API.DeleteTier(ctx, oas.DeleteTierParams{ID: tier})
	refused(t, err, http.StatusConflict, oas.ErrorCodeTierInUse)
	psql := psqlOf(ctx, t, db.ID)
	if _, err := psql.Run(ctx, "CREATE TABLE kept AS SELECT 42 AS answer"); err != nil {
		t.Fatalf("write: %v", err)
	}

	patch := &oas.UpdateDatabaseApplicationMergePatchJSON{Tier: oas.NewOptString(large.Name)}
	dry, err := stack.API.UpdateDatabase(ctx, patch, oas.UpdateDatabaseParams{ID: db.ID, DryRun: oas.NewOptBool(true)})
	if err != nil {
		t.Fatalf("dry run: %v", err)
	}
	preview, is := dry.(*oas.UpdateDatabaseResponse)
	if !is || !preview.Data.Preview.Restarts || len(preview.Data.Preview.Changes) != 9 {
		t.Errorf("the dry run is %+v, want a restart and nine changes", dry)
	}
	accepted, err := local.Accepted(stack.API.UpdateDatabase(ctx, patch, oas.UpdateDatabaseParams{ID: db.ID}))
	if err != nil {
		t.Fatalf("raise the tier: %v", err)
	}
	if accepted.Response.Data.Status != oas.DatabaseStatusUpdating {
		t.Errorf("the database is %s while its tier changes, want updating", accepted.Response.Data.Status)
	}
	succeed(ctx, t, accepted.Response.Meta.OperationID)
	inForce(ctx, t, db.ID, large, "200MB", "72")
	uses(ctx, t, tier, oas.QuotaUsed{})
	uses(ctx, t, raised, oas.QuotaUsed{CPUCores: 0.4, MemoryGib: 2 * 800. / 1024, StorageGib: 2, Databases: 1})
	if got, err := psql.Run(ctx, "SELECT answer FROM kept"); err != nil || got != "42" {
		t.Errorf("what was written before is %q (%v), want 42", got, err)
	}
	if got, err := psql.Run(ctx, "SHOW synchronous_standby_names"); err != nil || !strings.HasPrefix(got, "ANY 1 (") {
		t.Errorf("commits wait for %q (%v), want any one standby", got, err)
	}
	back := &oas.UpdateDatabaseApplicationMergePatchJSON{Tier: oas.NewOptString(small.Name)}
	_, err = stack.API.UpdateDatabase(ctx, back, oas.UpdateDatabaseParams{ID: db.ID})
	refused(t, err, http.StatusUnprocessableEntity, oas.ErrorCodeValidationFailed)
	remove(ctx, t, db.ID)
}

func uses(ctx context.Context, t *testing.T, tier uuid.UUID, want oas.QuotaUsed) {
	t.Helper()
	got, err := stack.API.GetTierQuota(ctx, oas.GetTierQuotaParams{ID: tier})
	if err != nil || got.Data.Used != want {
		t.Errorf("of the quota %+v is used (%v), want %+v", got, err, want)
	}
}

// TestUpdateThatFindsNoNodeIsGivenUpAndTheDatabaseIsAsBefore gives a database a tier that no node has room for.
func TestUpdateThatFindsNoNodeIsGivenUpAndTheDatabaseIsAsBefore(t *testing.T) {
	parallel(t, needsStore)
	ctx := t.Context()
	before := oas.CreateTierRequest{
		Name: "e2e-before", CPU: "100m", Memory: "512Mi", StorageSize: "1Gi", MaxConnections: oas.NewOptInt(50),
		PoolMode: oas.NewOptPoolMode(oas.PoolModeTransaction),
	}
	huge := before
	huge.Name, huge.CPU, huge.StorageSize = "e2e-huge", "100", "3Gi"
	huge.BackupEnabled, huge.BackupFrequency = oas.NewOptBool(true), oas.NewOptString(nightly)
	huge.BackupRetentionDays, huge.ObjectStorageDestination = oas.NewOptInt(7), oas.NewOptString(destination)
	makeTier(ctx, t, before)
	makeTier(ctx, t, huge)
	db, operation := createOn(ctx, t, before.Name, "e2e", "given-up")
	succeed(ctx, t, operation)
	patch := &oas.UpdateDatabaseApplicationMergePatchJSON{Tier: oas.NewOptString(huge.Name)}
	accepted, err := local.Accepted(stack.API.UpdateDatabase(ctx, patch, oas.UpdateDatabaseParams{ID: db.ID}))
	if err != nil {
		t.Fatalf("give the tier: %v", err)
	}
	update := accepted.Response.Meta.OperationID
	until(ctx, t, "the update says that no node has room", func() bool {
		op, err := stack.API.GetOperation(ctx, oas.GetOperationParams{ID: update})
		return err == nil && op.Data.WaitingOn.Value.Code == oas.CauseCodeUNSCHEDULABLE
	})
	decide(ctx, t, func(key oas.OptString) error {
		_, err := stack.API.CancelOperation(ctx, decision("No node is that large."), oas.CancelOperationParams{ID: update, IdempotencyKey: key})
		return err
	})
	until(ctx, t, "the update is undone", func() bool {
		op, err := stack.API.GetOperation(ctx, oas.GetOperationParams{ID: update})
		return err == nil && op.Data.State == oas.OperationStateCancelled
	})
	got, err := stack.API.GetDatabase(ctx, oas.GetDatabaseParams{ID: db.ID})
	if err != nil || got.Data.Status != oas.DatabaseStatusReady || got.Data.Tier != before.Name {
		t.Errorf("the database is %+v (%v), want ready with its tier", got, err)
	}
	inForce(ctx, t, db.ID, before, "128MB", "40")
	var keys corev1.Secret
	key := client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: manifest.ArchiveCredentials}
	if err := stack.Kubernetes.Get(ctx, key, &keys); !apierrors.IsNotFound(err) {
		t.Errorf("the keys to an archive that was given up: %v, want not found", err)
	}
	remove(ctx, t, db.ID)
}

// primaryOf is the pod of the primary; nil name where there is none.
func primaryOf(ctx context.Context, t *testing.T, namespace string) corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	err := stack.Kubernetes.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{"cnpg.io/instanceRole": "primary"})
	if err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) == 0 {
		return corev1.Pod{}
	}
	return pods.Items[0]
}

func TestSynchronousStandbyTakesOverAndKeepsWhatWasCommitted(t *testing.T) {
	parallel(t)
	ctx := t.Context()
	makeTier(ctx, t, oas.CreateTierRequest{
		Name: "e2e-standby", CPU: "100m", Memory: "512Mi", StorageSize: "1Gi", Instances: oas.NewOptInt(2), HaReplicas: oas.NewOptInt(1),
	})
	db, operation := createOn(ctx, t, "e2e-standby", "e2e", "standby")
	succeed(ctx, t, operation)
	psql := psqlOf(ctx, t, db.ID)
	if _, err := psql.Run(ctx, "CREATE TABLE kept AS SELECT 42 AS answer"); err != nil {
		t.Fatalf("write: %v", err)
	}
	namespace := daap.Namespace(db.ID)
	before := primaryOf(ctx, t, namespace)
	began, now := time.Now(), int64(0)
	if err := stack.Kubernetes.Delete(ctx, &before, &client.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, "the other takes over, with the row", func() bool {
		after := primaryOf(ctx, t, namespace)
		if after.Name == "" || after.Name == before.Name {
			return false
		}
		got, err := psql.Run(ctx, "SELECT answer FROM kept WHERE NOT pg_is_in_recovery()")
		return err == nil && got == "42"
	})
	t.Logf("the other took over %s after the primary was killed", time.Since(began).Round(time.Second))
	remove(ctx, t, db.ID)
}
