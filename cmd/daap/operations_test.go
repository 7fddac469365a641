package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/cmd/internal/config"
)

// temporalStub accepts every workflow.
type temporalStub struct{ client.Client }

func (temporalStub) ExecuteWorkflow(context.Context, client.StartWorkflowOptions, any, ...any) (client.WorkflowRun, error) {
	return nil, nil
}

// TestEveryStartIsRecorded finds a use case that starts operations without recording it: the dispatcher would start them
// again and again, first after five seconds.
func TestEveryStartIsRecorded(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	store, pool := m.store, m.pool
	s := service{config: config.Config{Backlog: 10}, log: zap.NewNop()}
	databases := s.databases(store, temporalStub{})
	db, op, err := databases.Create(t.Context(), console, daap.DatabaseSpec{Name: "orders", OwnerTeam: shop, Tier: "small"})
	if err != nil {
		t.Fatal(err)
	}
	wait := func(what string) {
		t.Helper()
		var next time.Duration
		err := pool.QueryRow(t.Context(), `
			SELECT next_dispatch_at - now() FROM operations WHERE state = 'pending'`).Scan(&next)
		if err != nil || next < time.Minute {
			t.Errorf("%s is started again in %s (%v), want it recorded as dispatched", what, next, err)
		}
	}
	wait("a provision")

	_, err = pool.Exec(t.Context(), `UPDATE operations SET state = 'succeeded', started_at = now(), finished_at = now() WHERE id = $1`, op.ID)
	_, archived := pool.Exec(t.Context(), `UPDATE databases SET status = 'archived', archived_until = now() - interval '1 second' WHERE id = $1`, db.ID)
	if err = errors.Join(err, archived); err != nil {
		t.Fatal(err)
	}
	if n, err := daap.NewExpiry(store, databases).Run(t.Context()); err != nil || n != 1 {
		t.Fatalf("Run() = %d, %v; want one archive deleted", n, err)
	}
	wait("the deletion of an expired archive")
}
