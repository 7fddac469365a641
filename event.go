package daap

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Event is one thing that happened to a database, for its timeline. Events are only ever added.
type Event struct {
	// ID is a UUIDv7, so that order by ID is order of time.
	ID         uuid.UUID
	DatabaseID uuid.UUID
	// OperationID is the operation that did it; nil where none did.
	OperationID *uuid.UUID
	Kind        EventKind
	// Step is the one that the event is about; empty where it is about the operation.
	Step StepName
	// Cause is why the operation was parked; empty for other events.
	Cause CauseCode
	// Actor is who decided; empty for what DAAP did by itself.
	Actor     string
	Message   string
	CreatedAt time.Time
}

// EventKind says what happened.
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
	// EventIncarnationBegun says that the Cluster was gone, and from what another one is restored.
	EventIncarnationBegun EventKind = "incarnation_begun"

	// EventCACertificateChanged is of the database alone, where no operation was at work.
	EventCACertificateChanged EventKind = "ca_certificate_changed"
	// EventHealthChanged is of the database alone: conditions of it have another status.
	EventHealthChanged EventKind = "health_changed"
)

// EventKinds returns all kinds of events.
func EventKinds() []EventKind {
	return []EventKind{
		EventAccepted, EventStarted, EventStepDone, EventStepUndone, EventParked, EventDecided,
		EventRestarted, EventSucceeded, EventCancelled, EventIncarnationBegun, EventCACertificateChanged, EventHealthChanged,
	}
}

// Happened returns the event that something happened to the operation, to be recorded with it.
func (o Operation) Happened(kind EventKind, format string, args ...any) Event {
	return Event{DatabaseID: o.DatabaseID, OperationID: &o.ID, Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// WasParked is the event that the operation needs attention.
func (o Operation) WasParked(step StepName, cause Cause) Event {
	message := cause.Message
	if !strings.HasSuffix(message, ".") {
		message += "."
	}
	e := o.Happened(EventParked, "%s %s", message, cause.Remedy)
	e.Step, e.Cause = step, cause.Code
	return e
}

// WasDecided is the event that a person decided how the operation goes on.
func (o Operation) WasDecided(step StepName, d Decision) Event {
	e := o.Happened(EventDecided, "%s: %s", d.Action, d.Reason)
	if d.Reason == "" {
		e.Message = string(d.Action)
	}
	e.Step, e.Actor = step, d.Actor
	return e
}

// EventFilter chooses events of one database.
type EventFilter struct {
	DatabaseID uuid.UUID
	Page       Page
}
