//go:build e2e

package e2e

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap/api/oas"
)

// decision is what the tests decide, and why.
func decision(reason string) *oas.DecisionRequest {
	return &oas.DecisionRequest{Reason: reason}
}

func TestProvisionThatIsRefusedParksAndARetryFinishesIt(t *testing.T) {
	parallel(t)
	ctx := t.Context()
	admit := refuseClustersOf(ctx, t, "refused")
	db, operation := createFor(ctx, t, "refused", "refused-first")
	op := parked(ctx, t, operation)
	if op.Error.Value.Code != oas.CauseCodeREJECTED || op.Error.Value.Remedy == "" || op.Step.Value != "cluster" {
		t.Errorf("parked at %v with %+v, want at cluster with REJECTED and a remedy", op.Step, op.Error.Value)
	}
	got, err := stack.API.GetDatabase(ctx, oas.GetDatabaseParams{ID: db.ID})
	if err != nil || got.Data.Status != oas.DatabaseStatusError || got.Data.Error.Value.OperationID != operation {
		t.Errorf("database is %+v (%v), want in error for its operation", got, err)
	}
	admit()
	retry(ctx, t, operation, "admitted")
	succeed(ctx, t, operation)
	wantEvents(ctx, t, db.ID, map[oas.EventKind]int{
		oas.EventKindAccepted: 1, oas.EventKindParked: 1, oas.EventKindDecided: 1, oas.EventKindSucceeded: 1, oas.EventKindStepDone: 6,
	})
	_, err = stack.API.RetryOperation(ctx, decision("again"), oas.RetryOperationParams{ID: operation})
	refused(t, err, http.StatusConflict, oas.ErrorCodeDecisionRefused)
}

func TestDeleteTakesOverFromAParkedProvision(t *testing.T) {
	parallel(t, needsStore)
	ctx := t.Context()
	refuseClustersOf(ctx, t, "parked")
	db, provision := createFor(ctx, t, "parked", "taken-over-parked")
	parked(ctx, t, provision)
	remove(ctx, t, db.ID)
	nothingLeft(ctx, t, db.ID)
	op, err := stack.API.GetOperation(ctx, oas.GetOperationParams{ID: provision})
	if err != nil || op.Data.State != oas.OperationStateCancelled {
		t.Errorf("the provision is %v (%v), want cancelled", op, err)
	}
}

func TestOperationWhoseWorkflowIsTerminatedIsFoundAndRetried(t *testing.T) {
	parallel(t, needsStore)
	ctx := t.Context()
	db, operation := create(ctx, t, "terminated")
	var workflow string
	until(ctx, t, "the provision has begun", func() bool {
		op, err := stack.API.GetOperation(ctx, oas.GetOperationParams{ID: operation})
		if err != nil {
			t.Fatal(err)
		}
		workflow = op.Data.WorkflowID
		return op.Data.State != oas.OperationStatePending
	})
	shell(ctx, t, `temporal workflow terminate --namespace daap --workflow-id "$workflow" --reason "by mistake"`,
		"workflow="+workflow)
	found := parked(ctx, t, operation)
	if found.Error.Value.Code != oas.CauseCodeWORKFLOWLOST {
		t.Errorf("parked with %+v, want WORKFLOW_LOST", found.Error.Value)
	}
	retry(ctx, t, operation, "by mistake")
	if op := succeed(ctx, t, operation); op.Restarts != 1 {
		t.Errorf("restarted %d times, want once", op.Restarts)
	}
	remove(ctx, t, db.ID)
	nothingLeft(ctx, t, db.ID)
}

// parked waits until the operation needs attention and fails the test when it ends instead.
func parked(ctx context.Context, t *testing.T, operation uuid.UUID) oas.Operation {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	op, err := stack.Follow(ctx, operation, nil)
	if err != nil || op.State != oas.OperationStateNeedsAttention {
		t.Fatalf("operation %s is %s (%v), want it to need attention; steps: %s", operation, op.State, err, describe(op))
	}
	return op
}

// wantEvents fails the test unless the timeline of the database has as many events of these kinds.
func wantEvents(ctx context.Context, t *testing.T, database uuid.UUID, want map[oas.EventKind]int) {
	t.Helper()
	got := countEvents(ctx, t, database)
	for kind, n := range want {
		if got[kind] != n {
			t.Errorf("%d events %s, want %d (all: %v)", got[kind], kind, n, got)
		}
	}
}

func countEvents(ctx context.Context, t *testing.T, database uuid.UUID) map[oas.EventKind]int {
	t.Helper()
	page, err := stack.API.ListDatabaseEvents(ctx, oas.ListDatabaseEventsParams{ID: database, Limit: oas.NewOptInt(100)})
	if err != nil {
		t.Fatalf("events of database %s: %v", database, err)
	}
	count := map[oas.EventKind]int{}
	for _, event := range page.Data {
		count[event.Kind]++
	}
	return count
}

// decide sends a decision until it is answered that it is taken. Who is told that this is not known in time asks the
// same again, by its key.
func decide(ctx context.Context, t *testing.T, send func(key oas.OptString) error) {
	t.Helper()
	key := oas.NewOptString(uuid.NewString())
	until(ctx, t, "the decision is taken", func() bool {
		err := send(key)
		if err != nil && !isUnavailable(err) {
			t.Fatalf("decide: %v", err)
		}
		return err == nil
	})
}

// retry has a parked operation go on.
func retry(ctx context.Context, t *testing.T, operation uuid.UUID, reason string) {
	t.Helper()
	decide(ctx, t, func(key oas.OptString) error {
		_, err := stack.API.RetryOperation(ctx, decision(reason), oas.RetryOperationParams{ID: operation, IdempotencyKey: key})
		return err
	})
}

func isUnavailable(err error) bool {
	var answer *oas.ErrorStatusCodeWithHeaders
	return errors.As(err, &answer) && answer.StatusCode == http.StatusServiceUnavailable
}
