package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// decided is the body of a decision.
const decided = `{"reason":"The quota is raised."}`

const (
	ruleReason = "must be text of 1 to 500 characters"
	ruleStep   = "must be the name of a step, such as cluster"
)

// decide sends a decision and fails the test unless the answer has the status.
func (s *service) decide(op uuid.UUID, action string, status int, headers ...string) answer {
	s.t.Helper()
	got := s.do(http.MethodPost, "/operations/"+op.String()+"/"+action, decided, headers...)
	if got.status != status {
		s.t.Fatalf("%s: got %d %s, want %d", action, got.status, got.body, status)
	}
	return got
}

// parked returns an operation that provisions a database and needs attention at the step.
func (s *service) parked(name string, step daap.StepName) uuid.UUID {
	_, op := s.create("shop", name)
	s.store.begin(op, step)
	s.store.park(op, daap.NewCause(daap.CauseQuota, "Too many pods."))
	return op
}

func TestDecisionReturnsTheOperationAfterwards(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, waits := s.create("shop", "pending")
	_, runs := s.create("shop", "running")
	s.store.begin(runs, daap.StepCluster)
	for name, row := range map[string]struct {
		op     uuid.UUID
		action string
		state  oas.OperationState
		step   string
		status daap.DatabaseStatus
	}{
		"retry": {s.parked("a-a", daap.StepCluster), "retry", oas.OperationStateRunning, "cluster", daap.DatabaseProvisioning},
		"skip":  {s.parked("b-b", daap.StepReady), "skip", oas.OperationStateRunning, "connect", daap.DatabaseProvisioning},
		"abort": {s.parked("c-c", daap.StepCluster), "abort", oas.OperationStateCancelling, "cluster", daap.DatabaseDeleting},
		"cancel of a parked one": {
			s.parked("d-d", daap.StepCluster), "cancel", oas.OperationStateCancelling, "cluster", daap.DatabaseDeleting,
		},
		"cancel of a running one": {runs, "cancel", oas.OperationStateCancelling, "cluster", daap.DatabaseDeleting},
		"cancel of a pending one": {waits, "cancel", oas.OperationStateCancelled, "", daap.DatabaseDeleted},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.decide(row.op, row.action, http.StatusAccepted)
			var res oas.OperationResponse
			if err := res.UnmarshalJSON(got.body); err != nil {
				t.Fatal(err)
			}
			if got.header.Get("Location") != "/operations/"+row.op.String() || got.header.Get("Retry-After") != "2" {
				t.Errorf("got headers %v", got.header)
			}
			if res.Data.ID != row.op || res.Data.State != row.state || res.Data.Step.Value != row.step {
				t.Errorf("got %+v", res.Data)
			}
			if undoes := row.state == oas.OperationStateCancelling; undoes != (res.Data.CancelledBy.Value == "platform/alice") {
				t.Errorf("it was cancelled by %v", res.Data.CancelledBy)
			}
			if status := s.store.database(res.Data.DatabaseID).Status; status != row.status {
				t.Errorf("the database is %s, want %s", status, row.status)
			}
		})
	}
}

func TestUndoneStepShowsItsState(t *testing.T) {
	t.Parallel()
	s := start(t)
	op := s.parked("orders", daap.StepCluster)
	s.decide(op, "abort", http.StatusAccepted)
	for _, step := range s.operation(op).Steps {
		title := daap.ProvisionDatabase.Title(daap.StepName(step.Name))
		if step.State == oas.StepStateUndoing {
			title = "Roll back: " + title
		}
		if step.Title != title {
			t.Errorf("step %s is %s: got title %q, want %q", step.Name, step.State, step.Title, title)
		}
	}
}

func TestRefusedDecisionGivesTheReason(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, waits := s.create("shop", "pending")
	_, runs := s.create("shop", "running")
	s.store.begin(runs, daap.StepCluster)
	_, over := s.create("shop", "over")
	s.store.succeed(over)
	parked, last, undone := s.parked("a-a", daap.StepCluster), s.parked("b-b", daap.StepFinish), s.parked("c-c", daap.StepPooler)
	s.decide(undone, "abort", http.StatusAccepted)
	taken, _ := s.create("shop", "taken")
	takesOver := s.delete(taken.ID)
	const (
		gone    = "The operation's workflow is gone: retry, which repeats nothing that is done, or abort."
		running = `The operation does not need attention now; it is at step "cluster".`
	)
	lost := s.parked("d-d", daap.StepReady)
	s.store.lost[lost] = true
	for _, row := range []struct {
		op           uuid.UUID
		action, step string
		want         string
	}{
		{waits, "retry", "", "The operation has not begun; it can only be cancelled."},
		{waits, "skip", "", "The operation has not begun; it can only be cancelled."},
		{waits, "abort", "", "The operation has not begun; it can only be cancelled."},
		{runs, "retry", "", running},
		{runs, "skip", "", running},
		{runs, "abort", "", running},
		{over, "retry", "", "The operation is over: succeeded."},
		{over, "cancel", "", "The operation is over: succeeded."},
		{parked, "retry", "pooler", `The operation is at step "cluster", not at "pooler".`},
		{parked, "cancel", "volumes", `Step "volumes" is unknown; the operation is at step "cluster".`},
		{parked, "skip", "", `Step "cluster" cannot be skipped: later steps need it.`},
		{last, "abort", "", "The database is complete and is being recorded as ready; delete it instead."},
		{last, "cancel", "", "The database is complete and is being recorded as ready; delete it instead."},
		{undone, "cancel", "", "The operation is already being cancelled; retry or skip its current step."},
		{takesOver, "cancel", "", "The deletion took the database over from another operation, which was cancelled; " +
			"such a deletion cannot be rolled back."},
		{lost, "skip", "", gone},
	} {
		before := s.operation(row.op)
		body := decided
		if row.step != "" {
			body = fmt.Sprintf(`{"reason":"Why not.","step":%q}`, row.step)
		}
		got := s.do(http.MethodPost, "/operations/"+row.op.String()+"/"+row.action, body)
		if got.status != http.StatusConflict || got.Error.Code != oas.ErrorCodeDecisionRefused || got.Error.Message != row.want {
			t.Errorf("%s: got %d %s\nwant %s", row.action, got.status, got.body, row.want)
		}
		if after := s.operation(row.op); after.State != before.State || after.Step != before.Step {
			t.Errorf("%s: a refused decision changed %+v to %+v", row.action, before, after)
		}
	}
}

