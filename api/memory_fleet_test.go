package api_test

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

func (m *memory) DescribeDatabase(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.DatabaseView, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return daap.DatabaseView{}, err
	}
	db, err := m.database(scope, id)
	view := daap.DatabaseView{Observed: m.seen[id]}
	view.Database, view.Backups, view.Scan = db, m.backupStates[id], m.scans[id]
	view.Extensions = slices.DeleteFunc(slices.Clone(m.extensions), func(e daap.Extension) bool { return e.DatabaseID != id })
	return view, err
}

func (m *memory) Fleet(ctx context.Context, _ time.Time) (daap.Fleet, error) {
	defer m.mu.Unlock()
	err := m.enter(ctx)
	return m.fleet, err
}

// look records a check of the database with the conditions.
func (m *memory) look(id uuid.UUID, at time.Time, found ...daap.Condition) {
	defer m.mu.Unlock()
	m.mu.Lock()
	db := m.databases[id]
	was := m.seen[id]
	was.Database, was.Reserved = db, db.Profile.CostOf(daap.DatabaseReady)
	now := was.Observe(found, at)
	db.LastHealth = &daap.HealthObservation{Health: now.Now.Health(), Since: at, ObservedAt: at}
	m.databases[id], m.seen[id] = db, daap.Observed{Conditions: now.Now, Revision: was.Revision + 1}
}
