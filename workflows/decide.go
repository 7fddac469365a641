package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
)

// DecideName is the name of the Update, and of the Signal for those who have no updates (tctl, batches),
// by which a person decides how a parked operation goes on.
const DecideName = "daap.decide"

// Decision is what a person decides.
type Decision struct {
	// Action is what to do; "retry" tries the step again.
	Action string `json:"action"`
	// Step, where given, must be the step at which the operation is parked.
	Step daap.StepName `json:"step,omitempty"`
	// Actor says who decided, Reason why; both are kept in the history.
	Actor  string `json:"actor,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Retry is the action that tries the parked step again.
const Retry = "retry"

// listen takes decisions from now on. An Update that is refused leaves no trace; a Signal that would be is
// logged and dropped.
func (r *runner) listen(ctx workflow.Context) error {
	decide := func(_ workflow.Context, _ Decision) error {
		r.parked = false
		return nil
	}
	options := workflow.UpdateHandlerOptions{Validator: r.refuse, Description: "Decide how a parked operation goes on."}
	if err := workflow.SetUpdateHandlerWithOptions(ctx, DecideName, decide, options); err != nil {
		return fmt.Errorf("listen for %s: %w", DecideName, err)
	}
	signals := workflow.GetSignalChannel(ctx, DecideName)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var d Decision
			if more := signals.Receive(ctx, &d); !more || ctx.Err() != nil {
				return
			}
			if err := r.refuse(d); err != nil {
				workflow.GetLogger(ctx).Warn("A decision is refused.", "error", err)
				continue
			}
			r.parked = false
		}
	})
	return nil
}

// refuse says why a decision cannot be taken; nil when it can.
func (r *runner) refuse(d Decision) error {
	switch {
	case d.Action != Retry:
		return fmt.Errorf("action %q is unknown; it must be %q", d.Action, Retry)
	case !r.parked:
		return fmt.Errorf("the operation does not need attention now; its step is %q", r.steps[r.at].name)
	case d.Step != "" && d.Step != r.steps[r.at].name:
		return fmt.Errorf("the operation is parked at step %q, not at %q", r.steps[r.at].name, d.Step)
	}
	return nil
}
