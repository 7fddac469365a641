package daap_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/persistence/memory"
)

// store is what the use cases work on: the store, and an engine that starts what is recorded there.
type store struct {
	*memory.Store
	t *testing.T
	// started are the operations that were started, and unrecorded those whose start came before their row.
	started, unrecorded []uuid.UUID
}

// newStore returns a store that has the tier medium and nothing else.
func newStore(t *testing.T) *store {
	t.Helper()
	s := &store{Store: memory.New(), t: t}
	s.PutTier(medium())
	return s
}

// databases are the use cases, which accept no more than one operation that waits for its start.
func (s *store) databases() *daap.Databases { return daap.NewDatabases(s, s, s, 1) }

func (s *store) Start(ctx context.Context, op daap.Operation) error {
	s.started = append(s.started, op.ID)
	if _, err := s.Operation(ctx, daap.EveryTeam, op.ID); err != nil {
		s.unrecorded = append(s.unrecorded, op.ID)
	}
	return nil
}

// recorded is how many operations there are.
func (s *store) recorded() int {
	s.t.Helper()
	all, err := s.Operations(s.t.Context(), daap.EveryTeam, daap.OperationFilter{Page: daap.Page{Limit: 100}})
	if err != nil {
		s.t.Fatal(err)
	}
	return len(all)
}

// fill puts more operations there than may wait for their start.
func (s *store) fill() {
	for range 2 {
		s.PutOperation(daap.Operation{ID: uuid.New(), State: daap.OperationPending})
	}
}

// ready makes a database of the tier medium that is ready. It does not count as started.
func (s *store) ready() daap.Database {
	s.t.Helper()
	db, op, err := s.databases().Create(s.t.Context(), platform, daap.DatabaseSpec{Name: "carts", OwnerTeam: "shop", Tier: "medium"})
	for _, next := range []func() error{
		func() error { return err },
		func() error { return s.BeginOperation(s.t.Context(), op.ID, false) },
		func() error { return s.FinishOperation(s.t.Context(), op.ID) },
		func() error { db, err = s.Database(s.t.Context(), daap.EveryTeam, db.ID); return err },
	} {
		if err := next(); err != nil {
			s.t.Fatal(err)
		}
	}
	s.started = nil
	return db
}
