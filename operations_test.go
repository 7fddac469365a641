package daap_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// desk is where decisions arrive: the store, and a workflow that may be there.
type desk struct {
	*store
	// decide is what the workflow says; ErrNoWorkflow when there is none.
	decide error
	// told are the decisions that the workflow took, ids their IDs.
	told []daap.Action
	ids  []string
}

// newDesk returns a desk with an operation of the state that provisions a database.
func newDesk(t *testing.T, state daap.OperationState) (*desk, daap.Operation) {
	t.Helper()
	d := &desk{store: newStore(t)}
	db := daap.Database{ID: uuid.New(), Name: "orders", OwnerTeam: "shop", Status: daap.DatabaseProvisioning}
	op := daap.Operation{ID: uuid.New(), DatabaseID: db.ID, Kind: daap.ProvisionDatabase, State: state, Step: daap.StepReady}
	if state == daap.OperationNeedsAttention {
		cause := daap.NewCause(daap.CauseQuota, "Too many pods.")
		db.Status, op.Cause = daap.DatabaseError, &cause
	}
	d.PutDatabase(db)
	d.PutOperation(op.Planned())
	return d, op
}

func (d *desk) Decide(_ context.Context, _ daap.Operation, decision daap.Decision, id string) error {
	d.ids = append(d.ids, id)
	if d.decide == nil {
		d.told = append(d.told, decision.Action)
	}
	return d.decide
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
			d, op := newDesk(t, tt.state)
			d.decide = tt.engine
			if tt.begun {
				began := time.Now()
				op.StartedAt = &began
				d.PutOperation(op)
			}
			_, err := daap.NewOperations(d, d, d, d).Decide(t.Context(), platform, op.ID,
				daap.Decision{Action: tt.action, Reason: "why"})
			after, failed := d.Operation(t.Context(), daap.EveryTeam, op.ID)
			if failed != nil {
				t.Fatal(failed)
			}
			got := map[bool]string{
				len(d.told) > 0: "told", after.State == daap.OperationCancelled: "cancelled", after.Restarts > 0: "restarted",
			}[true]
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
	d, op := newDesk(t, daap.OperationNeedsAttention)
	decide := func(request byte) error {
		named := platform
		named.Once = daap.Once{Key: "a", Request: [32]byte{request}}
		_, err := daap.NewOperations(d, d, d, d).Decide(t.Context(), named, op.ID,
			daap.Decision{Action: daap.ActionRetry, Reason: "why"})
		return err
	}
	if err := errors.Join(decide(1), decide(1)); err != nil || len(d.told) != 1 {
		t.Fatalf("told %d times (%v), want once", len(d.told), err)
	}
	d.Pass(25 * time.Hour) // the answer is kept no more, as where the process died before it kept it
	if err := decide(1); err != nil || d.ids[0] != d.ids[1] {
		t.Errorf("told under %v (%v), want the same name", d.ids, err)
	}
	d.Pass(25 * time.Hour)
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
