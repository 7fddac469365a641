package workflows

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// errGivenUp ends the forward run of a cancelled operation.
var errGivenUp = errors.New("operation was cancelled")

// runner is one operation in progress.
type runner struct {
	kind     daap.OperationKind
	in       Input
	steps    []step
	deadline time.Duration
	at       int
	// parked is set while the operation waits for a decision.
	parked bool
	// cancelling is set once the operation rolls back.
	cancelling bool
	// decided is the decision to carry out; nil if there is none.
	decided *decision
	// interrupt ends the attempt of the current step.
	interrupt workflow.CancelFunc
}

// run carries out the steps in order. A step that is out of time or permanently refused parks the operation: it needs
// attention, nothing is rolled back, and it continues when a person decides how. An operation that is cancelled before
// its pivot rolls back, last step first, and so does one whose workflow is cancelled. An operation that lost its
// database ends where it is and changes nothing more.
func (w Workflows) run(root workflow.Context, kind daap.OperationKind, in Input, steps []step) error {
	r := &runner{kind: kind, in: in, steps: planned(kind, in, steps), deadline: w.StepDeadline}
	// Cancelling the run must not end its activities: the rollback must continue.
	ctx, _ := workflow.NewDisconnectedContext(root)
	if err := r.listen(ctx, root); err != nil {
		return err
	}
	end, err := r.carryOut(ctx)
	if superseded(err) {
		r.show(ctx, "Another operation took over the database, or this one is over.")
		return answered(ctx)
	}
	if err != nil {
		return err
	}
	r.at = len(r.steps)
	r.show(ctx, fmt.Sprintf("The operation is %s.", end))
	if err := markEnd(ctx, end); err != nil {
		return err
	}
	return answered(ctx)
}

// planned returns the steps that apply to the operation.
func planned(kind daap.OperationKind, in Input, steps []step) []step {
	plan := kind.Plan(in.BacksUp)
	return slices.DeleteFunc(steps, func(s step) bool {
		return !slices.ContainsFunc(plan, func(p daap.StepPlan) bool { return p.Name == s.name })
	})
}

// carryOut returns how the operation ended.
func (r *runner) carryOut(ctx workflow.Context) (daap.OperationState, error) {
	if r.in.Undo {
		r.at, r.cancelling = len(r.steps)-1, true
		return daap.OperationCancelled, r.back(ctx)
	}
	from, err := r.from(ctx)
	if err != nil {
		return "", err
	}
	for i, s := range r.steps[from:] {
		r.at = from + i
		err := r.complete(ctx, s.within, s.do, s.verify)
		if errors.Is(err, errGivenUp) {
			return daap.OperationCancelled, r.back(ctx)
		}
		if err != nil {
			return "", err
		}
	}
	return daap.OperationSucceeded, nil
}

// from returns the first step to run: usually the first, or the pivot if a lost run had passed it and the steps before
// it cannot be repeated.
func (r *runner) from(ctx workflow.Context) (int, error) {
	if !r.kind.ResumesAtPivot() {
		return 0, nil
	}
	var steps *activities.Steps
	var begun bool
	in := activities.Input{Operation: r.in.Operation, Database: r.in.Database}
	if err := workflow.ExecuteActivity(records(ctx), steps.CheckRemovalBegun, in).Get(ctx, &begun); err != nil || !begun {
		return 0, err
	}
	return slices.IndexFunc(r.steps, func(s step) bool { return s.name == r.kind.Pivot() }), nil
}

// back rolls back the steps up to and including the current one, which may be half done.
func (r *runner) back(ctx workflow.Context) error {
	for i, s := range slices.Backward(r.steps[:r.at+1]) {
		r.at = i
		if err := r.complete(ctx, waiting, s.undo); err != nil {
			return err
		}
	}
	var rows *activities.Records
	in := activities.Input{Operation: r.in.Operation, Database: r.in.Database, Undo: true}
	return workflow.ExecuteActivity(records(ctx), rows.FinishCancellation, in).Get(ctx, nil)
}

