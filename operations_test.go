package daap_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// desk is where decisions arrive: a row, and a workflow that may be there.
type desk struct {
	ledger
	// decide is what the workflow says; ErrNoWorkflow when there is none.
	decide error
	// pending says that the operation can be cancelled without a workflow.
	pending bool
	// told, restarted and cancelled record the decisions; ids are their IDs at the workflow.
	told, restarted, cancelled []daap.Action
	ids                        []string
	answers                    map[string]daap.Operation
}

func (d *desk) Decide(_ context.Context, _ daap.Operation, decision daap.Decision, id string) error {
	d.ids = append(d.ids, id)
	if d.decide == nil {
		d.told = append(d.told, decision.Action)
	}
	return d.decide
}

func (d *desk) CancelPending(_ context.Context, _ daap.Scope, _ uuid.UUID, decision daap.Decision) (bool, error) {
	if d.pending {
		d.cancelled = append(d.cancelled, decision.Action)
	}
	return d.pending, nil
}

func (d *desk) RestartOperation(
	_ context.Context, _ daap.Scope, _ uuid.UUID, decision daap.Decision,
) (daap.Operation, error) {
	d.restarted = append(d.restarted, decision.Action)
	return d.op, nil
}

func (d *desk) Remembered(_ context.Context, by daap.Grant) (daap.Operation, bool, error) {
	answer, found := d.answers[by.Once.Key]
	return answer, found, nil
}

func (d *desk) Remember(_ context.Context, by daap.Grant, answer daap.Operation) error {
	if by.Once.Key != "" {
		d.answers[by.Once.Key] = answer
	}
	return nil
}

func TestDecisionGoesToTheWorkflowTheRowOrANewWorkflow(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		state  daap.OperationState
		action daap.Action
		engine error
		begun  bool // meanwhile
		want   string
	}{
		"parked":                         {daap.OperationNeedsAttention, daap.ActionRetry, nil, false, "told"},
		"running, cancelled":             {daap.OperationRunning, daap.ActionCancel, nil, false, "told"},
		"pending, cancelled":             {daap.OperationPending, daap.ActionCancel, nil, false, "cancelled"},
		"pending that begins, cancelled": {daap.OperationPending, daap.ActionCancel, nil, true, "told"},
		"pending, retried":               {daap.OperationPending, daap.ActionRetry, nil, false, "decision_refused"},
		"parked, workflow lost, retried": {daap.OperationNeedsAttention, daap.ActionRetry, daap.ErrNoWorkflow, false, "restarted"},
		"parked, workflow lost, aborted": {daap.OperationNeedsAttention, daap.ActionAbort, daap.ErrNoWorkflow, false, "restarted"},
		"parked, workflow lost, skipped": {daap.OperationNeedsAttention, daap.ActionSkip, daap.ErrNoWorkflow, false, "decision_refused"},
		"running, workflow lost":         {daap.OperationRunning, daap.ActionCancel, daap.ErrNoWorkflow, false, "unavailable"},
		"refused by the workflow":        {daap.OperationRunning, daap.ActionRetry, daap.Refused("No."), false, "decision_refused"},
		"over":                           {daap.OperationSucceeded, daap.ActionRetry, nil, false, "decision_refused"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &desk{decide: tt.engine, pending: tt.state == daap.OperationPending && !tt.begun}
			d.op = daap.Operation{ID: uuid.New(), Kind: daap.ProvisionDatabase, State: tt.state, Step: daap.StepReady}
			_, err := daap.NewOperations(d, d, d, d).Decide(t.Context(), platform, d.op.ID,
				daap.Decision{Action: tt.action, Reason: "why"})
			got := map[bool]string{len(d.told) > 0: "told", len(d.cancelled) > 0: "cancelled", len(d.restarted) > 0: "restarted"}[true]
			if e := daap.AsError(err); e != nil {
				got = string(e.Code)
			}
			if got != tt.want || (got == "restarted") != (len(d.started) == 1) {
				t.Errorf("the decision is %s (%v), started %d; want %s", got, err, len(d.started), tt.want)
			}
		})
	}
}

func TestRepeatedDecisionIsOneDecision(t *testing.T) {
	t.Parallel()
	d := &desk{answers: map[string]daap.Operation{}}
	d.op = daap.Operation{ID: uuid.New(), Kind: daap.ProvisionDatabase, State: daap.OperationNeedsAttention}
	decide := func(request byte) error {
		named := platform
		named.Once = daap.Once{Key: "a", Request: [32]byte{request}}
		_, err := daap.NewOperations(d, d, d, d).Decide(t.Context(), named, d.op.ID,
			daap.Decision{Action: daap.ActionRetry, Reason: "why"})
		return err
	}
	if err := errors.Join(decide(1), decide(1)); err != nil || len(d.told) != 1 {
		t.Fatalf("told %d times (%v), want once", len(d.told), err)
	}
	clear(d.answers) // the process died before it kept the answer
	if err := decide(1); err != nil || d.ids[0] != d.ids[1] {
		t.Errorf("told under %v (%v), want the same name", d.ids, err)
	}
	clear(d.answers)
	if err := decide(2); err != nil || d.ids[1] == d.ids[2] {
		t.Errorf("another request is sent with the same ID %s (%v)", d.ids[2], err)
	}
}

func TestDecisionRequiresAReason(t *testing.T) {
	t.Parallel()
	for field, decision := range map[string]daap.Decision{
		"reason": {Action: daap.ActionRetry},
		"action": {Action: "explode", Reason: "why"},
	} {
		err := decision.Validate()
		if e := daap.AsError(err); e == nil || len(e.Details) != 1 || e.Details[0].Field != field {
			t.Errorf("Validate() = %v, want %s refused", err, field)
		}
	}
}
