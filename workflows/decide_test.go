package workflows_test

import (
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/workflows"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// ways are the ways in which a decision reaches an operation; each must be taken.
var ways = map[string]func(*world, daap.Decision){
	"by update": func(w *world, d daap.Decision) {
		w.update(d, func(err error) { w.t.Errorf("the decision to %s is refused: %v", d.Action, err) })
	},
	"by signal": func(w *world, d daap.Decision) { w.signal(d) },
}

func (w *world) signal(d daap.Decision) { w.env.SignalWorkflow(workflows.DecideName, d) }

// update decides and tells a refusal, also one that comes only when the decision is carried out.
func (w *world) update(d daap.Decision, refused func(error)) {
	w.env.UpdateWorkflow(workflows.DecideName, "", &testsuite.TestUpdateCallback{
		OnAccept: func() {},
		OnReject: refused,
		OnComplete: func(_ any, err error) {
			if err != nil {
				refused(err)
			}
		},
	}, d)
}

// run needs the environment until its end: decisions go through it.
func (w *world) decidedRun(decide func(), after time.Duration) {
	w.t.Helper()
	w.env.RegisterDelayedCallback(decide, after)
	w.run()
}

// canBeGivenUp says whether an operation at the step still can.
func canBeGivenUp(kind daap.OperationKind, step daap.StepName) bool {
	at := daap.Position{Kind: kind, Step: step, Parked: true}
	return at.Refusal(daap.Decision{Action: daap.ActionAbort}) == ""
}

func TestAbortOfAParkedOperationLeavesNothingOrIsRefused(t *testing.T) {
	t.Parallel()
	for how, decide := range ways {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			eachStep(t, func(t *testing.T, kind daap.OperationKind, step daap.StepPlan) {
				w := newWorld(t, kind)
				w.failsOnceAt(step.Name)
				w.environment()
				abort := daap.Decision{Action: daap.ActionAbort, Origin: daap.Origin{Actor: "alice"}, Reason: "not needed"}
				if canBeGivenUp(kind, step.Name) {
					w.decidedRun(func() { decide(w, abort) }, time.Hour)
					w.ended(daap.OperationCancelled)
					return
				}
				var refusal error
				w.env.RegisterDelayedCallback(func() { w.update(abort, func(err error) { refusal = err }) }, time.Hour)
				w.decidedRun(func() { w.signal(daap.Decision{Action: daap.ActionRetry}) }, 2*time.Hour)
				if refusal == nil || !strings.HasSuffix(refusal.Error(), ".") && !contains(refusal.Error(), ". (type") {
					t.Errorf("abort past the pivot = %v, want a sentence", refusal)
				}
				w.ended(daap.OperationSucceeded)
			})
		})
	}
}

func TestCancelAtEachStepLeavesNothingOrIsRefused(t *testing.T) {
	t.Parallel()
	cancels := map[string]func(*world){
		"by decision": func(w *world) {
			w.update(daap.Decision{Action: daap.ActionCancel, Origin: daap.Origin{Actor: "alice"}, Reason: "wrong name"}, func(error) {})
		},
		"of the workflow": func(w *world) { w.env.CancelWorkflow() },
	}
	for how, cancel := range cancels {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			eachStep(t, func(t *testing.T, kind daap.OperationKind, step daap.StepPlan) {
				w := newWorld(t, kind)
				w.fail = func(at visit) error {
					if at == (visit{step: step.Name}) && w.tried(at) == 1 {
						cancel(w)
					}
					return nil
				}
				w.environment()
				w.run()
				if canBeGivenUp(kind, step.Name) {
					w.ended(daap.OperationCancelled)
				} else {
					w.ended(daap.OperationSucceeded)
				}
			})
		})
	}
}

func TestFailedRollbackParksUntilDecided(t *testing.T) {
	t.Parallel()
	eachStep(t, func(t *testing.T, kind daap.OperationKind, step daap.StepPlan) {
		for _, action := range []daap.Action{daap.ActionRetry, daap.ActionSkip} {
			w := newWorld(t, kind)
			parkedBack := false
			w.fail = func(at visit) error {
				switch {
				case at == visit{step: lastBeforePivot(kind)} && w.tried(at) == 1:
					return refusedFor(quota)
				case at == visit{step.Name, true} && w.tried(at) == 1:
					parkedBack = true
					return refusedFor(quota)
				}
				return nil
			}
			w.environment()
			w.env.RegisterDelayedCallback(func() { w.signal(daap.Decision{Action: daap.ActionAbort, Origin: daap.Origin{Actor: "alice"}}) }, time.Hour)
			w.decidedRun(func() {
				if parkedBack {
					ways["by update"](w, daap.Decision{Action: action, Step: step.Name, Origin: daap.Origin{Actor: "alice"}})
				}
			}, 2*time.Hour)
			if w.rows.op().State != daap.OperationCancelled || len(w.rows.parks()) != len(w.rows.decisions()) {
				t.Errorf("the operation is %s after %d parks and %d decisions", w.rows.op().State, len(w.rows.parks()), len(w.rows.decisions()))
			}
			if !parkedBack || action == daap.ActionRetry {
				w.ended(daap.OperationCancelled)
			}
		}
	})
}