// complete runs the parts of the current step in order until all are done or the step is skipped, and parks if one
// fails. It returns errGivenUp if a person cancels the operation.
func (r *runner) complete(ctx workflow.Context, within patience, parts ...doing) error {
	for i := 0; i < len(parts); {
		if parts[i] == nil {
			i++
			continue
		}
		r.show(ctx, "")
		err := r.try(ctx, within, parts[i])
		next := onward
		switch {
		case r.decided != nil: // cancelled during the attempt
			stay := onward
			if err != nil {
				stay = again
			}
			next, err = r.settle(ctx, stay)
		case err != nil && !superseded(err):
			next, err = r.park(ctx, activities.Cause(err, r.title()))
		}
		if err != nil {
			return err
		}
		switch next {
		case onward:
			i++
		case again, stayParked:
			i = 0
		case skip:
			return nil
		case turnBack:
			return errGivenUp
		}
	}
	return nil
}

func (r *runner) try(ctx workflow.Context, within patience, do doing) error {
	if r.deadline > 0 {
		within.deadline = min(within.deadline, r.deadline)
	}
	ctx, r.interrupt = workflow.WithCancel(workflow.WithActivityOptions(ctx, within.options(r.title())))
	return workflow.ExecuteActivity(ctx, do, r.input()).Get(ctx, nil)
}

// input returns the input of the current step's activities.
func (r *runner) input() activities.Input {
	return activities.Input{
		Operation: r.in.Operation, Database: r.in.Database, Step: r.steps[r.at].name, Undo: r.cancelling,
	}
}

// park records that the operation needs attention and waits, for days if necessary, until a person decides.
func (r *runner) park(ctx workflow.Context, cause daap.Cause) (move, error) {
	var rows *activities.Records
	r.parked = true // before the row shows it: an immediate decision must be accepted
	in := activities.ParkInput{Operation: r.in.Operation, Step: r.steps[r.at].name, Cause: cause}
	if err := workflow.ExecuteActivity(records(ctx), rows.ParkOperation, in).Get(ctx, nil); err != nil {
		return again, err
	}
	if err := markParked(ctx, r.steps[r.at].name, cause); err != nil {
		return again, err
	}
	r.show(ctx, fmt.Sprintf("**Needs attention** (%s): %s\n\n%s", cause.Code, cause.Message, cause.Remedy))
	for {
		if err := workflow.Await(ctx, func() bool { return r.decided != nil }); err != nil {
			return again, err
		}
		if next, err := r.settle(ctx, stayParked); err != nil || next != stayParked {
			r.parked = false
			return next, err
		}
	}
}

func (r *runner) title() string {
	title := r.kind.Title(r.steps[r.at].name)
	if r.cancelling {
		return "Roll back: " + title
	}
	return title
}

// show writes the list of steps, with the current one marked, to the details in the Temporal UI. It costs no event.
func (r *runner) show(ctx workflow.Context, news string) {
	var b strings.Builder
	for i, s := range r.steps {
		mark := "- [ ] "
		if i < r.at {
			mark = "- [x] "
		}
		b.WriteString(mark + r.kind.Title(s.name))
		if i == r.at {
			b.WriteString(" ←")
		}
		b.WriteString("\n")
	}
	if r.cancelling {
		b.WriteString("\nCancelled: the operation rolls back, last step first.\n")
	}
	if news != "" {
		b.WriteString("\n" + news + "\n")
	}
	workflow.SetCurrentDetails(ctx, b.String())
}

// answered waits until all decisions are answered.
func answered(ctx workflow.Context) error {
	return workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}

func superseded(err error) bool { return isType(err, activities.ErrorSuperseded) }

func isType(err error, errorType string) bool {
	var app *temporal.ApplicationError
	return errors.As(err, &app) && app.Type() == errorType
}
