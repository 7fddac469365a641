package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
	"github.com/daap-dev/daap/workflows"
)

// kinds are the operations with the workflow that carries each out.
var kinds = map[daap.OperationKind]func(workflow.Context, workflows.Input) error{
	daap.ProvisionDatabase: workflows.ProvisionDatabase,
	daap.DeleteDatabase:    workflows.DeleteDatabase,
}

var input = workflows.Input{
	Operation: uuid.MustParse("0190a0a0-0000-7000-8000-000000000001"),
	Database:  uuid.MustParse("0190a0a0-0000-7000-8000-000000000002"),
}

// world stands in for all activities of steps: it records what ran and fails where it is told to.
type world struct {
	// fail returns the error of one attempt of a step; nil lets it succeed.
	fail func(step daap.StepName, attempt int) error
	// at is called before each attempt.
	at func(step daap.StepName)

	ran     []daap.StepName
	tries   map[daap.StepName]int
	parked  []daap.Cause
	resumed int
}

func (w *world) step(_ context.Context, in activities.Input) error {
	if w.at != nil {
		w.at(in.Step)
	}
	w.tries[in.Step]++
	if w.fail != nil {
		if err := w.fail(in.Step, w.tries[in.Step]); err != nil {
			return err
		}
	}
	w.ran = append(w.ran, in.Step)
	return nil
}

// environment returns a time-skipping environment in which all activities are w's.
func environment(w *world) *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(20 * time.Second)
	w.tries = map[daap.StepName]int{}
	rows := &activities.Records{}
	workflows.Register(env, workflows.Activities{
		Kubernetes: &activities.Kubernetes{}, Postgres: &activities.Postgres{}, Records: rows, Engine: &activities.Engine{},
	})
	for _, name := range []string{
		"ApplyNamespace", "CreateCredentials", "ApplyCluster", "ApplyPooler", "WaitReady", "Connect",
		"StopSuperseded", "DeleteWorkloads", "DeleteNamespace", "WaitVolumesGone", "Finish",
	} {
		env.OnActivity(name, anyArgs, anyArgs).Return(w.step).Maybe()
	}
	env.OnActivity(rows.Park, anyArgs, anyArgs).Return(func(_ context.Context, in activities.ParkInput) error {
		w.parked = append(w.parked, in.Cause)
		return nil
	}).Maybe()
	env.OnActivity(rows.Resume, anyArgs, anyArgs).Return(func(context.Context, activities.Input) error {
		w.resumed++
		return nil
	}).Maybe()
	return env
}

// eachStep runs the test for every step of every operation, so that a new step is tested the day it is written.
func eachStep(t *testing.T, test func(t *testing.T, kind daap.OperationKind, step daap.StepName)) {
	t.Helper()
	for kind := range kinds {
		for _, plan := range kind.Steps() {
			t.Run(string(kind)+"/"+string(plan.Name), func(t *testing.T) {
				t.Parallel()
				test(t, kind, plan.Name)
			})
		}
	}
}

func ranAll(t *testing.T, kind daap.OperationKind, w *world) {
	t.Helper()
	plan := kind.Steps()
	if len(w.ran) != len(plan) {
		t.Fatalf("steps that ran: %v, want the plan %v", w.ran, plan)
	}
	for i := range plan {
		if w.ran[i] != plan[i].Name {
			t.Fatalf("step %d that ran: %s, want %s", i, w.ran[i], plan[i].Name)
		}
	}
}

func TestStepsRunInTheOrderOfThePlan(t *testing.T) {
	t.Parallel()
	for kind, run := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := &world{}
			env := environment(w)
			env.ExecuteWorkflow(run, input)
			if err := env.GetWorkflowError(); err != nil {
				t.Fatal(err)
			}
			ranAll(t, kind, w)
			if len(w.parked) > 0 {
				t.Errorf("parked with %v, want never", w.parked)
			}
		})
	}
}

func TestStepThatFailsForAWhileSucceeds(t *testing.T) {
	t.Parallel()
	eachStep(t, func(t *testing.T, kind daap.OperationKind, step daap.StepName) {
		w := &world{fail: func(at daap.StepName, attempt int) error {
			if at == step && attempt < 4 {
				return errors.New("the world is not ready")
			}
			return nil
		}}
		env := environment(w)
		env.ExecuteWorkflow(kinds[kind], input)
		if err := env.GetWorkflowError(); err != nil {
			t.Fatal(err)
		}
		ranAll(t, kind, w)
	})
}

