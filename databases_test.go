package daap_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// platform and product are requests of both roles.
var (
	platform = daap.Request{Caller: daap.Caller{KeyName: "alice", Team: "platform", Role: daap.RolePlatformTeam}}
	product  = daap.Request{Caller: daap.Caller{KeyName: "bob", Team: "shop", Role: daap.RoleProductTeam}}
)

// orders is a database that is asked for.
var orders = daap.DatabaseSpec{Name: "orders", OwnerTeam: "shop", Tier: "medium"}

func TestLostStartDoesNotFailTheRequest(t *testing.T) {
	t.Parallel()
	down := startFunc(func(context.Context, daap.Operation) error { return errors.New("the engine is down") })
	s := newStore(t)
	databases := daap.NewDatabases(s, s, down, 1)
	db, op, err := databases.Create(t.Context(), platform, orders)
	if err != nil || db.Status != daap.DatabaseProvisioning || op.State != daap.OperationPending {
		t.Errorf("Create() = %s, %s, %v; want provisioning, pending, no error", db.Status, op.State, err)
	}
	if _, _, err := databases.Delete(t.Context(), platform, db.ID, ""); err != nil {
		t.Errorf("Delete() = %v, want no error", err)
	}
}

func TestNothingIsStartedBeforeItIsRecorded(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	databases := s.databases()
	db, _, err := databases.Create(t.Context(), platform, orders)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := databases.Delete(t.Context(), platform, db.ID, ""); err != nil {
		t.Fatal(err)
	}
	if len(s.started) != 2 || len(s.unrecorded) > 0 {
		t.Errorf("started %v, of them before their rows %v; want two and none", s.started, s.unrecorded)
	}
}

func TestFullBacklogRefusesRequests(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	db := s.ready()
	s.fill()
	before := s.recorded()
	_, _, created := s.databases().Create(t.Context(), platform, orders)
	_, _, deleted := s.databases().Delete(t.Context(), platform, db.ID, "")
	for _, err := range []error{created, deleted} {
		wantCode(t, "above the backlog", err, daap.CodeUnavailable)
	}
	if s.recorded() != before || len(s.started) > 0 {
		t.Error("an operation is recorded or started above the backlog")
	}
}

type startFunc func(context.Context, daap.Operation) error

func (f startFunc) Start(ctx context.Context, op daap.Operation) error { return f(ctx, op) }

func TestOnlyAReadyDatabaseHasConnectionDetails(t *testing.T) {
	t.Parallel()
	known := daap.CABundle(ca(t, 1, 10_000))
	for _, status := range daap.DatabaseStatuses() {
		s, db := newStore(t), daap.Database{ID: uuid.New(), OwnerTeam: "shop", Status: status}
		s.PutDatabase(db)
		s.PutCABundle(db.ID, known+daap.CABundle(ca(t, 2, -10_000)))
		conn, err := s.databases().Connection(t.Context(), platform, db.ID)
		if slices.Contains([]daap.DatabaseStatus{
			daap.DatabaseProvisioning, daap.DatabaseRestoring, daap.DatabaseReady, daap.DatabaseUpdating,
		}, status) {
			if err != nil || conn.CACertificate != known || !conn.CAExpiresAt.Equal(now.AddDate(0, 0, 10_000)) {
				t.Errorf("Connection() of a ready database = %v, %v", conn, err)
			}
			continue
		}
		wantCode(t, "Connection() of a "+string(status)+" database", err, daap.CodeWrongStatus)
	}
}

func TestListHasACursorOnlyIfThereIsMore(t *testing.T) {
	t.Parallel()
	for have, wantCursor := range map[int]bool{0: false, 1: false, 2: false, 3: true} {
		s := newStore(t)
		for range have {
			s.PutDatabase(daap.Database{ID: uuid.New(), OwnerTeam: "shop", Status: daap.DatabaseReady})
		}
		got, cursor, err := s.databases().List(t.Context(), platform, daap.DatabaseFilter{Page: daap.Page{Limit: 2}})
		if err != nil || len(got) != min(have, 2) || (cursor != "") != wantCursor {
			t.Errorf("List() of %d, two a page = %d, cursor %q, %v", have, len(got), cursor, err)
		}
		if cursor == "" {
			continue
		}
		if page, err := daap.ParsePage(2, cursor); err != nil || page.After != got[1].ID {
			t.Errorf("ParsePage() = %v, %v, want the page after %s", page, err, got[1].ID)
		}
	}
}

func TestInvalidPageNamesTheField(t *testing.T) {
	t.Parallel()
	for field, page := range map[string]struct {
		limit  int
		cursor string
	}{"limit": {101, ""}, "cursor": {10, "never given"}} {
		_, err := daap.ParsePage(page.limit, page.cursor)
		if e := daap.AsError(err); e == nil || len(e.Details) != 1 || e.Details[0].Field != field {
			t.Errorf("ParsePage(%d, %q) = %v, want %s refused", page.limit, page.cursor, err, field)
		}
	}
}

func TestGetWaitsUntilTheOperationIsSettled(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		state daap.OperationState
		in    time.Duration // until it is of that state
		wait  time.Duration
		took  time.Duration
	}{
		"without wait":         {daap.OperationRunning, 0, 0, 0},
		"over already":         {daap.OperationSucceeded, 0, time.Minute, 0},
		"over after a while":   {daap.OperationSucceeded, 400 * time.Millisecond, time.Minute, 500 * time.Millisecond},
		"comes to need a hand": {daap.OperationNeedsAttention, 200 * time.Millisecond, time.Minute, 250 * time.Millisecond},
		"never":                {daap.OperationRunning, 0, 3100 * time.Millisecond, 3100 * time.Millisecond},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, op := newStore(t), daap.Operation{ID: uuid.New(), State: daap.OperationRunning}
				s.PutOperation(op)
				op.State = tt.state
				if tt.in == 0 {
					s.PutOperation(op)
				}
				time.AfterFunc(tt.in, func() { s.PutOperation(op) })
				began := time.Now()
				if _, err := daap.NewOperations(s, nil, nil, nil).Get(t.Context(), platform, op.ID, tt.wait); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != tt.took {
					t.Errorf("Get() took %s, want %s", took, tt.took)
				}
			})
		})
	}
}
