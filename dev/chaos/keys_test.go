//go:build chaos

package chaos

import (
	"context"
	"testing"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
)

// keysWrong gives the database keys to the object store that are not valid, until the operation is parked for it.
func keysWrong(ctx context.Context, t *testing.T, c cell) {
	id := source.get(ctx, t)
	right := setKeys(ctx, t, id, map[string][]byte{"ACCESS_KEY_ID": []byte("nobody")})
	x := begin(ctx, t, c.kind, nil)
	op := x.parked(ctx, t, daap.CauseS3Denied)
	setKeys(ctx, t, id, right)
	retry(ctx, t, op)
	x.succeeds(ctx, t)
}

// setKeys changes some of the database's keys to the object store, and returns all that were there.
func setKeys(ctx context.Context, t *testing.T, database uuid.UUID, keys map[string][]byte) map[string][]byte {
	t.Helper()
	var before map[string][]byte
	until(ctx, t, "the keys are changed", func(ctx context.Context) error {
		var secret corev1.Secret
		key := client.ObjectKey{Namespace: daap.Namespace(database), Name: "archive-credentials"}
		if err := stack.Kubernetes.Get(ctx, key, &secret); err != nil {
			return err
		}
		was := secret.DeepCopy()
		before = was.Data
		for name, value := range keys {
			secret.Data[name] = value
		}
		return stack.Kubernetes.Patch(ctx, &secret, client.MergeFrom(was))
	})
	return before
}