// A deletion that takes a provision over cancels its workflow and waits until it has ended.
func TestTakenOverOperationEndsWhenCancelled(t *testing.T) {
	t.Parallel()
	eachStep(t, func(t *testing.T, kind daap.OperationKind, step daap.StepPlan) {
		for _, undo := range []bool{false, true} {
			w := newWorld(t, kind)
			at := visit{step.Name, undo}
			w.fail = func(tried visit) error {
				if tried == at || undo && tried == (visit{step: lastBeforePivot(kind)}) {
					return refusedFor(quota)
				}
				return nil
			}
			w.environment()
			if undo {
				w.env.RegisterDelayedCallback(func() { w.signal(daap.Decision{Action: daap.ActionAbort, Origin: daap.Origin{Actor: "alice"}}) }, time.Hour)
			}
			ran := 0
			w.decidedRun(func() {
				w.rows.change(func(op *daap.Operation) { op.State = daap.OperationCancelled })
				ran = len(w.ran)
				w.env.CancelWorkflow()
			}, 2*time.Hour)
			if w.tried(at) > 0 && len(w.ran) != ran {
				t.Errorf("after it was taken over it ran %v", w.ran[ran:])
			}
		}
	})
}

func lastBeforePivot(kind daap.OperationKind) daap.StepName {
	var last daap.StepName
	for _, plan := range kind.Steps() {
		if canBeGivenUp(kind, plan.Name) {
			last = plan.Name
		}
	}
	return last
}

func TestSkipContinuesIfThePlanAllowsIt(t *testing.T) {
	t.Parallel()
	eachStep(t, func(t *testing.T, kind daap.OperationKind, step daap.StepPlan) {
		w := newWorld(t, kind)
		w.failsOnceAt(step.Name)
		w.environment()
		skip := daap.Decision{Action: daap.ActionSkip, Origin: daap.Origin{Actor: "alice"}, Reason: "seen by hand"}
		var refusal error
		w.env.RegisterDelayedCallback(func() { w.update(skip, func(err error) { refusal = err }) }, time.Hour)
		w.decidedRun(func() { w.signal(daap.Decision{Action: daap.ActionRetry}) }, 2*time.Hour)
		if (refusal == nil) != step.Skippable {
			t.Fatalf("skip = %v, want it taken: %v", refusal, step.Skippable)
		}
		want := 2
		if step.Skippable {
			want = 1
		}
		if got := w.tried(visit{step: step.Name}); got != want || w.rows.op().State != daap.OperationSucceeded {
			t.Errorf("step tried %d times, operation %s; want %d and succeeded", got, w.rows.op().State, want)
		}
	})
}

func TestIllegalDecisionIsRefusedWithASentence(t *testing.T) {
	t.Parallel()
	refusals := map[string]struct {
		decision daap.Decision
		says     string
	}{
		"unknown action":    {daap.Decision{Action: "explode"}, `Action "explode" is unknown`},
		"unknown step":      {daap.Decision{Action: daap.ActionRetry, Step: "lunch"}, `Step "lunch" is unknown`},
		"other step":        {daap.Decision{Action: daap.ActionRetry, Step: daap.StepPooler}, `at step "cluster", not at "pooler"`},
		"skip of a need":    {daap.Decision{Action: daap.ActionSkip}, `cannot be skipped`},
		"one while another": {daap.Decision{Action: daap.ActionRetry}, `Another decision`},
	}
	for name, refusal := range refusals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, daap.ProvisionDatabase)
			w.failsOnceAt(daap.StepCluster)
			w.environment()
			var refused error
			w.env.RegisterDelayedCallback(func() {
				if name == "one while another" {
					w.update(daap.Decision{Action: daap.ActionRetry}, func(err error) { t.Errorf("the first is refused: %v", err) })
				}
				w.update(refusal.decision, func(err error) { refused = err })
			}, time.Hour)
			w.decidedRun(func() { w.signal(daap.Decision{Action: daap.ActionRetry}) }, 2*time.Hour)
			if refused == nil || !contains(refused.Error(), refusal.says) {
				t.Errorf("refusal = %v, want %q", refused, refusal.says)
			}
			w.ended(daap.OperationSucceeded)
		})
	}
}

func TestDeletionAfterTakeOverCannotBeCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, daap.DeleteDatabase)
	w.rows.change(func(op *daap.Operation) { op.StatusBefore = daap.DatabaseProvisioning })
	var refusal error
	w.fail = func(at visit) error {
		if at == (visit{step: daap.StepStop}) && w.tried(at) == 1 {
			w.update(daap.Decision{Action: daap.ActionCancel, Origin: daap.Origin{Actor: "alice"}}, func(err error) { refusal = err })
		}
		return nil
	}
	w.environment()
	w.run()
	if refusal == nil || !contains(refusal.Error(), "cannot be rolled back") {
		t.Errorf("cancel = %v, want it refused", refusal)
	}
	w.ended(daap.OperationSucceeded)
}

// A retry sent while nothing is parked must not take up an operation that parks later.
func TestDecisionBeforeParkingIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, daap.ProvisionDatabase)
	w.fail = func(at visit) error {
		if at == (visit{step: daap.StepNamespace}) {
			w.signal(daap.Decision{Action: daap.ActionRetry})
		}
		if at == (visit{step: daap.StepCluster}) && w.tried(at) == 1 {
			return refusedFor(quota)
		}
		return nil
	}
	w.environment()
	w.decidedRun(func() {
		if len(w.rows.decisions()) > 0 {
			t.Error("the early decision took the operation up")
		}
		w.signal(daap.Decision{Action: daap.ActionRetry})
	}, 24*time.Hour)
	w.ended(daap.OperationSucceeded)
}
