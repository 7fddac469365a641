//go:build chaos

package chaos

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// readyKept returns a database with backups that is ready and that no other test uses.
func readyKept(ctx context.Context, t *testing.T) uuid.UUID {
	t.Helper()
	x := ask(ctx, t, createRequestOn(kept.Name, newName(), t.Name()), nil)
	if op := x.over(ctx, t); op.State != oas.OperationStateSucceeded {
		t.Fatalf("the provision of a database with backups is %s; steps: %s", op.State, describe(op))
	}
	return x.database
}

// frozen returns a database that is frozen and that no other test uses.
func frozen(ctx context.Context, t *testing.T) uuid.UUID {
	t.Helper()
	x := ask(ctx, t, destroyRequest(readyKept(ctx, t), oas.DestructionStrategyFreeze), nil)
	if op := x.over(ctx, t); op.State != oas.OperationStateSucceeded {
		t.Fatalf("the freeze of a database is %s; steps: %s", op.State, describe(op))
	}
	return x.database
}

// rests looks whether a frozen database has its volume and nothing that runs.
func rests(ctx context.Context, t *testing.T, db oas.Database) {
	t.Helper()
	until(ctx, t, "Kubernetes answers", func(ctx context.Context) error {
		in := client.InNamespace(daap.Namespace(db.ID))
		var pods corev1.PodList
		var claims corev1.PersistentVolumeClaimList
		if err := errors.Join(stack.Kubernetes.List(ctx, &pods, in), stack.Kubernetes.List(ctx, &claims, in)); err != nil {
			return err
		}
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning {
				t.Errorf("pod %s of database %s runs, which is frozen", pod.Name, db.ID)
			}
		}
		if len(claims.Items) != 1 {
			t.Errorf("database %s, which is frozen, has %d volume claims, want 1", db.ID, len(claims.Items))
		}
		return nil
	})
}

// purgeCut kills the object store while the backups of a database are removed from it.
func purgeCut(ctx context.Context, t *testing.T, c cell) {
	s := newStrike(victim{"minio", kill9("minio")})
	x := ask(ctx, t, deleteRequest(readyKept(ctx, t)), c.place().at(s.once))
	op := x.succeeds(ctx, t)
	s.prove(ctx, t)
	if receipt := op.Receipt.Value; receipt.Objects == 0 || receipt.RelistedAt.Null {
		t.Errorf("the receipt is %+v, want what was removed, and that nothing is left", receipt)
	}
}

// unhealthy freezes a database whose PostgreSQL cannot start, as its image is gone, until it can.
func unhealthy(ctx context.Context, t *testing.T, _ cell) {
	id := readyKept(ctx, t)
	image, putBack := hidden.image(ctx, t)
	until(ctx, t, "PostgreSQL is gone", func(ctx context.Context) error {
		return stack.Kubernetes.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(daap.Namespace(id)),
			client.MatchingLabels{"cnpg.io/podRole": "instance"}, client.GracePeriodSeconds(0))
	})
	parksUntilThereIsItsImage(ctx, t, ask(ctx, t, destroyRequest(id, oas.DestructionStrategyFreeze), nil), image, putBack)
}
