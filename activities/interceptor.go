package activities

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/diagnosis"
)

// operations are the rows of the operations that activities work for.
type operations interface {
	// BeginOperation marks the operation as begun; ErrSuperseded if it is over or changed direction.
	BeginOperation(ctx context.Context, id uuid.UUID, undo bool) error
	// RecordStep records the step's progress. It does nothing if the operation is over or changed direction.
	RecordStep(ctx context.Context, operation uuid.UUID, step daap.Step) error
}

// Interceptor wraps every step's activity. Only the operation that holds the database may act. The Interceptor writes
// the step's attempts, errors and end to its row, without events in the workflow's history, and classifies errors.
type Interceptor struct {
	interceptor.WorkerInterceptorBase
	Operations operations
}

// InterceptActivity wraps one activity's run.
func (i *Interceptor) InterceptActivity(
	_ context.Context, next interceptor.ActivityInboundInterceptor,
) interceptor.ActivityInboundInterceptor {
	run := &stepRecorder{operations: i.Operations}
	run.Next = next
	return run
}

type stepRecorder struct {
	interceptor.ActivityInboundInterceptorBase
	operations operations
}

// ExecuteActivity runs one attempt of a step.
func (r *stepRecorder) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	attempt := int(activity.GetInfo(ctx).Attempt)
	input, ok := stepInput(in.Args)
	if !ok {
		result, err := r.Next.ExecuteActivity(ctx, in)
		return result, classify(err, attempt)
	}
	if err := r.operations.BeginOperation(ctx, input.Operation, input.Undo); err != nil {
		return nil, classify(fmt.Errorf("begin operation %s: %w", input.Operation, err), attempt)
	}
	step := input.step(daap.StepRunning, attempt)
	if err := r.operations.RecordStep(ctx, input.Operation, step); err != nil {
		return nil, fmt.Errorf("record step %s: %w", step.Name, err)
	}
	result, err := r.Next.ExecuteActivity(ctx, in)
	err = r.end(ctx, input, step.Attempts, err)
	log := activity.GetLogger(ctx)
	if err != nil {
		log.Info("An attempt of a step failed.", fields(input, step, "reason", Reason(err))...)
		return nil, err
	}
	log.Info("A step is done.", fields(input, step)...)
	return result, nil
}

// fields are the log fields that identify the step.
func fields(in Input, step daap.Step, more ...any) []any {
	return append([]any{
		"operation_id", in.Operation.String(), "database_id", in.Database.String(),
		"step", string(step.Name), "attempt", step.Attempts,
	}, more...)
}

// end records how the attempt ended and returns the classified error for Temporal. A success that cannot be recorded
// does not count: Temporal retries the activity, which is safe.
func (r *stepRecorder) end(ctx context.Context, in Input, attempt int, err error) error {
	// Cancelled and timed-out attempts are recorded too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err == nil {
		if err := r.operations.RecordStep(ctx, in.Operation, in.step(daap.StepDone, attempt)); err != nil {
			return fmt.Errorf("record step %s: %w", in.Step, err)
		}
		return nil
	}
	err = classify(err, attempt)
	step := in.step(daap.StepFailed, attempt)
	step.LastError, step.Cause = clip(Reason(err)), knownCause(err)
	if record := r.operations.RecordStep(ctx, in.Operation, step); record != nil {
		activity.GetLogger(ctx).Warn("The failed step cannot be recorded.", "step", step.Name, "error", record)
	}
	return err
}

// knownCause returns the cause in the error, or nil.
func knownCause(err error) *daap.Cause {
	if cause := Cause(err, ""); cause.Code != daap.CauseDeadline {
		return &cause
	}
	return nil
}

// step returns the input's step in the given state, or in the corresponding state of an undo.
func (in Input) step(state daap.StepState, attempt int) daap.Step {
	if in.Undo {
		switch state {
		case daap.StepDone:
			state = daap.StepUndone
		default:
			state = daap.StepUndoing
		}
	}
	return daap.Step{Name: in.Step, State: state, Attempts: attempt}
}

func stepInput(args []any) (Input, bool) {
	if len(args) != 1 {
		return Input{}, false
	}
	input, ok := args[0].(Input)
	return input, ok && input.Step != ""
}

// maxReason limits the text of an error in a row, in characters; the workflow's history has the complete text.
const maxReason = 500

// clip returns the text of an error or of progress as a row stores it.
func clip(text string) string { return diagnosis.SafeTo(text, maxReason) }
