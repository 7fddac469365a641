package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// DecideName is the name of the Update, and of the Signal for those who have no updates (tctl, batches),
// by which a person decides how an operation goes on. Both take a daap.Decision.
const DecideName = "daap.decide"

// decision is what a person decided, until it is carried out.
type decision struct {
	daap.Decision
	settled bool
	// refusal is why it could not be carried out after all.
	refusal error
	// ends says that the run is of a version that does not take back: it ends where it is.
	ends bool
}

// move is how a run goes on.
type move int

const (
	onward move = iota
	// again: with the step from its beginning.
	again
	// skip: with the next step.
	skip
	// turnBack: by taking back what was done.
	turnBack
	// stayParked: not before another decision.
	stayParked
)

// listen takes decisions from now on. An Update that is refused leaves no trace; a Signal that would be is
// logged and dropped. Cancelling the workflow is deciding to cancel.
func (r *runner) listen(ctx, root workflow.Context) error {
	decide := func(ctx workflow.Context, d daap.Decision) error {
		ctx, _ = workflow.NewDisconnectedContext(ctx) // who decides is answered also while the run is cancelled
		return r.take(ctx, &decision{Decision: d})
	}
	options := workflow.UpdateHandlerOptions{Validator: r.refuse, Description: "Decide how an operation continues."}
	if err := workflow.SetUpdateHandlerWithOptions(ctx, DecideName, decide, options); err != nil {
		return fmt.Errorf("register the handler of %s: %w", DecideName, err)
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		signals := workflow.GetSignalChannel(ctx, DecideName)
		for {
			var d daap.Decision
			if more := signals.Receive(ctx, &d); !more {
				return
			}
			r.takeOrDrop(ctx, &decision{Decision: d})
		}
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		root.Done().Receive(ctx, nil)
		cancel := daap.Decision{
			Action: daap.ActionCancel, Origin: daap.Origin{Actor: "temporal"}, Reason: "the workflow was cancelled",
		}
		if r.parked && r.refuse(cancel) != nil {
			// One that can no longer be given up looks again, and ends if it lost its database meanwhile.
			cancel.Action = daap.ActionRetry
		}
		if workflow.GetVersion(ctx, takesBack, workflow.DefaultVersion, 1) != workflow.DefaultVersion {
			r.takeOrDrop(ctx, &decision{Decision: cancel})
		} else if r.kind.Makes() {
			r.takeOrDrop(ctx, &decision{Decision: cancel, ends: true})
		}
	})
	return nil
}

// takeOrDrop takes a decision of somebody who cannot be answered.
func (r *runner) takeOrDrop(ctx workflow.Context, d *decision) {
	err := r.refuse(d.Decision)
	if err == nil {
		err = r.take(ctx, d)
	}
	if err != nil {
		workflow.GetLogger(ctx).Warn("A decision is refused.", "action", d.Action, "error", err)
	}
}

// take has the decision carried out and returns why it could not be, after all.
func (r *runner) take(ctx workflow.Context, d *decision) error {
	r.decided = d
	if !r.parked && r.interrupt != nil {
		r.interrupt()
	}
	if err := workflow.Await(ctx, func() bool { return d.settled }); err != nil {
		return err
	}
	return d.refusal
}

// refuse says why a decision cannot be taken; nil when it can.
func (r *runner) refuse(d daap.Decision) error {
	step := r.steps[min(r.at, len(r.steps)-1)].name // after the last one there is none
	at := daap.Standing{Kind: r.kind, Step: step, Parked: r.parked, Cancelling: r.cancelling}
	why := at.Refusal(d)
	if why == "" && r.decided != nil {
		why = fmt.Sprintf("Another decision (%s) is in progress.", r.decided.Action)
	}
	if why == "" {
		return nil
	}
	return temporal.NewApplicationError(why, activities.ErrorRefused)
}

// settle carries out in the rows what was decided, and says how the run goes on; stay where the decision is
// refused after all.
func (r *runner) settle(ctx workflow.Context, stay move) (move, error) {
	d := r.decided
	defer func() { r.decided, d.settled = nil, true }()
	if d.ends {
		return stay, temporal.NewCanceledError()
	}
	var rows *activities.Records
	write, next := rows.Resume, again
	switch {
	case d.Action.Undoes():
		write, next = rows.Cancel, turnBack
	case d.Action == daap.ActionSkip:
		write, next = rows.Skip, skip
	}
	in := activities.DecideInput{Operation: r.in.Operation, Step: r.steps[r.at].name, Decision: d.Decision}
	err := workflow.ExecuteActivity(records(ctx), write, in).Get(ctx, nil)
	var app *temporal.ApplicationError
	switch {
	case isType(err, activities.ErrorRefused) && errors.As(err, &app):
		d.refusal = temporal.NewApplicationError(app.Message(), activities.ErrorRefused)
		return stay, nil
	case superseded(err):
		d.refusal = temporal.NewApplicationError("The operation is over.", activities.ErrorRefused)
	}
	if err != nil {
		return stay, err
	}
	r.cancelling = r.cancelling || next == turnBack
	return next, r.markOnTheWay(ctx)
}
