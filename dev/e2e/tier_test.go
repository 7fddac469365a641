//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// makeTier offers a tier until the test ends, when no database has it any more.
func makeTier(ctx context.Context, t *testing.T, asked oas.CreateTierRequest) uuid.UUID {
	t.Helper()
	asked.PgVersion, asked.DestructionStrategy = "17", oas.DestructionStrategyHardDelete
	made, err := stack.API.CreateTier(ctx, &asked, oas.CreateTierParams{})
	if err != nil {
		t.Fatalf("create tier %s: %v", asked.Name, err)
	}
	id := made.Data.Tier.ID
	t.Cleanup(func() {
		if _, err := stack.API.DeleteTier(context.WithoutCancel(ctx), oas.DeleteTierParams{ID: id}); err != nil {
			t.Errorf("delete tier %s: %v", asked.Name, err)
		}
	})
	return id
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

func TestWhatTheTierSaysArrivesInPostgreSQL(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	tier := makeTier(ctx, t, oas.CreateTierRequest{
		Name: "e2e-arrives", CPU: "150m", Memory: "600Mi", StorageSize: "2Gi", MaxConnections: oas.NewOptInt(60),
		PoolMode: oas.NewOptPoolMode(oas.PoolModeSession),
	})
	db, operation := createOn(ctx, t, "e2e-arrives", "e2e", "arrives")
	succeed(ctx, t, operation)
	psql := psqlOf(ctx, t, db.ID)
	for setting, want := range map[string]string{"max_connections": "60", "shared_buffers": "150MB"} {
		if got, err := psql.Run(ctx, "SHOW "+setting); err != nil || got != want {
			t.Errorf("SHOW %s = %q (%v), want %s", setting, got, err, want)
		}
	}
	namespace := daap.Namespace(db.ID)
	var pooler cnpgv1.Pooler
	if err := stack.Kubernetes.Get(ctx, client.ObjectKey{Namespace: namespace, Name: daap.PoolerService}, &pooler); err != nil {
		t.Fatal(err)
	}
	if pooler.Spec.PgBouncer.PoolMode != "session" || pooler.Spec.PgBouncer.Parameters["default_pool_size"] != "48" {
		t.Errorf("the pooler is %+v, want sessions and 48 connections", pooler.Spec.PgBouncer)
	}
	primary := primaryOf(ctx, t, namespace)
	asked := primary.Spec.Containers[0].Resources
	if asked.Requests.Cpu().String() != "150m" || asked.Limits.Memory().String() != "600Mi" {
		t.Errorf("the pod asks for %v, want 150m and 600Mi", asked)
	}
	var claims corev1.PersistentVolumeClaimList
	if err := stack.Kubernetes.List(ctx, &claims, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	if len(claims.Items) != 1 || claims.Items[0].Spec.Resources.Requests.Storage().String() != "2Gi" {
		t.Errorf("the claims are %v, want one of 2Gi", claims.Items)
	}

	used, err := stack.API.GetTierQuota(ctx, oas.GetTierQuotaParams{ID: tier})
	if err != nil || used.Data.Used.Databases != 1 || used.Data.Used.CPUCores != 0.15 || used.Data.Used.StorageGib != 2 {
		t.Errorf("the quota says %+v (%v), want one database's", used, err)
	}
	_, err = stack.API.DeleteTier(ctx, oas.DeleteTierParams{ID: tier})
	if err == nil || !strings.Contains(err.Error(), "tier_in_use") {
		t.Errorf("deleting the tier = %v, want it in use", err)
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
	t.Parallel()
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
