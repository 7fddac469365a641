//go:build e2e

// Package e2e drives the real local stack as a team would: through the API, and with psql.
package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// patience bounds one operation. It is many times what one takes, for machines that are busy.
const patience = 10 * time.Minute

// nightly are base backups half a day from now: none comes while the tests run, but those that they ask for.
var nightly = fmt.Sprintf("0 %d * * *", time.Now().UTC().Add(12*time.Hour).Hour())

var (
	stack *local.Stack
	// watching sees all that the tests bring about, for the search for secrets at their end.
	watching *watch
)

func TestMain(m *testing.M) {
	var err error
	if stack, err = local.Open(); err == nil {
		watching, err = startWatch(context.Background())
	}
	if err == nil {
		err = stack.MakeTier(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e needs Linux, root and the running local stack (make e2e starts it):", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := removeShopKey(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "--- FAIL: remove the key of team shop:", err)
		code = 1
	}
	if code == 0 {
		if err := unrunCommands(); err != nil {
			fmt.Fprintln(os.Stderr, "--- FAIL:", err)
			code = 1
		}
	}
	if err := watching.end(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "--- FAIL: secrets are where they may not be, or cannot be looked for:", err)
		code = 1
	}
	if err := rightsAreUsed(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// create asks for a database and returns it with the operation that provisions it. It is deleted when the
// test ends, unless the test has done so.
func create(ctx context.Context, t *testing.T, name string) (oas.Database, uuid.UUID) {
	t.Helper()
	return createFor(ctx, t, "e2e", name)
}

func createFor(ctx context.Context, t *testing.T, team oas.TeamName, name string) (oas.Database, uuid.UUID) {
	t.Helper()
	return createOn(ctx, t, local.Tier, team, name)
}

func createOn(
	ctx context.Context, t *testing.T, tier string, team oas.TeamName, name string,
) (oas.Database, uuid.UUID) {
	t.Helper()
	accepted, err := local.Accepted(stack.API.CreateDatabase(ctx, &oas.CreateDatabaseRequest{
		Tier: tier, Name: name,
		OwnerTeam: oas.NewOptTeamName(team),
		Labels:    oas.NewOptLabels(oas.Labels{"test": "e2e"}),
	}, oas.CreateDatabaseParams{}))
	if err != nil {
		t.Fatalf("create database %s: %v", name, err)
	}
	db := accepted.Response.Data
	t.Cleanup(func() { cleanUp(context.WithoutCancel(ctx), t, db.ID) })
	return db, accepted.Response.Meta.OperationID
}

func cleanUp(ctx context.Context, t *testing.T, id uuid.UUID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	db, err := stack.API.GetDatabase(ctx, oas.GetDatabaseParams{ID: id})
	if err != nil {
		t.Errorf("clean up database %s: %v", id, err)
		return
	}
	switch db.Data.Status {
	case oas.DatabaseStatusDeleted:
		return
	case oas.DatabaseStatusDeleting:
		_, err = stack.Follow(ctx, db.Data.OperationID.Value, nil)
	default:
		var accepted *oas.DatabaseAcceptedHeaders
		if accepted, err = stack.API.DeleteDatabase(ctx, forGood(id)); err == nil {
			_, err = stack.Follow(ctx, accepted.Response.Meta.OperationID, nil)
		}
	}
	if err != nil {
		t.Errorf("clean up database %s: %v", id, err)
	}
}

// succeed waits until the operation is over and fails the test unless it succeeded.
func succeed(ctx context.Context, t *testing.T, operation uuid.UUID) oas.Operation {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	op, err := stack.Follow(ctx, operation, nil)
	if err != nil {
		t.Fatalf("follow: %v; steps: %s", err, describe(op))
	}
	if op.State != oas.OperationStateSucceeded {
		t.Fatalf("operation %s is %s (%s), want succeeded; steps: %s", op.ID, op.State, op.Error.Value.Message, describe(op))
	}
	for _, step := range op.Steps {
		if step.State != oas.StepStateDone {
			t.Errorf("step %s is %s after success, want done", step.Name, step.State)
		}
	}
	return op
}

func describe(op oas.Operation) string {
	var all string
	for _, step := range op.Steps {
		all += fmt.Sprintf("\n  %s: %s, attempt %d, %s %s", step.Name, step.State, step.Attempts, step.Progress, step.LastError)
	}
	return all
}

// forGood asks to delete the database with all of it, whatever its tier says.
func forGood(id uuid.UUID) oas.DeleteDatabaseParams {
	return oas.DeleteDatabaseParams{ID: id, Strategy: oas.NewOptDestructionStrategy(oas.DestructionStrategyHardDelete)}
}

// removeAll deletes the databases for good, beside each other.
func removeAll(ctx context.Context, t *testing.T, ids ...uuid.UUID) {
	t.Helper()
	var deletions []uuid.UUID
	for _, id := range ids {
		accepted, err := stack.API.DeleteDatabase(ctx, forGood(id))
		if err != nil {
			t.Fatalf("delete database %s: %v", id, err)
		}
		deletions = append(deletions, accepted.Response.Meta.OperationID)
	}
	for _, deletion := range deletions {
		succeed(ctx, t, deletion)
	}
}

// remove deletes the database for good and waits until that is over.
func remove(ctx context.Context, t *testing.T, id uuid.UUID) oas.Operation {
	t.Helper()
	accepted, err := stack.API.DeleteDatabase(ctx, forGood(id))
	if err != nil {
		t.Fatalf("delete database %s: %v", id, err)
	}
	return succeed(ctx, t, accepted.Response.Meta.OperationID)
}
