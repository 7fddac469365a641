package memory

import (
	"context"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// Events returns the events that the filter chooses, newest first; none of a database that is out of scope.
func (s *Store) Events(ctx context.Context, scope daap.Scope, f daap.EventFilter) ([]daap.Event, error) {
	return read(ctx, s, func(r *rows) ([]daap.Event, error) {
		all := byID(r.events, func(e daap.Event) uuid.UUID { return e.ID })
		return newest(all, f.Page, func(e daap.Event) bool {
			return e.DatabaseID == f.DatabaseID && scope.Covers(r.databases[e.DatabaseID].OwnerTeam)
		}), nil
	})
}

// happened records an event of the operation in the timeline and, for a change by a workflow, in the audit log.
func (r *rows) happened(op daap.Operation, e daap.Event) {
	r.insertEvent(e)
	if entry, is := op.Audited(e); is {
		r.log(entry)
	}
}

// insertEvent records an event in the timeline alone.
func (r *rows) insertEvent(e daap.Event) {
	e.ID, e.CreatedAt, e.Actor, e.Message = newID(), r.now, storable(e.Actor), storable(e.Message)
	r.events = append(r.events, e)
}

// decided records a decision of a person about the operation.
func (r *rows) decided(op daap.Operation, step daap.StepName, d daap.Decision) {
	r.happened(op, op.WasDecided(step, d))
	r.log(op.AuditedDecision(d))
}
