package daap

import (
	"context"
	"errors"
	"fmt"
)

// Expiry has archived databases deleted for good once the time is over for which their tier keeps them.
type Expiry struct {
	store     expiredArchives
	databases *Databases
}

type expiredArchives interface {
	// ExpiredArchives returns at most limit of them that nothing works on.
	ExpiredArchives(ctx context.Context, limit int) ([]Database, error)
}

// NewExpiry returns the use case on the given store.
func NewExpiry(store expiredArchives, databases *Databases) *Expiry {
	return &Expiry{store: store, databases: databases}
}

// expiredAtOnce is how many deletions are asked for in a run; the next one goes on.
const expiredAtOnce = 100

// retention is who asks for it, as the audit log has it.
var retention = Request{Caller: Caller{Team: "daap", KeyName: "retention", Role: RolePlatformTeam}}

// Run asks for the deletion of those whose time is over, and returns how many these are. One that cannot be deleted now
// is left for the next run. Safe to repeat.
func (e *Expiry) Run(ctx context.Context) (int, error) {
	dbs, err := e.store.ExpiredArchives(ctx, expiredAtOnce)
	if err != nil {
		return 0, fmt.Errorf("read archives whose time is over: %w", err)
	}
	begun := 0
	var failed error
	for _, db := range dbs {
		_, _, err := e.databases.Delete(ctx, retention, db.ID, StrategyHardDelete)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		begun++
	}
	return begun, failed
}
