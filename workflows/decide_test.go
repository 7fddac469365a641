package workflows_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
	"github.com/daap-dev/daap/workflows"
)

const anyArgs = mock.Anything

func contains(s, part string) bool { return strings.Contains(s, part) }

// parkedAt is a world in which the step is rejected once.
func parkedAt(step daap.StepName) *world {
	return &world{fail: func(at daap.StepName, attempt int) error {
		if at == step && attempt == 1 {
			return temporal.NewNonRetryableApplicationError("no", activities.ErrorRejected, nil)
		}
		return nil
	}}
}

func TestDecisionThatIsNotLegalIsRefusedWithASentence(t *testing.T) {
	t.Parallel()
	refusals := map[string]struct {
		decision workflows.Decision
		says     string
	}{
		"unknown action": {workflows.Decision{Action: "explode"}, `action "explode" is unknown`},
		"other step":     {workflows.Decision{Action: workflows.Retry, Step: daap.StepPooler}, `parked at step "cluster"`},
	}
	for name, refusal := range refusals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := parkedAt(daap.StepCluster)
			env := environment(w)
			var refused error
			env.RegisterDelayedCallback(func() {
				env.UpdateWorkflow(workflows.DecideName, "", &testsuite.TestUpdateCallback{
					OnAccept:   func() { t.Error("the decision is accepted, want refused") },
					OnReject:   func(err error) { refused = err },
					OnComplete: func(any, error) {},
				}, refusal.decision)
			}, time.Hour)
			env.RegisterDelayedCallback(func() {
				env.SignalWorkflow(workflows.DecideName, workflows.Decision{Action: workflows.Retry})
			}, 2*time.Hour)
			env.ExecuteWorkflow(workflows.ProvisionDatabase, input)
			if refused == nil || !contains(refused.Error(), refusal.says) {
				t.Errorf("refusal = %v, want %q", refused, refusal.says)
			}
			if w.resumed != 1 {
				t.Errorf("resumed %d times, want once, by the legal decision", w.resumed)
			}
		})
	}
}

// A retry sent while nothing is parked must not take up an operation that parks later.
func TestDecisionBeforeParkingIsForgotten(t *testing.T) {
	t.Parallel()
	w := parkedAt(daap.StepCluster)
	env := environment(w)
	w.at = func(step daap.StepName) {
		if step == daap.StepNamespace {
			env.SignalWorkflow(workflows.DecideName, workflows.Decision{Action: workflows.Retry})
		}
	}
	resumedEarly := false
	env.RegisterDelayedCallback(func() {
		resumedEarly = w.resumed > 0
		env.SignalWorkflow(workflows.DecideName, workflows.Decision{Action: workflows.Retry})
	}, 24*time.Hour)
	env.ExecuteWorkflow(workflows.ProvisionDatabase, input)
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if resumedEarly || w.resumed != 1 {
		t.Errorf("resumed early: %v, %d times in all; want once, by the later decision", resumedEarly, w.resumed)
	}
}