func TestLostWorkflowIsRestarted(t *testing.T) {
	t.Parallel()
	s := start(t)
	for action, by := range map[string]string{"retry": "", "abort": "platform/alice", "cancel": "platform/alice"} {
		op := s.parked(action, daap.StepCluster)
		s.store.lost[op] = true
		s.decide(op, action, http.StatusAccepted)
		got := s.operation(op)
		if got.State != oas.OperationStatePending || got.Restarts != 1 || got.CancelledBy.Value != by || !got.Error.Null {
			t.Errorf("%s: got %+v", action, got)
		}
	}
	_, op := s.create("shop", "orders")
	s.store.begin(op, daap.StepCluster)
	s.store.lost[op] = true
	if got := s.decide(op, "cancel", http.StatusServiceUnavailable); got.header.Get("Retry-After") != "5" {
		t.Errorf("before it is found out: got headers %v", got.header)
	}
}

func TestDecisionAboutAnUnknownOperationIsNotFound(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, action := range daap.Actions() {
		got := s.decide(uuid.New(), string(action), http.StatusNotFound)
		if got.Error.Message != "There is no such operation." {
			t.Errorf("%s: got %s", action, got.body)
		}
	}
}

func TestExampleOfADecisionIsAccepted(t *testing.T) {
	t.Parallel()
	s := start(t)
	doc, _ := contract()
	example := map[string]any{}
	for name, property := range doc.Components.Schemas["DecisionRequest"].Value.Properties {
		example[name] = property.Value.Example
	}
	body, err := json.Marshal(example)
	if err != nil {
		t.Fatal(err)
	}
	op := s.parked("orders", daap.StepCluster)
	if got := s.do(http.MethodPost, "/operations/"+op.String()+"/retry", string(body)); got.status != http.StatusAccepted {
		t.Errorf("%s: got %d %s", body, got.status, got.body)
	}
}

func TestBadDecisionIsRefusedNamingTheField(t *testing.T) {
	t.Parallel()
	rows := map[string]refusal{}
	for _, action := range daap.Actions() {
		row := func(name, body string, fields ...string) {
			rows[string(action)+" "+name] = refusal{
				method: http.MethodPost, path: "/operations/" + existing.String() + "/" + string(action), body: body, fields: fields,
			}
		}
		row("no fields", `{}`, "reason", "is required")
		row("actor, who is the key's", `{"actor":"alice","reason":"why"}`, "actor", "is not a known field")
		bad := map[string]string{
			"a number": `5`, "null": `null`, "an object": `{}`, "an array": `["a"]`, "empty": `""`,
			"NUL": `"a\u0000"`, "an escape": `"\u001b[0m"`, "half a pair": `"\ud800"`, "not UTF-8": "\"a\xff\"",
		}
		for what, value := range bad {
			row("reason is "+what, `{"reason":`+value+`}`, "reason", ruleReason)
			row("step is "+what, `{"reason":"why","step":`+value+`}`, "step", ruleStep)
		}
		row("reason is long", `{"reason":"`+strings.Repeat("é", 501)+`"}`, "reason", ruleReason)
		for _, step := range []string{"Cluster", "_a", "a-b", "a b", "1", "cluster\\n", strings.Repeat("a", 41)} {
			row("step is "+step, `{"reason":"why","step":"`+step+`"}`, "step", ruleStep)
		}
		row("unknown field", `{"reason":"why","force":true}`, "force", "is not a known field")
		row("action", `{"reason":"why","action":"skip"}`, "action", "is not a known field")
		row("everything", `{"step":5,"x":1}`, "step", ruleStep, "x", "is not a known field", "reason", "is required")
		row("field given twice", `{"reason":"why","reason":"why not"}`, "reason", "is given more than once")
		for what, body := range map[string]string{"array": `[]`, "text": `"{}"`, "null": `null`} {
			row("body is "+what, body, "body", "must be an object")
		}
	}
	refuseAll(t, rows)
}
