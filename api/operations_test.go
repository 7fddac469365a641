package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api"
	"github.com/daap-dev/daap/api/oas"
)

func TestOperationShowsAllItsSteps(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, id := s.create("shop", "orders")
	res, err := s.client.GetOperation(t.Context(), oas.GetOperationParams{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	op, plan := res.Data, daap.ProvisionDatabase.Plan(false)
	if op.DatabaseID != db.ID || op.DatabaseName != "orders" || op.OwnerTeam != "shop" || !op.StartedAt.Null {
		t.Errorf("got %+v", op)
	}
	if want := "db:" + db.ID.String() + ":provision_database:" + id.String(); op.WorkflowID != want {
		t.Errorf("got workflow %s, want %s", op.WorkflowID, want)
	}
	if len(op.Steps) != len(plan) {
		t.Fatalf("got %d steps, want %d", len(op.Steps), len(plan))
	}
	for i, step := range op.Steps {
		if step.Name != string(plan[i].Name) || step.Title != plan[i].Title || step.State != oas.StepStatePending {
			t.Errorf("step %d: got %+v, want %+v", i, step, plan[i])
		}
	}
}

func TestOperationThatNeedsAttentionSaysWhy(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, id := s.create("shop", "orders")
	s.store.begin(id, daap.StepCluster)
	s.store.park(id, daap.NewCause(daap.CauseRejected, "The Cluster was refused."))
	res, err := s.client.GetOperation(t.Context(), oas.GetOperationParams{ID: id, Wait: oas.NewOptString("60s")})
	if err != nil {
		t.Fatal(err)
	}
	want := oas.Cause{
		Code: oas.CauseCodeREJECTED, Message: "The Cluster was refused.",
		Remedy: "Fix the problem that the message names; then retry.",
	}
	if res.Data.State != oas.OperationStateNeedsAttention || res.Data.Error.Value != want || !res.Data.WaitingOn.Null {
		t.Errorf("got %+v", res.Data)
	}
	if res.Data.Step.Value != "cluster" {
		t.Errorf("it is at %v", res.Data.Step)
	}
}

func TestRunningOperationShowsItsCause(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, cancelled := range map[string]bool{"running": false, "cancelling": true} {
		db, id := s.create("shop", name)
		s.store.begin(id, daap.StepCluster)
		if cancelled {
			s.decide(id, "cancel", http.StatusAccepted)
		}
		s.store.keep(id, daap.NewCause(daap.CauseImagePull, "No such image."))
		op := s.operation(id)
		if op.State != oas.OperationState(name) || op.WaitingOn.Value.Code != oas.CauseCodeIMAGEPULL || !op.Error.Null {
			t.Errorf("%s: got %+v", name, op)
		}
		found, err := s.client.GetDatabase(t.Context(), oas.GetDatabaseParams{ID: db.ID})
		if err != nil {
			t.Fatal(err)
		}
		want := oas.DatabaseError{
			Code: oas.CauseCodeIMAGEPULL, Message: "No such image.", Remedy: op.WaitingOn.Value.Remedy, OperationID: id,
		}
		if found.Data.WaitingOn.Value != want || !found.Data.Error.Null || want.Remedy == "" {
			t.Errorf("%s: got %+v", name, found.Data)
		}
	}
}

// operation returns the operation as the API returns it.
func (s *service) operation(id uuid.UUID) oas.Operation {
	s.t.Helper()
	res, err := s.client.GetOperation(s.t.Context(), oas.GetOperationParams{ID: id})
	if err != nil {
		s.t.Fatal(err)
	}
	return res.Data
}

func TestOperationsListFiltersAndOmitsSteps(t *testing.T) {
	t.Parallel()
	s := start(t)
	one, provisionOne := s.create("shop", "one")
	s.store.succeed(provisionOne)
	deleteOne := s.delete(one.ID)
	_, provisionTwo := s.create("shop", "two")
	s.store.park(provisionTwo, daap.NewCause(daap.CauseQuota, "Too many pods."))
	for name, row := range map[string]struct {
		params oas.ListOperationsParams
		want   []uuid.UUID
	}{
		"all":      {oas.ListOperationsParams{}, []uuid.UUID{provisionTwo, deleteOne, provisionOne}},
		"database": {oas.ListOperationsParams{DatabaseID: oas.NewOptUUID(one.ID)}, []uuid.UUID{deleteOne, provisionOne}},
		"state": {
			oas.ListOperationsParams{State: oas.NewOptOperationState(oas.OperationStateSucceeded)}, []uuid.UUID{provisionOne},
		},
		"kind": {
			oas.ListOperationsParams{Kind: oas.NewOptOperationKind(oas.OperationKindDeleteDatabase)}, []uuid.UUID{deleteOne},
		},
		"cause": {
			oas.ListOperationsParams{Cause: oas.NewOptCauseCode(oas.CauseCodeQUOTA)}, []uuid.UUID{provisionTwo},
		},
		"cause that none has": {oas.ListOperationsParams{Cause: oas.NewOptCauseCode(oas.CauseCodeDEADLINE)}, nil},
		"first page":          {oas.ListOperationsParams{Limit: oas.NewOptInt(1)}, []uuid.UUID{provisionTwo}},
		"second page": {
			oas.ListOperationsParams{Cursor: oas.NewOptString(daap.Cursor(provisionTwo))}, []uuid.UUID{deleteOne, provisionOne},
		},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := s.client.ListOperations(t.Context(), row.params)
			if err != nil {
				t.Fatal(err)
			}
			if len(res.Data) != len(row.want) {
				t.Fatalf("got %d operations, want %d", len(res.Data), len(row.want))
			}
			for i, op := range res.Data {
				if op.ID != row.want[i] || len(op.Steps) != 0 {
					t.Errorf("%d: got %+v, want %s without steps", i, op, row.want[i])
				}
			}
		})
	}
}

