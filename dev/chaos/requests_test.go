//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// oneRequest bounds one request, so that one to a process that hangs is sent again.
const oneRequest = 15 * time.Second

// insist sends a request until it is answered, as a client would that names it: again while nobody answers, the
// service is unavailable, or its twin is still being carried out. Every other refusal fails the test.
func insist[T any](ctx context.Context, t *testing.T, what string, send func(context.Context) (T, error)) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var answer T
	var refused error
	err := soon(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, oneRequest)
		defer cancel()
		var err error
		if answer, err = send(ctx); err != nil && !passing(err) {
			refused, err = err, nil
		}
		return err
	})
	if err = errors.Join(err, refused); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return answer
}

// passing says whether the same request may succeed later.
func passing(err error) bool {
	var answer *oas.ErrorStatusCodeWithHeaders
	if !errors.As(err, &answer) {
		return true // nobody answered
	}
	return answer.StatusCode == http.StatusServiceUnavailable ||
		answer.Response.Error.Code == oas.ErrorCodeRequestInProgress
}

// newKey is an Idempotency-Key that the tests find again among all that are kept.
func newKey() string { return "chaos-" + uuid.NewString() }

// request asks for a database or for the end of one, under a key of its own.
type request func(context.Context) (*oas.DatabaseAcceptedHeaders, error)

func createRequest(name, cell string) request { return createRequestOn(local.Tier, name, cell) }

func createRequestOn(tier, name, cell string) request {
	params := oas.CreateDatabaseParams{IdempotencyKey: oas.NewOptString(newKey())}
	body := &oas.CreateDatabaseRequest{
		Tier: tier, Name: name, OwnerTeam: oas.NewOptTeamName(team), Description: oas.NewOptString(cell),
	}
	return func(ctx context.Context) (*oas.DatabaseAcceptedHeaders, error) {
		return local.Accepted(stack.API.CreateDatabase(ctx, body, params))
	}
}

func updateRequest(id uuid.UUID, tier string) request {
	params := oas.UpdateDatabaseParams{ID: id, IdempotencyKey: oas.NewOptString(newKey())}
	body := &oas.UpdateDatabaseApplicationMergePatchJSON{Tier: oas.NewOptString(tier)}
	return func(ctx context.Context) (*oas.DatabaseAcceptedHeaders, error) {
		return local.Accepted(stack.API.UpdateDatabase(ctx, body, params))
	}
}

func backUpRequest(id uuid.UUID) request {
	params := oas.BackUpDatabaseParams{ID: id, IdempotencyKey: oas.NewOptString(newKey())}
	return func(ctx context.Context) (*oas.DatabaseAcceptedHeaders, error) {
		return stack.API.BackUpDatabase(ctx, params)
	}
}

func reconcileRequest(id uuid.UUID) request {
	params := oas.ReconcileDatabaseParams{ID: id, IdempotencyKey: oas.NewOptString(newKey())}
	return func(ctx context.Context) (*oas.DatabaseAcceptedHeaders, error) {
		return stack.API.ReconcileDatabase(ctx, params)
	}
}

func restoreRequest(id uuid.UUID, name string) request {
	params := oas.RestoreDatabaseParams{ID: id, IdempotencyKey: oas.NewOptString(newKey())}
	body := &oas.RestoreDatabaseRequest{Name: name, TargetTime: "latest"}
	return func(ctx context.Context) (*oas.DatabaseAcceptedHeaders, error) {
		return stack.API.RestoreDatabase(ctx, body, params)
	}
}

func deleteRequest(id uuid.UUID) request {
	return destroyRequest(id, oas.DestructionStrategyHardDelete)
}

func unfreezeRequest(id uuid.UUID) request {
	params := oas.UnfreezeDatabaseParams{ID: id, IdempotencyKey: oas.NewOptString(newKey())}
	return func(ctx context.Context) (*oas.DatabaseAcceptedHeaders, error) {
		return stack.API.UnfreezeDatabase(ctx, params)
	}
}

func destroyRequest(id uuid.UUID, strategy oas.DestructionStrategy) request {
	params := oas.DeleteDatabaseParams{
		ID: id, Strategy: oas.NewOptDestructionStrategy(strategy), IdempotencyKey: oas.NewOptString(newKey()),
	}
	return func(ctx context.Context) (*oas.DatabaseAcceptedHeaders, error) {
		return stack.API.DeleteDatabase(ctx, params)
	}
}

// newName is a name that no other database of the team has.
func newName() string { return "c" + uuid.NewString()[:8] }

// getDatabase and getOperation read as they are now.
func getDatabase(ctx context.Context, t *testing.T, id uuid.UUID) oas.Database {
	t.Helper()
	return insist(ctx, t, "get database", func(ctx context.Context) (*oas.DatabaseResponse, error) {
		return stack.API.GetDatabase(ctx, oas.GetDatabaseParams{ID: id})
	}).Data
}

func getOperation(ctx context.Context, t *testing.T, id uuid.UUID) oas.Operation {
	t.Helper()
	return insist(ctx, t, "get operation", func(ctx context.Context) (*oas.OperationResponse, error) {
		return stack.API.GetOperation(ctx, oas.GetOperationParams{ID: id})
	}).Data
}

// retry and abort decide about an operation that needs attention.
func retry(ctx context.Context, t *testing.T, op oas.Operation) {
	t.Helper()
	params := oas.RetryOperationParams{ID: op.ID, IdempotencyKey: oas.NewOptString(newKey())}
	insist(ctx, t, fmt.Sprintf("retry operation %s", op.ID),
		func(ctx context.Context) (*oas.OperationAcceptedHeaders, error) {
			return stack.API.RetryOperation(ctx, decision("What it met is mended."), params)
		})
}

func abort(ctx context.Context, t *testing.T, op oas.Operation) {
	t.Helper()
	params := oas.AbortOperationParams{ID: op.ID, IdempotencyKey: oas.NewOptString(newKey())}
	insist(ctx, t, fmt.Sprintf("abort operation %s", op.ID),
		func(ctx context.Context) (*oas.OperationAcceptedHeaders, error) {
			return stack.API.AbortOperation(ctx, decision("It is not wanted any more."), params)
		})
}

func decision(reason string) *oas.DecisionRequest {
	return &oas.DecisionRequest{Reason: reason}
}
