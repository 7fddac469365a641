package workflows

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// step is one step of an operation: what is done, and how long it may take. What it does may run twice.
type step struct {
	name daap.StepName
	do   func(context.Context, activities.Input) error
	patience
}

// run carries out the steps in order. A step that is out of time or refused for good parks the operation:
// it needs attention, nothing is undone, and it goes on with the same step when it is told to retry. An
// operation that lost its database ends here and changes nothing more.
func run(ctx workflow.Context, kind daap.OperationKind, in Input, steps []step) error {
	r := &runner{kind: kind, in: in, steps: steps}
	if err := r.listen(ctx); err != nil {
		return err
	}
	for at := range steps {
		r.at = at
		if err := r.complete(ctx); err != nil {
			if superseded(err) {
				r.show(ctx, "Another operation took the database over.")
				return nil
			}
			return err
		}
	}
	r.show(ctx, "Done.")
	return nil
}

// runner is one operation under way.
type runner struct {
	kind  daap.OperationKind
	in    Input
	steps []step
	at    int
	// parked is set while the operation waits for a decision, which clears it.
	parked bool
}

// complete tries the present step until it succeeds, parked between tries.
func (r *runner) complete(ctx workflow.Context) error {
	for {
		r.show(ctx, "")
		err := r.try(ctx)
		if err == nil || superseded(err) || temporal.IsCanceledError(err) || ctx.Err() != nil {
			return err
		}
		if err := r.park(ctx, causeOf(err, r.title())); err != nil {
			return err
		}
	}
}

func (r *runner) try(ctx workflow.Context) error {
	s := r.steps[r.at]
	ctx = workflow.WithActivityOptions(ctx, s.options(r.title()))
	in := activities.Input{Operation: r.in.Operation, Database: r.in.Database, Step: s.name}
	return workflow.ExecuteActivity(ctx, s.do, in).Get(ctx, nil)
}

// park records that the operation needs attention and waits, for days if need be, for a decision.
func (r *runner) park(ctx workflow.Context, cause daap.Cause) error {
	var rows *activities.Records
	r.parked = true // before the row shows it: a decision made at once must be heard
	in := activities.ParkInput{Operation: r.in.Operation, Cause: cause}
	if err := workflow.ExecuteActivity(records(ctx), rows.Park, in).Get(ctx, nil); err != nil {
		return err
	}
	if err := markParked(ctx, r.steps[r.at].name, cause); err != nil {
		return err
	}
	r.show(ctx, fmt.Sprintf("**Needs attention** (%s): %s", cause.Code, cause.Message))
	if err := workflow.Await(ctx, func() bool { return !r.parked }); err != nil {
		return err
	}
	resume := activities.Input{Operation: r.in.Operation, Database: r.in.Database}
	if err := workflow.ExecuteActivity(records(ctx), rows.Resume, resume).Get(ctx, nil); err != nil {
		return err
	}
	return markRunning(ctx)
}

func (r *runner) title() string { return r.kind.Title(r.steps[r.at].name) }

// show writes the list of steps, with the present one marked, to where the Temporal UI reads it. It costs
// no event.
func (r *runner) show(ctx workflow.Context, news string) {
	var b strings.Builder
	for i, s := range r.steps {
		mark := "- [ ] "
		if i < r.at || news == "Done." {
			mark = "- [x] "
		}
		b.WriteString(mark + r.kind.Title(s.name))
		if i == r.at && news != "Done." {
			b.WriteString(" ←")
		}
		b.WriteString("\n")
	}
	if news != "" {
		b.WriteString("\n" + news + "\n")
	}
	workflow.SetCurrentDetails(ctx, b.String())
}

// causeOf says to people why a step did not succeed.
func causeOf(err error, title string) daap.Cause {
	reason := activities.Reason(err)
	var app *temporal.ApplicationError
	if errors.As(err, &app) && app.Type() == activities.ErrorRejected {
		return daap.Cause{Code: daap.CauseRejected, Message: fmt.Sprintf(
			"%s: Kubernetes refuses it: %s. Mend what it names, then send %s with the action retry.",
			title, reason, DecideName)}
	}
	return daap.Cause{Code: daap.CauseDeadline, Message: fmt.Sprintf(
		"%s: not done in its time; at last: %s. Mend what it names, then send %s with the action retry.",
		title, reason, DecideName)}
}

func superseded(err error) bool {
	var app *temporal.ApplicationError
	return errors.As(err, &app) && app.Type() == activities.ErrorSuperseded
}
