package daap

import (
	"fmt"
	"slices"
)

// Action is what a person decides about an operation.
type Action string

// The actions. Retry, skip and abort are for operations that need attention; cancel is for any that is open.
const (
	// ActionRetry tries the step again.
	ActionRetry Action = "retry"
	// ActionSkip goes on with the next step, as if this one were done.
	ActionSkip Action = "skip"
	// ActionAbort gives a parked operation up and undoes what it did.
	ActionAbort Action = "abort"
	// ActionCancel gives an operation up and undoes what it did.
	ActionCancel Action = "cancel"
)

// Actions returns all actions.
func Actions() []Action { return []Action{ActionRetry, ActionSkip, ActionAbort, ActionCancel} }

// Undoes says whether the action gives the operation up.
func (a Action) Undoes() bool { return a == ActionAbort || a == ActionCancel }

// Decision is what a person decides about an operation; it is kept in its workflow's history and in its
// database's timeline.
type Decision struct {
	Action Action `json:"action"`
	// Step, where given, must be the step at which the operation is.
	Step StepName `json:"step,omitempty"`
	// Origin says who decided, Reason why.
	Origin
	Reason string `json:"reason,omitempty"`
}

const maxReason = 500

// Validate returns an Error of CodeValidationFailed that names every field at fault, or nil.
func (d Decision) Validate() error {
	var c checks
	if !slices.Contains(Actions(), d.Action) {
		c.fail("action", "must be retry, skip, abort or cancel")
	}
	c.sentence("reason", d.Reason, maxReason)
	return c.err()
}

// Standing is where an operation stands when a decision about it is made.
type Standing struct {
	Kind OperationKind
	// Step is the one at which it is.
	Step StepName
	// Parked says that it needs attention, Cancelling that it undoes what it did.
	Parked, Cancelling bool
}

// Refusal says in one sentence why the decision cannot be taken; empty when it can.
func (s Standing) Refusal(d Decision) string {
	if !slices.Contains(Actions(), d.Action) {
		return fmt.Sprintf("Action %q is unknown; it must be retry, skip, abort or cancel.", d.Action)
	}
	if _, known := s.Kind.plan(d.Step); d.Step != "" && !known {
		return fmt.Sprintf("Step %q is unknown; the operation is at step %q.", d.Step, s.Step)
	}
	switch {
	case d.Step != "" && d.Step != s.Step:
		return fmt.Sprintf("The operation is at step %q, not at %q.", s.Step, d.Step)
	case d.Action != ActionCancel && !s.Parked:
		return fmt.Sprintf("The operation does not need attention now; it is at step %q.", s.Step)
	case d.Action.Undoes() && s.Cancelling:
		return "The operation is already being cancelled; retry or skip its current step."
	case d.Action.Undoes():
		return s.Kind.pastPivot(s.Step)
	case d.Action == ActionSkip && !s.Cancelling:
		if plan, _ := s.Kind.plan(s.Step); !plan.Skippable {
			return fmt.Sprintf("Step %q cannot be skipped: later steps need it.", s.Step)
		}
	}
	return ""
}

// Refused is the error for a decision that cannot be taken, with the sentence that says why.
func Refused(why string) *Error { return &Error{Code: CodeDecisionRefused, Message: why} }
