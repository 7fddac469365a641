//go:build e2e

package e2e

import (
	"context"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// shared is a database that several tests use and none of them changes in a way that another notices: no test stops
// it, restores it in place or gives it another tier. It is made when the first of them begins, and deleted when the
// last one has ended.
type shared struct {
	name string
	// keeps says that it has backups; else it is of the stack's least tier.
	keeps bool

	mu       sync.Mutex
	users    int
	once     sync.Once
	id, tier uuid.UUID
	ready    bool
}

var (
	sharedPlain = &shared{name: "shared-plain"}
	sharedKept  = &shared{name: "shared-kept", keeps: true}
)

// parallelOn runs the rest of the test beside others, as parallel does, and returns the shared database.
func parallelOn(t *testing.T, s *shared, needs ...need) uuid.UUID {
	t.Helper()
	if s.keeps {
		needs = append(needs, needsStore)
	}
	s.mu.Lock()
	s.users++ // before any user runs beside others, hence before any has ended
	s.mu.Unlock()
	t.Cleanup(func() { s.leave(t) })
	t.Parallel()
	queue.open()
	s.once.Do(func() { // the other users wait here, without a turn
		turn := queue.join(append(needs, long)...)
		<-turn.begin
		defer queue.leave(turn)
		s.make(t)
	})
	if !s.ready {
		t.Fatalf("the database %s was not made", s.name)
	}
	mine := queue.join(needs...)
	<-mine.begin
	t.Cleanup(func() { queue.leave(mine) })
	return s.id
}

func (s *shared) make(t *testing.T) {
	t.Helper()
	ctx, tier := t.Context(), local.Tier
	if s.keeps {
		tier = "e2e-" + s.name
		s.tier = createTier(ctx, t, keeping(tier))
	}
	accepted, err := local.Accepted(stack.API.CreateDatabase(ctx, &oas.CreateDatabaseRequest{
		Tier: tier, Name: s.name, OwnerTeam: oas.NewOptTeamName("e2e"),
	}, oas.CreateDatabaseParams{}))
	if err != nil {
		t.Fatalf("create database %s: %v", s.name, err)
	}
	s.id = accepted.Response.Data.ID
	succeed(ctx, t, accepted.Response.Meta.OperationID)
	s.ready = true
}

// leave deletes the database after the last test that used it.
func (s *shared) leave(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users > 0 || s.id == uuid.Nil {
		return
	}
	ctx := context.WithoutCancel(t.Context())
	cleanUp(ctx, t, s.id)
	if s.keeps {
		deleteTier(ctx, t, s.tier)
	}
}
