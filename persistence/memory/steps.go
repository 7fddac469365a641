package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// updateSteps applies the change to every step of the operation.
func (r *rows) updateSteps(id uuid.UUID, change func(*daap.Step)) {
	r.updateOperation(id, func(row *operation) {
		for i := range row.Steps {
			change(&row.Steps[i])
		}
	})
}

// RecordStep records the progress of a step, and makes it the current step of the operation. It ignores an operation
// that is over, parked or goes in the other direction.
func (s *Store) RecordStep(ctx context.Context, id uuid.UUID, step daap.Step) error {
	return s.change(ctx, func(r *rows) error {
		op, found := r.operation(id)
		undoes := op.CancelledBy != ""
		if !found || op.State != op.OnTheWay() || step.State.Undoes() != undoes {
			return nil
		}
		i := slices.IndexFunc(op.Steps, func(st daap.Step) bool { return st.Name == step.Name })
		if i < 0 {
			return fmt.Errorf("operation %s has no step %s", id, step.Name)
		}
		r.updateOperation(id, func(row *operation) {
			row.Cause = causeAt(op, step)
			row.Step, row.Steps[i] = step.Name, r.stepAfter(op.Steps[i], step)
		})
		if op.Steps[i].State != step.State {
			r.stepHappened(op, step)
		}
		return nil
	})
}

// causeAt is the cause of the operation at the step. An attempt that has just begun knows no cause yet, so the one
// before stays; so does one that says more.
func causeAt(op daap.Operation, step daap.Step) *daap.Cause {
	begins := step.Cause == nil && step.Progress == "" &&
		(step.State == daap.StepRunning || step.State == daap.StepUndoing)
	if (begins || step.Cause.TellsLess()) && op.Step == step.Name && op.Cause != nil {
		return op.Cause
	}
	if step.Cause == nil {
		return nil
	}
	cause := *step.Cause
	cause.Message, cause.Remedy = storable(cause.Message), storable(cause.Remedy)
	return &cause
}

// stepAfter merges a report into a step.
func (r *rows) stepAfter(was, is daap.Step) daap.Step {
	after := daap.Step{
		Name: was.Name, State: is.State, Attempts: is.Attempts, Progress: storable(is.Progress),
		LastError: storable(is.LastError), StartedAt: was.StartedAt,
	}
	if is.LastError == "" && is.State != daap.StepFailed {
		after.LastError = was.LastError
	}
	if is.State != daap.StepPending && after.StartedAt == nil {
		after.StartedAt = new(r.now)
	}
	if is.State == daap.StepDone || is.State == daap.StepUndone {
		if after.FinishedAt = was.FinishedAt; after.FinishedAt == nil {
			after.FinishedAt = new(r.now)
		}
	}
	return after
}

// stepHappened adds an event for a step that is over; attempts, which may be many, have none.
func (r *rows) stepHappened(op daap.Operation, step daap.Step) {
	var e daap.Event
	switch step.State {
	case daap.StepDone:
		e = op.Happened(daap.EventStepDone, "%s: done at attempt %d.", op.Kind.Title(step.Name), step.Attempts)
	case daap.StepUndone:
		e = op.Happened(daap.EventStepUndone, "%s: rolled back at attempt %d.", op.Kind.Title(step.Name), step.Attempts)
	default:
		return
	}
	e.Step = step.Name
	r.happened(op, e)
}
