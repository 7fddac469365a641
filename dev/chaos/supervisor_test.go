//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap/api/oas"
)

// supervisor is the stack's own, asked over its socket.
type supervisor struct{ state string }

// part is what it says of one of its processes.
type part struct {
	Name     string `json:"name"`
	State    string `json:"state"`
	PID      int    `json:"pid"`
	Restarts int    `json:"restarts"`
}

func (s supervisor) all(ctx context.Context) ([]part, error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.state, "control.sock"))
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://stack/status", nil)
	if err != nil {
		return nil, err
	}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the stack's supervisor: %w", err)
	}
	defer answer.Body.Close()
	var all []part
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		return nil, fmt.Errorf("read what the stack's supervisor says: %w", err)
	}
	return all, nil
}

// up returns the named part, which must be up.
func (s supervisor) up(ctx context.Context, name string) (part, error) {
	all, err := s.all(ctx)
	if err != nil {
		return part{}, err
	}
	for _, p := range all {
		if p.Name == name && p.State == "up" && p.PID != 0 {
			return p, nil
		}
	}
	return part{}, fmt.Errorf("the stack's part %s is not up", name)
}

// healthy waits until all that an operation needs is there: each test begins with a whole stack.
func healthy(ctx context.Context, t *testing.T) {
	t.Helper()
	until(ctx, t, "the stack is whole", func(ctx context.Context) error {
		all, err := parts.all(ctx)
		if err != nil {
			return err
		}
		for _, p := range all {
			if p.State != "up" {
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
