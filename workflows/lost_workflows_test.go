package workflows_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/workflows"
)

// asylum holds one open operation and what was done about it.
type asylum struct {
	op        daap.Operation
	look      workflows.Execution
	err       error
	parked    *daap.Cause
	restarted int
}

func (a *asylum) ClaimUnchecked(context.Context, int) ([]daap.Operation, error) {
	return []daap.Operation{a.op}, nil
}

func (a *asylum) ParkLost(_ context.Context, _ daap.Operation, cause daap.Cause) error {
	a.parked = &cause
	return nil
}

func (a *asylum) RestartLost(context.Context, daap.Operation) error { a.restarted++; return nil }

func (a *asylum) Describe(context.Context, string) (workflows.Execution, error) { return a.look, a.err }

func TestLostWorkflowRestartsAndAnEndedOneWaitsForAPerson(t *testing.T) {
	t.Parallel()
	open, lost := workflows.Execution{Found: true, Open: true}, workflows.Execution{}
	ended := workflows.Execution{Found: true, End: "terminated by alice: wrong database"}
	known := daap.NewCause(daap.CauseWorkflowLost, "it is known")
	quota := daap.NewCause(daap.CauseQuota, "full")
	tests := map[string]struct {
		state    daap.OperationState
		cause    *daap.Cause
		restarts int
		look     workflows.Execution
		want     string
	}{
		"it goes on":                    {daap.OperationRunning, nil, 0, open, ""},
		"lost":                          {daap.OperationRunning, nil, 0, lost, "restarted"},
		"lost while it goes back":       {daap.OperationCancelling, nil, 0, lost, "restarted"},
		"lost for the fourth time":      {daap.OperationRunning, nil, 3, lost, "parked"},
		"lost while parked":             {daap.OperationNeedsAttention, &quota, 0, lost, "parked"},
		"lost while parked, known":      {daap.OperationNeedsAttention, &known, 0, lost, ""},
		"ended by hand":                 {daap.OperationRunning, nil, 0, ended, "parked"},
		"ended by hand while parked":    {daap.OperationNeedsAttention, &quota, 0, ended, "parked"},
		"not started yet":               {daap.OperationPending, nil, 0, lost, ""},
		"pending though it ran already": {daap.OperationPending, nil, 0, ended, "restarted"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &asylum{look: tt.look}
			a.op = daap.Operation{ID: uuid.New(), State: tt.state, Cause: tt.cause, Restarts: tt.restarts}
			if err := (workflows.LostWorkflows{Engine: a, Operations: a}).Search(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := map[bool]string{a.parked != nil: "parked", a.restarted == 1: "restarted"}[true]
			if got != tt.want {
				t.Errorf("the operation is %q, want %q", got, tt.want)
			}
			if a.parked != nil && a.parked.Code != daap.CauseWorkflowLost {
				t.Errorf("parked with %s, want WORKFLOW_LOST", a.parked.Code)
			}
		})
	}
}

func TestFailedSearchChangesNothing(t *testing.T) {
	t.Parallel()
	a := &asylum{op: daap.Operation{State: daap.OperationRunning}, err: errors.New("the engine is down")}
	if err := (workflows.LostWorkflows{Engine: a, Operations: a}).Search(t.Context()); err == nil || a.parked != nil || a.restarted > 0 {
		t.Errorf("Search() = %v, parked %v, restarted %d; want an error and nothing done", err, a.parked, a.restarted)
	}
}
