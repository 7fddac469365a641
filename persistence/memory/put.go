package memory

import (
	"slices"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// The Put functions add rows as they are, or replace them, so that a test can start in the middle of a story. They
// check nothing, record nothing else, and never fail.

// PutDatabase adds the database, with its health where it has one. An operation that holds it is a row of its own.
func (s *Store) PutDatabase(db daap.Database) {
	s.put(func(r *rows) {
		row := r.databases[db.ID]
		row.Database = db
		r.databases[db.ID] = row
		if h := db.LastHealth; h != nil {
			r.health[db.ID] = health{health: h.Health, since: h.Since, observedAt: h.ObservedAt, revision: 1}
		}
	})
}

// PutCABundle adds the CA certificates of a database that is there.
func (s *Store) PutCABundle(id uuid.UUID, bundle daap.CABundle) {
	s.put(func(r *rows) { r.updateDatabase(id, func(db *database) { db.ca = bundle }) })
}

// PutOperation adds the operation with its steps. Its start is due now.
func (s *Store) PutOperation(op daap.Operation) {
	s.put(func(r *rows) {
		op.Steps = slices.Clone(op.Steps)
		r.operations[op.ID] = operation{Operation: op, nextDispatch: r.now, nextLook: r.now}
	})
}

// PutTier adds the tier.
func (s *Store) PutTier(t daap.Tier) { s.put(func(r *rows) { r.tiers[t.ID] = t }) }

// PutAPIKey adds the key.
func (s *Store) PutAPIKey(key daap.StoredKey) { s.put(func(r *rows) { r.keys[key.ID] = key }) }

// PutAuditEntry adds the entry, with an ID and a time where it has none.
func (s *Store) PutAuditEntry(e daap.AuditEntry) {
	s.put(func(r *rows) {
		if e.At.IsZero() {
			e.At = r.now
		}
		e.ID = newID()
		r.addAudit(e)
	})
}

func (s *Store) put(add func(r *rows)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick()
	s.rows = s.rows.clone()
	add(&s.rows)
}
