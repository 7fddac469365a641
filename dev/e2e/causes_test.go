//go:build e2e

package e2e

import (
	"context"
	"testing"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// TestCommandsForCausesRepairADatabase runs the commands that find a cause on a healthy database, and those that fix
// one on the damage that they are for, as far as one database can have it.
func TestCommandsForCausesRepairADatabase(t *testing.T) {
	parallel(t, long, needsStore)
	ctx := t.Context()
	keepingTier(ctx, t, "e2e-causes")
	makeTier(ctx, t, oas.CreateTierRequest{
		Name: "e2e-causes-larger", CPU: "100m", Memory: "512Mi", StorageSize: "2Gi", BackupEnabled: oas.NewOptBool(true),
		BackupFrequency: oas.NewOptString(nightly), BackupRetentionDays: oas.NewOptInt(7),
		ObjectStorageDestination: oas.NewOptString(destination),
	})
	db, operation := createOn(ctx, t, "e2e-causes", "e2e", "causes")
	succeed(ctx, t, operation)
	env := []string{"database=" + db.ID.String(), "operation=" + operation.String(), "storage=2Gi", "tier=e2e-causes-larger"}

	pods, storage := pageOf(t, "docs/operators/causes-pods.md"), pageOf(t, "docs/operators/causes-storage.md")
	platform, archives := pageOf(t, "docs/operators/causes-platform.md"), pageOf(t, "docs/operators/archives.md")
	for _, p := range []page{pageOf(t, "docs/operators/causes.md"), pods, storage, platform, pageOf(t, "docs/operators/causes-backups.md")} {
		p.runAll(ctx, t, append(env, "SHOP_KEY_HEADER="+shopKey(ctx, t))...)
	}

	pods.run(ctx, t, "delete-pod", env...)
	until(ctx, t, "the pod is re-created", func() bool { return primaryOf(ctx, t, daap.Namespace(db.ID)).Name != "" })
	listed(t, storage.run(ctx, t, "grow-volumes", env...), "patched", `"state": "succeeded"`, `"tier": "e2e-causes-larger"`)
	pods.run(ctx, t, "delete-job", env...)
	pods.run(ctx, t, "pod-security", env...)
	platform.run(ctx, t, "bind-worker", env...)
	credentialsComeBack(ctx, t, db.ID, func() { pods.run(ctx, t, "credentials", env...) })
	finalizerIsRemoved(ctx, t, db.ID, func() { platform.run(ctx, t, "remove-finalizer", append(env, "object=configmap/held")...) })

	leaked := holding(ctx, t, db.ID, "archive-credentials")
	listed(t, archives.run(ctx, t, "replace-store-key", env...), `"state": "succeeded"`)
	if err := leaked.valid(ctx); err == nil {
		t.Error("the key to the object store that has leaked is still accepted")
	}
	listed(t, pageOf(t, "docs/operators/fleet.md").run(ctx, t, "reconcile", env...), `"type": "Drift"`, `"state": "succeeded"`)
	remove(ctx, t, db.ID)
}

// credentialsComeBack deletes the team's Secret, has it restored, and waits until PostgreSQL accepts the new password.
func credentialsComeBack(ctx context.Context, t *testing.T, id uuid.UUID, restore func()) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: daap.Namespace(id), Name: daap.CredentialsSecret}}
	if err := stack.Kubernetes.Delete(ctx, secret); err != nil {
		t.Fatalf("delete the credentials: %v", err)
	}
	restore()
	psql := psqlOf(ctx, t, id)
	until(ctx, t, "the new password is accepted", func() bool {
		got, err := psql.Run(ctx, `SELECT 1`)
		return err == nil && got == "1"
	})
}

// finalizerIsRemoved deletes an object that has a finalizer without an owner, and fails the test unless it is gone after
// the finalizer is removed.
func finalizerIsRemoved(ctx context.Context, t *testing.T, id uuid.UUID, remove func()) {
	t.Helper()
	held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: daap.Namespace(id), Name: "held", Finalizers: []string{"e2e.daap.io/held"},
	}}
	if err := stack.Kubernetes.Create(ctx, held); err != nil {
		t.Fatalf("create an object with a finalizer: %v", err)
	}
	if err := stack.Kubernetes.Delete(ctx, held); err != nil {
		t.Fatalf("delete it: %v", err)
	}
	remove()
	if err := stack.Kubernetes.Get(ctx, client.ObjectKeyFromObject(held), held); !apierrors.IsNotFound(err) {
		t.Errorf("the object is still there (%v)", err)
	}
}
