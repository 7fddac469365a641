package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// DecideName is the name of the Update, and of the Signal for clients without Updates (tctl, batches), by which a
// person decides how an operation continues. Both take a daap.Decision.
const DecideName = "daap.decide"

// decision is a person's decision until it is carried out.
type decision struct {
	daap.Decision
	settled bool
	// refusal is why it could not be carried out after all.
	refusal error
	// ends means that the run's version does not roll back: it ends where it is.
	ends bool
}

// move is how a run continues.
type move int

const (
	onward move = iota
	// again: with the step from its beginning.
	again
	// skip: with the next step.
	skip
	// turnBack: by rolling back.
	turnBack
	// stayParked: only after another decision.
	stayParked
)

// listen accepts decisions from now on. A refused Update leaves no trace; a refused Signal is logged and dropped.
// Cancelling the workflow is a decision to cancel.
func (r *runner) listen(ctx, root workflow.Context) error {
	decide := func(ctx workflow.Context, d daap.Decision) error {
		ctx, _ = workflow.NewDisconnectedContext(ctx) // the decider gets an answer even while the run is cancelled
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
			// A run that can no longer be rolled back checks again, and ends if it lost its database.
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

// takeOrDrop takes a decision whose sender cannot be answered.
func (r *runner) takeOrDrop(ctx workflow.Context, d *decision) {
	err := r.refuse(d.Decision)
	if err == nil {
		err = r.take(ctx, d)
	}
	if err != nil {
		workflow.GetLogger(ctx).Warn("A decision is refused.", "action", d.Action, "error", err)
	}
}

// take waits until the decision is carried out and returns why it could not be.
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

// refuse explains why a decision cannot be taken; nil if it can.
func (r *runner) refuse(d daap.Decision) error {
	step := r.steps[min(r.at, len(r.steps)-1)].name // no step follows the last one
	at := daap.Position{Kind: r.kind, Step: step, Parked: r.parked, Cancelling: r.cancelling}
	why := at.Refusal(d)
	if why == "" && r.decided != nil {
		why = fmt.Sprintf("Another decision (%s) is in progress.", r.decided.Action)
	}
	if why == "" {
		return nil
	}
	return temporal.NewApplicationError(why, activities.ErrorRefused)
}

// settle carries out the decision in the rows and returns how the run continues; stay if the rows refuse the decision
// after all.
func (r *runner) settle(ctx workflow.Context, stay move) (move, error) {
	d := r.decided
	defer func() { r.decided, d.settled = nil, true }()
	if d.ends {
		return stay, temporal.NewCanceledError()
	}
	var rows *activities.Records
	write, next := rows.ResumeOperation, again
	switch {
	case d.Action.Undoes():
		write, next = rows.CancelOperation, turnBack
	case d.Action == daap.ActionSkip:
		write, next = rows.SkipStep, skip
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
