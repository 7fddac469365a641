//go:build e2e

package e2e

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/api/oas"
)

// TestOperatorThatIsDownKeepsNoDeleteAndProvisionsGoOnAfterIt runs alone: it takes CloudNativePG's operator away.
func TestOperatorThatIsDownKeepsNoDeleteAndProvisionsGoOnAfterIt(t *testing.T) { //nolint:paralleltest // others need the operator
	ctx := t.Context()
	bringBack := takeOperatorAway(ctx, t)
	unfinished, first := create(ctx, t, "never-finished")
	waits, operation := create(ctx, t, "waits-for-operator")
	until(ctx, t, "the provision says what keeps it", func() bool {
		op, err := stack.API.GetOperation(ctx, oas.GetOperationParams{ID: first})
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range op.Data.Steps {
			if step.State != oas.StepStateDone && (step.LastError != "" || step.Progress != "") {
				return true
			}
		}
		return false
	})
	remove(ctx, t, unfinished.ID)
	nothingLeft(ctx, t, unfinished.ID)
	until(ctx, t, "the operation and the database say that the operator is down", func() bool {
		op, err := stack.API.GetOperation(ctx, oas.GetOperationParams{ID: operation})
		if err != nil {
			t.Fatal(err)
		}
		got, err := stack.API.GetDatabase(ctx, oas.GetDatabaseParams{ID: waits.ID})
		if err != nil {
			t.Fatal(err)
		}
		return op.Data.WaitingOn.Value.Code == oas.CauseCodeOPERATORDOWN && got.Data.WaitingOn.Value.Code == oas.CauseCodeOPERATORDOWN
	})
	bringBack()
	op := succeed(ctx, t, operation)
	historyIsShort(ctx, t, op.WorkflowID)
	pageOf(t, "docs/operators/causes-platform.md").run(ctx, t, "restart-operator", "database="+waits.ID.String())
	operatorAnswers(ctx, t)
}

// takeOperatorAway scales the operator to nothing, until bringBack is called or the test ends.
func takeOperatorAway(ctx context.Context, t *testing.T) (bringBack func()) {
	t.Helper()
	scaleOperator(ctx, t, 0)
	bringBack = func() {
		ctx := context.WithoutCancel(ctx)
		scaleOperator(ctx, t, 1)
		operatorAnswers(ctx, t)
	}
	t.Cleanup(bringBack)
	return bringBack
}

// operatorAnswers waits until the operator's webhook answers.
func operatorAnswers(ctx context.Context, t *testing.T) {
	t.Helper()
	until(ctx, t, "the operator's webhook answers again", func() bool {
		err := stack.Kubernetes.Create(ctx, anyCluster(), client.DryRunAll)
		if err != nil && !apierrors.IsInternalError(err) { // what calling a webhook in vain is
			t.Fatalf("create a cluster: %v", err)
		}
		return err == nil
	})
}

// maxEvents is how long the history of a provision may be, whatever it waits for.
const maxEvents = 60

func historyIsShort(ctx context.Context, t *testing.T, workflowID string) {
	t.Helper()
	out := shell(ctx, t, `temporal workflow show --namespace daap --workflow-id "$workflow" --output json | jq '.events | length'`,
		"workflow="+workflowID)
	if n, err := strconv.Atoi(strings.TrimSpace(out)); err != nil || n > maxEvents {
		t.Errorf("the history has %s events (%v), want at most %d", out, err, maxEvents)
	}
}

func anyCluster() client.Object {
	cluster := manifest.Cluster(notMade("e2e"), manifest.Platform{})
	cluster.Namespace = "default"
	return cluster
}

func scaleOperator(ctx context.Context, t *testing.T, replicas int32) {
	t.Helper()
	var operator appsv1.Deployment
	key := client.ObjectKey{Namespace: "cnpg-system", Name: "cnpg-controller-manager"}
	if err := stack.Kubernetes.Get(ctx, key, &operator); err != nil {
		t.Fatalf("get the operator: %v", err)
	}
	before := operator.DeepCopy()
	operator.Spec.Replicas = &replicas
	if err := stack.Kubernetes.Patch(ctx, &operator, client.MergeFrom(before)); err != nil {
		t.Fatalf("scale the operator to %d: %v", replicas, err)
	}
	until(ctx, t, "the operator is scaled", func() bool {
		if err := stack.Kubernetes.Get(ctx, key, &operator); err != nil {
			t.Fatalf("get the operator: %v", err)
		}
		return operator.Status.ObservedGeneration >= operator.Generation &&
			operator.Status.Replicas == replicas && operator.Status.ReadyReplicas == replicas
	})
}

// until looks every 200 ms and fails the test when it is not so within patience.
func until(ctx context.Context, t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for !so() {
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("waiting until %s: %v", what, ctx.Err())
		}
	}
}
