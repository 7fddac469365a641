package api_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// memory keeps the promises of the domain's stores, for one process.
type memory struct {
	mu         sync.Mutex
	databases  map[uuid.UUID]daap.Database
	operations map[uuid.UUID]daap.Operation
	// err is what every call fails with, and panics what it panics with; nil where none is to.
	err    error
	panics any
	// hang makes every call last until its context is done.
	hang bool
}

func newMemory() *memory {
	return &memory{
		databases:  make(map[uuid.UUID]daap.Database),
		operations: make(map[uuid.UUID]daap.Operation),
	}
}

// enter begins a call; the caller unlocks.
func (m *memory) enter(ctx context.Context) error {
	m.mu.Lock()
	if m.panics != nil {
		panic(m.panics)
	}
	if m.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return m.err
}

func (m *memory) Database(ctx context.Context, id uuid.UUID) (daap.Database, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return daap.Database{}, err
	}
	return m.database(id)
}

func (m *memory) database(id uuid.UUID) (daap.Database, error) {
	if db, ok := m.databases[id]; ok {
		return db, nil
	}
	return daap.Database{}, daap.NotFound("database")
}

func (m *memory) Databases(ctx context.Context, filter daap.DatabaseFilter) ([]daap.Database, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	chosen := func(db daap.Database) bool {
		for k, v := range filter.Labels {
			if has, ok := db.Labels[k]; !ok || has != v {
				return false
			}
		}
		if filter.Status == "" && db.Status == daap.DatabaseDeleted {
			return false
		}
		return (filter.Status == "" || db.Status == filter.Status) && (filter.Team == "" || db.OwnerTeam == filter.Team)
	}
	return pageOf(m.databases, filter.Page, chosen), nil
}

func (m *memory) CACertificate(ctx context.Context, _ uuid.UUID) (string, error) {
	defer m.mu.Unlock()
	return "-----BEGIN CERTIFICATE-----\n", m.enter(ctx)
}

func (m *memory) CreateDatabase(ctx context.Context, db daap.Database, op daap.Operation) (daap.Database, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return daap.Database{}, err
	}
	for _, other := range m.databases {
		if other.Name == db.Name && other.OwnerTeam == db.OwnerTeam && other.Status != daap.DatabaseDeleted {
			return daap.Database{}, daap.NameTaken(db.OwnerTeam, db.Name)
		}
	}
	db.CreatedAt, op.CreatedAt = time.Now(), time.Now()
	return m.hold(db, op), nil
}

func (m *memory) PatchDatabase(ctx context.Context, id uuid.UUID, patch daap.DatabasePatch) (daap.Database, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return daap.Database{}, err
	}
	db, err := m.database(id)
	if err != nil {
		return daap.Database{}, err
	}
	if db.Status == daap.DatabaseDeleted {
		return daap.Database{}, daap.WrongStatus(db.Status, "cannot be changed")
	}
	if db, err = patch.Apply(db); err != nil {
		return daap.Database{}, err
	}
	db.UpdatedAt = time.Now()
	m.databases[id] = db
	return db, nil
}

func (m *memory) AcceptOperation(ctx context.Context, op daap.Operation) (daap.Database, daap.Operation, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return daap.Database{}, op, err
	}
	db, err := m.database(op.DatabaseID)
	if err != nil {
		return db, op, err
	}
	if db.OperationID != nil {
		if held := m.operations[*db.OperationID]; !op.Kind.TakesOver(held.Kind) {
			return db, op, daap.Busy(held)
		}
		m.settle(*db.OperationID, daap.OperationCancelled)
	}
	if !db.Status.CanMoveTo(op.Kind.During()) {
		return db, op, daap.WrongStatus(db.Status, "cannot be deleted")
	}
	op.DatabaseName, op.OwnerTeam, op.CreatedAt = db.Name, db.OwnerTeam, time.Now()
	return m.hold(db, op), op, nil
}

func (m *memory) Operation(ctx context.Context, id uuid.UUID) (daap.Operation, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return daap.Operation{}, err
	}
	if op, ok := m.operations[id]; ok {
		return op, nil
	}
	return daap.Operation{}, daap.NotFound("operation")
}

func (m *memory) OperationState(ctx context.Context, id uuid.UUID) (daap.OperationState, error) {
	op, err := m.Operation(ctx, id)
	return op.State, err
}

func (m *memory) Operations(ctx context.Context, filter daap.OperationFilter) ([]daap.Operation, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	found := pageOf(m.operations, filter.Page, func(op daap.Operation) bool {
		return (filter.DatabaseID == nil || op.DatabaseID == *filter.DatabaseID) &&
			(filter.State == "" || op.State == filter.State) && (filter.Kind == "" || op.Kind == filter.Kind)
	})
	for i := range found {
		found[i].Steps = nil
	}
	return found, nil
}

// Start begins nothing: the tests say how an operation ends.
func (m *memory) Start(context.Context, daap.Operation) error { return nil }

// hold gives the database to op.
func (m *memory) hold(db daap.Database, op daap.Operation) daap.Database {
	db.Status, db.OperationID, db.Cause, db.UpdatedAt = op.Kind.During(), &op.ID, nil, time.Now()
	m.databases[db.ID], m.operations[op.ID] = db, op
	return db
}

func (m *memory) settle(id uuid.UUID, state daap.OperationState) daap.Operation {
	now, op := time.Now(), m.operations[id]
	op.State, op.StartedAt, op.FinishedAt = state, &now, &now
	m.operations[id] = op
	return op
}

// succeed ends the operation as a worker would.
func (m *memory) succeed(id uuid.UUID) {
	defer m.mu.Unlock()
	m.mu.Lock()
	op := m.settle(id, daap.OperationSucceeded)
	db := m.databases[op.DatabaseID]
	db.Status, db.OperationID = op.Kind.After(), nil
	if db.Status == daap.DatabaseDeleted {
		db.DeletedAt = op.FinishedAt
	}
	m.databases[db.ID] = db
}

// park leaves the operation to a person.
func (m *memory) park(id uuid.UUID, cause daap.Cause) {
	defer m.mu.Unlock()
	m.mu.Lock()
	op := m.settle(id, daap.OperationNeedsAttention)
	op.Cause, op.FinishedAt = &cause, nil
	db := m.databases[op.DatabaseID]
	db.Status, db.Cause = daap.DatabaseError, &cause
	m.databases[db.ID], m.operations[id] = db, op
}

func pageOf[T any](items map[uuid.UUID]T, page daap.Page, chosen func(T) bool) []T {
	var ids []uuid.UUID
	for id, item := range items {
		if chosen(item) && (page.After == uuid.Nil || id.String() < page.After.String()) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return strings.Compare(b.String(), a.String()) })
	var found []T
	for _, id := range ids[:min(len(ids), page.Limit)] {
		found = append(found, items[id])
	}
	return found
}
