//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// healthy waits until all that an operation needs is there: each test begins with a whole stack.
func healthy(ctx context.Context, t *testing.T) {
	t.Helper()
	until(ctx, t, "the stack is whole", func(ctx context.Context) error {
		all, err := local.Parts(ctx)
		if err != nil {
			return err
		}
		for _, p := range all {
			if p.State != local.PartUp {
				return fmt.Errorf("the stack's part %s is %s", p.Name, p.State)
			}
		}
		health, err := stack.API.GetHealth(ctx)
		if err != nil {
			return err
		}
		if health.Data.Status != oas.HealthStatusOk {
			return errors.New("the API says that it is degraded")
		}
		return operatorAvailable(ctx)
	})
}

var operatorKey = client.ObjectKey{Namespace: "cnpg-system", Name: "cnpg-controller-manager"}

func operatorAvailable(ctx context.Context) error {
	var operator appsv1.Deployment
	if err := stack.Kubernetes.Get(ctx, operatorKey, &operator); err != nil {
		return fmt.Errorf("get the operator: %w", err)
	}
	if operator.Status.AvailableReplicas < 1 || operator.Status.ObservedGeneration < operator.Generation {
		return errors.New("the operator is not available")
	}
	return nil
}
