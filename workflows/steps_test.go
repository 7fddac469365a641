package workflows_test

import (
	"errors"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// quota is what keeps a step for good until a person raises it.
var quota = daap.NewCause(daap.CauseQuota, "exceeded quota: small")

func refusedFor(cause daap.Cause) error {
	return temporal.NewApplicationErrorWithOptions(cause.Message, string(cause.Code),
		temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{cause}})
}

// failsOnceAt makes the step's first attempt fail for good.
func (w *world) failsOnceAt(step daap.StepName) {
	w.fail = func(at visit) error {
		if at == (visit{step: step}) && w.tried(at) == 1 {
			return refusedFor(quota)
		}
		return nil
	}
}

func TestStepsRunInTheOrderOfThePlan(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, kind)
			w.run()
			for i, plan := range kind.Steps() {
				if i >= len(w.ran) || w.ran[i] != (visit{step: plan.Name}) {
					t.Fatalf("ran %v, want the plan %v", w.ran, kind.Steps())
				}
				if w.rows.step(plan.Name) != daap.StepDone {
					t.Errorf("step %s is %s, want done", plan.Name, w.rows.step(plan.Name))
				}
			}
			if len(w.rows.parks()) > 0 {
				t.Errorf("parked with %v, want never", w.rows.parks())
			}
			w.ended(daap.OperationSucceeded)
		})
	}
}

func TestEveryActivityIsIdempotent(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, kind)
			w.twice = true
			w.run()
			w.ended(daap.OperationSucceeded)
		})
	}
}

func TestTemporaryFailureSucceeds(t *testing.T) {
	t.Parallel()
	eachStep(t, func(t *testing.T, kind daap.OperationKind, step daap.StepPlan) {
		w := newWorld(t, kind)
		w.fail = func(at visit) error {
			if at.step == step.Name && w.tried(at) < 4 {
				return errors.New("the world is not ready")
			}
			return nil
		}
		w.run()
		if len(w.rows.parks()) > 0 {
			t.Errorf("parked with %v, want never", w.rows.parks())
		}
		w.ended(daap.OperationSucceeded)
	})
}

func TestRefusedStepParksAndARetryFinishes(t *testing.T) {
	t.Parallel()
	for how, decide := range ways {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			eachStep(t, func(t *testing.T, kind daap.OperationKind, step daap.StepPlan) {
				w := newWorld(t, kind)
				w.failsOnceAt(step.Name)
				env := w.environment()
				env.RegisterDelayedCallback(func() {
					if got := w.rows.op().State; got != daap.OperationNeedsAttention {
						t.Errorf("after 48 hours the operation is %s, want it to need attention", got)
					}
					decide(w, daap.Decision{Action: daap.ActionRetry, Step: step.Name, Origin: daap.Origin{Actor: "alice"}, Reason: "raised"})
				}, 48*time.Hour)
				w.run()
				if parks := w.rows.parks(); len(parks) != 1 || parks[0].Cause != quota.Code || !contains(parks[0].Message, quota.Message) {
					t.Errorf("parked with %v, want once with %v", w.rows.parks(), quota)
				}
				w.ended(daap.OperationSucceeded)
			})
		})
	}
}

func TestStepOutOfTimeParksWithWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	eachStep(t, func(t *testing.T, kind daap.OperationKind, step daap.StepPlan) {
		w := newWorld(t, kind)
		told := false
		w.fail = func(at visit) error {
			if at.step == step.Name && !told {
				return errors.New("1 of 3 instances are ready")
			}
			return nil
		}
		env := w.environment()
		env.RegisterDelayedCallback(func() {
			told = true
			w.signal(daap.Decision{Action: daap.ActionRetry})
		}, 24*time.Hour)
		w.run()
		if parks := w.rows.parks(); len(parks) != 1 || parks[0].Cause != daap.CauseDeadline || !contains(parks[0].Message, "1 of 3 instances") {
			t.Errorf("parked with %v, want once for DEADLINE with the last reason", w.rows.parks())
		}
		w.ended(daap.OperationSucceeded)
	})
}

func TestStepDeadlineOfThePlatformComesFirst(t *testing.T) {
	t.Parallel()
	eachStep(t, func(t *testing.T, kind daap.OperationKind, step daap.StepPlan) {
		w := newWorld(t, kind)
		w.deadline = time.Minute
		mended := false
		w.fail = func(at visit) error {
			if at.step == step.Name && !mended {
				return errors.New("not ready")
			}
			return nil
		}
		env := w.environment()
		env.RegisterDelayedCallback(func() {
			if got := w.rows.op().State; got != daap.OperationNeedsAttention {
				t.Errorf("after the platform's deadline the operation is %s, want it to need attention", got)
			}
			mended = true
			w.signal(daap.Decision{Action: daap.ActionRetry})
		}, 61*time.Second)
		w.run()
		w.ended(daap.OperationSucceeded)
	})
}

func TestSupersededOperationEndsWithoutChanges(t *testing.T) {
	t.Parallel()
	eachStep(t, func(t *testing.T, kind daap.OperationKind, step daap.StepPlan) {
		w := newWorld(t, kind)
		w.fail = func(at visit) error {
			if at.step == step.Name {
				return temporal.NewNonRetryableApplicationError("lost", activities.ErrorSuperseded, nil)
			}
			return nil
		}
		w.run()
		if last := w.ran[len(w.ran)-1]; last.step != step.Name || w.tried(last) != 1 || len(w.rows.parks()) != 0 {
			t.Errorf("ran %v, parked %v; want nothing after one try of %s", w.ran, w.rows.parks(), step.Name)
		}
	})
}

func TestSecondRunOfAFinishedOperationDoesNothing(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, kind)
			w.run()
			ran := len(w.ran)
			w.run()
			if len(w.ran) != ran {
				t.Errorf("the second run went through %v", w.ran[ran:])
			}
			w.ended(daap.OperationSucceeded)
		})
	}
}

func TestRestartedRunContinues(t *testing.T) {
	t.Parallel()
	for kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, kind)
			w.run()
			receipt := w.rows.op().Receipt
			w.rows = newRows(t, kind) // the operation is open as before; only the world has all that was made
			w.rows.change(func(op *daap.Operation) { op.Receipt = receipt })
			w.run()
			w.ended(daap.OperationSucceeded)
		})
	}
}

func TestRestartedRunOfACancelledOperationRollsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, daap.ProvisionDatabase)
	w.run()
	w.rows = newRows(t, daap.ProvisionDatabase)
	w.rows.change(func(op *daap.Operation) { op.CancelledBy = "alice" })
	given := w.rows.db()
	given.Status = w.rows.op().StatusDuring() // a cancellation moves the database, too
	w.rows.PutDatabase(given)
	ran := len(w.ran)
	backward := input
	backward.Undo = true
	w.run(backward)
	for _, at := range w.ran[ran:] {
		if !at.undo {
			t.Errorf("step %s ran forward", at.step)
		}
	}
	w.ended(daap.OperationCancelled)
}
