package daap

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Event is an entry in the timeline of a database. Events are append-only.
type Event struct {
	// ID is a UUIDv7, so that order by ID is order of time.
	ID         uuid.UUID
	DatabaseID uuid.UUID
	// OperationID is the operation that caused the event; nil if none did.
	OperationID *uuid.UUID
	Kind        EventKind
	// Step is the step that the event is about; empty if it is about the operation.
	Step StepName
	// Cause is why the operation needs attention; empty for other events.
	Cause CauseCode
	// Actor is who made the decision; empty for events that DAAP caused.
	Actor     string
	Message   string
	CreatedAt time.Time
}

// EventKind is the type of an event.
type EventKind string

// The kinds of events.
const (
	EventAccepted   EventKind = "accepted"
	EventStarted    EventKind = "started"
	EventStepDone   EventKind = "step_done"
	EventStepUndone EventKind = "step_undone"
	EventParked     EventKind = "parked"
	EventDecided    EventKind = "decided"
	EventRestarted  EventKind = "restarted"
	EventSucceeded  EventKind = "succeeded"
	EventCancelled  EventKind = "cancelled"
	// EventIncarnationBegun: the Cluster was gone, and a new one is being restored.
	EventIncarnationBegun EventKind = "incarnation_begun"

	// EventCACertificateChanged concerns the database, not an operation.
	EventCACertificateChanged EventKind = "ca_certificate_changed"
	// EventHealthChanged concerns the database: some of its conditions changed their status.
	EventHealthChanged EventKind = "health_changed"
)

// EventKinds returns all kinds of events.
func EventKinds() []EventKind {
	return []EventKind{
		EventAccepted, EventStarted, EventStepDone, EventStepUndone, EventParked, EventDecided,
		EventRestarted, EventSucceeded, EventCancelled, EventIncarnationBegun, EventCACertificateChanged, EventHealthChanged,
	}
}

// Happened returns an event of the operation, to be recorded with it.
func (o Operation) Happened(kind EventKind, format string, args ...any) Event {
	return Event{DatabaseID: o.DatabaseID, OperationID: &o.ID, Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// WasParked returns the event that the operation needs attention.
func (o Operation) WasParked(step StepName, cause Cause) Event {
	message := cause.Message
	if !strings.HasSuffix(message, ".") {
		message += "."
	}
	e := o.Happened(EventParked, "%s %s", message, cause.Remedy)
	e.Step, e.Cause = step, cause.Code
	return e
}

// WasDecided returns the event that a person decided how the operation continues.
func (o Operation) WasDecided(step StepName, d Decision) Event {
	e := o.Happened(EventDecided, "%s: %s", d.Action, d.Reason)
	if d.Reason == "" {
		e.Message = string(d.Action)
	}
	e.Step, e.Actor = step, d.Actor
	return e
}

// EventFilter selects events of one database.
type EventFilter struct {
	DatabaseID uuid.UUID
	Page       Page
}