// The wait runs in a bubble, in which time advances as soon as all goroutines block.
func TestWaitOfAMinuteOutlastsTheTimeoutOfARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, handler := bare(t)
		db := store.held()
		begin, w := time.Now(), httptest.NewRecorder()
		handler.ServeHTTP(w, asPlatform("/operations/"+db.OperationID.String()+"?wait=60s"))
		if took := time.Since(begin); w.Code != 200 || took < time.Minute || took > 61*time.Second {
			t.Errorf("got %d after %s", w.Code, took)
		}
	})
}

func TestWaitEndsWhenTheOperationIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, handler := bare(t)
		db := store.held()
		time.AfterFunc(10*time.Second, func() { store.succeed(*db.OperationID) })
		begin, w := time.Now(), httptest.NewRecorder()
		handler.ServeHTTP(w, asPlatform("/operations/"+db.OperationID.String()+"?wait=60s"))
		if took := time.Since(begin); w.Code != 200 || took < 10*time.Second || took > 11*time.Second {
			t.Errorf("got %d after %s", w.Code, took)
		}
	})
}

func TestHangingStoreIsUnavailableAfterTheTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, handler := bare(t)
		store.Before(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		begin, w := time.Now(), httptest.NewRecorder()
		handler.ServeHTTP(w, asPlatform("/databases"))
		if took := time.Since(begin); w.Code != 503 || took != api.DefaultTimeout {
			t.Errorf("got %d after %s", w.Code, took)
		}
	})
}

func pending() daap.Operation {
	return daap.Operation{ID: uuid.New(), Kind: daap.ProvisionDatabase, State: daap.OperationPending}
}

// held puts a database into the store that a pending operation holds, and returns it.
func (s *store) held() daap.Database {
	s.t.Helper()
	db, op := daap.Database{ID: uuid.New(), Status: daap.DatabaseProvisioning}, pending()
	op.DatabaseID = db.ID
	s.PutDatabase(db)
	s.PutOperation(op)
	return s.database(db.ID)
}

// bare is the API on a store in memory, without a server around it.
func bare(t testing.TB) (*store, http.Handler) {
	store := newStore(t)
	return store, api.New(configOn(store))
}

// asPlatform is a request of the platform team to read what is at the path.
func asPlatform(path string) *http.Request {
	req := httptest.NewRequest(http.MethodGet, path, nil)
	req.Header.Set("X-API-Key", platformKey)
	return req
}

// TestWaitOutlastsTheServersOwnTimeouts spends a second of real time: connections have no other.
func TestWaitOutlastsTheServersOwnTimeouts(t *testing.T) {
	t.Parallel()
	store, handler := bare(t)
	db := store.held()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ReadTimeout, server.Config.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	client, err := oas.NewClient(server.URL, platformTeam{})
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.GetOperation(t.Context(), oas.GetOperationParams{ID: *db.OperationID, Wait: oas.NewOptString("1s")})
	if err != nil || res.Data.ID != *db.OperationID {
		t.Errorf("got %+v, %v", res, err)
	}
}
