package daap

import (
	"fmt"
	"slices"
)

// Action is a person's decision about an operation.
type Action string

// The actions. Retry, skip and abort apply to operations that need attention, cancel to any open one.
const (
	// ActionRetry retries the step.
	ActionRetry Action = "retry"
	// ActionSkip continues with the next step as if this one were done.
	ActionSkip Action = "skip"
	// ActionAbort rolls back an operation that needs attention.
	ActionAbort Action = "abort"
	// ActionCancel rolls back an operation.
	ActionCancel Action = "cancel"
)

// Actions returns all actions.
func Actions() []Action { return []Action{ActionRetry, ActionSkip, ActionAbort, ActionCancel} }

// Undoes reports whether the action rolls the operation back.
func (a Action) Undoes() bool { return a == ActionAbort || a == ActionCancel }

// Decision is a person's decision about an operation; the workflow's history and the database's timeline record it.
type Decision struct {
	Action Action `json:"action"`
	// Step, if given, must be the current step of the operation.
	Step StepName `json:"step,omitempty"`
	// Origin is who decided, Reason why.
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

// Position is the position of an operation when a decision about it is made.
type Position struct {
	Kind OperationKind
	// Step is the current step.
	Step StepName
	// Parked means that it needs attention, Cancelling that it rolls back.
	Parked, Cancelling bool
}

// Refusal explains why the decision cannot be taken, in one sentence; empty if it can.
func (s Position) Refusal(d Decision) string {
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

// Refused is the error for a decision that cannot be taken, with its explanation.
func Refused(why string) *Error { return &Error{Code: CodeDecisionRefused, Message: why} }