func TestRejectedStepParksAndGoesOnWhenToldTo(t *testing.T) {
	t.Parallel()
	decisions := map[string]func(*testing.T, *testsuite.TestWorkflowEnvironment, daap.StepName){
		"by update": func(t *testing.T, env *testsuite.TestWorkflowEnvironment, step daap.StepName) {
			t.Helper()
			env.UpdateWorkflow(workflows.DecideName, "", &testsuite.TestUpdateCallback{
				OnAccept:   func() {},
				OnReject:   func(err error) { t.Errorf("the decision is refused: %v", err) },
				OnComplete: func(any, error) {},
			}, workflows.Decision{Action: workflows.Retry, Step: step, Actor: "alice"})
		},
		"by signal": func(_ *testing.T, env *testsuite.TestWorkflowEnvironment, _ daap.StepName) {
			env.SignalWorkflow(workflows.DecideName, workflows.Decision{Action: workflows.Retry})
		},
	}
	for how, decide := range decisions {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			eachStep(t, func(t *testing.T, kind daap.OperationKind, step daap.StepName) {
				w := &world{fail: func(at daap.StepName, attempt int) error {
					if at == step && attempt == 1 {
						return temporal.NewNonRetryableApplicationError("spec.size: too small", activities.ErrorRejected, nil)
					}
					return nil
				}}
				env := environment(w)
				env.RegisterDelayedCallback(func() { decide(t, env, step) }, 48*time.Hour)
				env.ExecuteWorkflow(kinds[kind], input)
				if err := env.GetWorkflowError(); err != nil {
					t.Fatal(err)
				}
				ranAll(t, kind, w)
				if len(w.parked) != 1 || w.parked[0].Code != daap.CauseRejected || w.resumed != 1 {
					t.Errorf("parked %v, resumed %d times, want once each for REJECTED", w.parked, w.resumed)
				}
			})
		})
	}
}

func TestStepOutOfTimeParksWithWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	eachStep(t, func(t *testing.T, kind daap.OperationKind, step daap.StepName) {
		told := false
		w := &world{fail: func(at daap.StepName, _ int) error {
			if at == step && !told {
				return errors.New("1 of 3 instances are ready")
			}
			return nil
		}}
		env := environment(w)
		env.RegisterDelayedCallback(func() {
			told = true
			env.SignalWorkflow(workflows.DecideName, workflows.Decision{Action: workflows.Retry})
		}, 24*time.Hour)
		env.ExecuteWorkflow(kinds[kind], input)
		if err := env.GetWorkflowError(); err != nil {
			t.Fatal(err)
		}
		ranAll(t, kind, w)
		if len(w.parked) != 1 || w.parked[0].Code != daap.CauseDeadline || !contains(w.parked[0].Message, "1 of 3 instances") {
			t.Errorf("parked %v, want once for DEADLINE with the last reason", w.parked)
		}
	})
}

func TestSupersededOperationEndsAndDoesNothingMore(t *testing.T) {
	t.Parallel()
	eachStep(t, func(t *testing.T, kind daap.OperationKind, step daap.StepName) {
		w := &world{fail: func(at daap.StepName, _ int) error {
			if at == step {
				return temporal.NewNonRetryableApplicationError("lost", activities.ErrorSuperseded, nil)
			}
			return nil
		}}
		env := environment(w)
		env.ExecuteWorkflow(kinds[kind], input)
		if err := env.GetWorkflowError(); err != nil {
			t.Fatal(err)
		}
		if w.tries[step] != 1 || len(w.parked) != 0 {
			t.Errorf("step tried %d times, parked %v, want one try and no parking", w.tries[step], w.parked)
		}
		if last := kind.Steps()[len(w.ran)].Name; last != step {
			t.Errorf("steps after the lost one ran: %v", w.ran)
		}
	})
}

func TestCancelEndsAProvisionAndNotADelete(t *testing.T) {
	t.Parallel()
	eachStep(t, func(t *testing.T, kind daap.OperationKind, step daap.StepName) {
		w := &world{}
		env := environment(w)
		w.at = func(at daap.StepName) {
			if at == step {
				env.CancelWorkflow()
			}
		}
		env.ExecuteWorkflow(kinds[kind], input)
		err := env.GetWorkflowError()
		if kind == daap.DeleteDatabase {
			if err != nil {
				t.Fatalf("cancelled delete = %v, want success", err)
			}
			ranAll(t, kind, w)
			return
		}
		if step != daap.StepFinish && w.tries[daap.StepFinish] > 0 {
			t.Errorf("cancelled at %s and finished all the same (%v)", step, err)
		}
	})
}
