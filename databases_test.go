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

// ledger keeps databases and operations in memory, as the use cases need them.
type ledger struct {
	db      daap.Database
	list    []daap.Database
	filter  daap.DatabaseFilter
	op      daap.Operation
	states  []daap.OperationState
	looked  int
	started []uuid.UUID
	// startedUnrecorded are operations whose start came before their row.
	startedUnrecorded []uuid.UUID
	backlogged        bool
	// backups are those of db.
	backups daap.BackupState
	// seen is what was seen of db.
	seen daap.Observed
	// tier is the one that updates give, and quotas are by tier.
	tier   daap.Tier
	quotas map[uuid.UUID]daap.QuotaUse
	ca     daap.CABundle
}

func (l *ledger) Database(context.Context, daap.Scope, uuid.UUID) (daap.Database, error) {
	return l.db, nil
}

func (l *ledger) Databases(_ context.Context, _ daap.Scope, f daap.DatabaseFilter) ([]daap.Database, error) {
	l.filter = f
	return l.list[:min(f.Page.Limit, len(l.list))], nil
}

func (l *ledger) CACertificate(context.Context, daap.Scope, uuid.UUID) (daap.CABundle, error) {
	return l.ca, nil
}

func (l *ledger) CreateDatabase(
	_ context.Context, by daap.Grant, db daap.Database, from *daap.RestoreFrom, op daap.Operation,
) (daap.Database, daap.Operation, error) {
	if from != nil {
		if err := from.Check(l.tier); err != nil {
			return db, op, err
		}
	}
	db = db.With(l.tier)
	if !by.DryRun {
		l.db, l.op = db, op
	}
	return db, op, nil
}

func (l *ledger) Events(context.Context, daap.Scope, daap.EventFilter) ([]daap.Event, error) {
	return nil, nil
}

func (l *ledger) Backlogged(context.Context, int) (bool, error) { return l.backlogged, nil }

func (l *ledger) PatchDatabase(
	_ context.Context, by daap.Grant, _ uuid.UUID, patch daap.DatabasePatch, op daap.Operation,
) (daap.Database, *daap.Operation, error) {
	if patch.Tier == nil {
		return l.db, nil, nil
	}
	op.Tier = &l.tier
	if !by.DryRun {
		l.op = op
	}
	return l.db, &op, nil
}

func (l *ledger) BackupState(context.Context, daap.Scope, uuid.UUID) (daap.BackupState, error) {
	return l.backups, nil
}

func (l *ledger) DescribeDatabase(context.Context, daap.Scope, uuid.UUID) (daap.DatabaseView, error) {
	return daap.DatabaseView{Observed: l.seen}, nil
}

func (l *ledger) Fleet(context.Context, time.Time) (daap.Fleet, error) { return daap.Fleet{}, nil }

func (l *ledger) Backups(context.Context, daap.Scope, daap.BackupFilter) ([]daap.Backup, error) {
	return nil, nil
}

func (l *ledger) TierQuota(_ context.Context, id uuid.UUID) (daap.QuotaUse, error) {
	return l.quotas[id], nil
}

func (l *ledger) AcceptOperation(
	_ context.Context, _ daap.Grant, op daap.Operation,
) (daap.Database, daap.Operation, error) {
	l.op = op
	return l.db, op, nil
}

func (l *ledger) Operation(context.Context, daap.Scope, uuid.UUID) (daap.Operation, error) {
	return l.op, nil
}

func (l *ledger) OperationState(context.Context, daap.Scope, uuid.UUID) (daap.OperationState, error) {
	state := l.states[min(l.looked, len(l.states)-1)]
	l.looked++
	return state, nil
}

func (l *ledger) Operations(context.Context, daap.Scope, daap.OperationFilter) ([]daap.Operation, error) {
	return nil, nil
}

func (l *ledger) Start(_ context.Context, op daap.Operation) error {
	l.started = append(l.started, op.ID)
	if l.op.ID != op.ID {
		l.startedUnrecorded = append(l.startedUnrecorded, op.ID)
	}
	return nil
}

func TestLostStartDoesNotFailTheRequest(t *testing.T) {
	t.Parallel()
	down := startFunc(func(context.Context, daap.Operation) error { return errors.New("the engine is down") })
	l := &ledger{}
	databases := daap.NewDatabases(l, l, down, 1)
	db, op, err := databases.Create(t.Context(), platform, daap.DatabaseSpec{Name: "orders", OwnerTeam: "shop"})
	if err != nil || db.Status != daap.DatabaseProvisioning || op.State != daap.OperationPending {
		t.Errorf("Create() = %s, %s, %v; want provisioning, pending, no error", db.Status, op.State, err)
	}
	if _, _, err := databases.Delete(t.Context(), platform, db.ID, ""); err != nil {
		t.Errorf("Delete() = %v, want no error", err)
	}
}

func TestNothingIsStartedBeforeItIsRecorded(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	databases := daap.NewDatabases(l, l, l, 1)
	db, _, err := databases.Create(t.Context(), platform, daap.DatabaseSpec{Name: "orders", OwnerTeam: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := databases.Delete(t.Context(), platform, db.ID, ""); err != nil {
		t.Fatal(err)
	}
	if len(l.started) != 2 || len(l.startedUnrecorded) > 0 {
		t.Errorf("started %v, of them before their rows %v; want two and none", l.started, l.startedUnrecorded)
	}
}

func TestFullBacklogRefusesRequests(t *testing.T) {
	t.Parallel()
	l := &ledger{backlogged: true}
	databases := daap.NewDatabases(l, l, l, 1)
	_, _, created := databases.Create(t.Context(), platform, daap.DatabaseSpec{Name: "orders", OwnerTeam: "shop"})
	_, _, deleted := databases.Delete(t.Context(), platform, uuid.New(), "")
	for _, err := range []error{created, deleted} {
		if e := daap.AsError(err); e == nil || e.Code != daap.CodeUnavailable {
			t.Errorf("above the backlog = %v, want unavailable", err)
		}
	}
	if l.op.ID != uuid.Nil || len(l.started) > 0 {
		t.Error("an operation is recorded or started above the backlog")
	}
}

type startFunc func(context.Context, daap.Operation) error

func (f startFunc) Start(ctx context.Context, op daap.Operation) error { return f(ctx, op) }

func TestOnlyAReadyDatabaseHasConnectionDetails(t *testing.T) {
	t.Parallel()
	known := daap.CABundle(ca(t, 1, 10_000))
	for _, status := range daap.DatabaseStatuses() {
		l := &ledger{db: daap.Database{Status: status}, ca: known + daap.CABundle(ca(t, 2, -10_000))}
		conn, err := daap.NewDatabases(l, l, l, 1).Connection(t.Context(), platform, uuid.New())
		if slices.Contains([]daap.DatabaseStatus{
			daap.DatabaseProvisioning, daap.DatabaseRestoring, daap.DatabaseReady, daap.DatabaseUpdating,
		}, status) {
			if err != nil || conn.CACertificate != known || !conn.CAExpiresAt.Equal(now.AddDate(0, 0, 10_000)) {
				t.Errorf("Connection() of a ready database = %v, %v", conn, err)
			}
			continue
		}
		if e := daap.AsError(err); e == nil || e.Code != daap.CodeWrongStatus {
			t.Errorf("Connection() of a %s database = %v, want wrong_status", status, err)
		}
	}
}

func TestListHasACursorOnlyIfThereIsMore(t *testing.T) {
	t.Parallel()
	for have, wantCursor := range map[int]bool{0: false, 1: false, 2: false, 3: true} {
		l := &ledger{}
		for range have {
			l.list = append(l.list, daap.Database{ID: uuid.New()})
		}
		got, cursor, err := daap.NewDatabases(l, l, l, 1).List(t.Context(), platform, daap.DatabaseFilter{Page: daap.Page{Limit: 2}})
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
	running := daap.OperationRunning
	tests := map[string]struct {
		states []daap.OperationState
		wait   time.Duration
		took   time.Duration
	}{
		"without wait":         {[]daap.OperationState{running}, 0, 0},
		"over already":         {[]daap.OperationState{daap.OperationSucceeded}, time.Minute, 0},
		"over after a while":   {[]daap.OperationState{running, running, daap.OperationSucceeded}, time.Minute, 500 * time.Millisecond},
		"comes to need a hand": {[]daap.OperationState{running, daap.OperationNeedsAttention}, time.Minute, 250 * time.Millisecond},
		"never":                {[]daap.OperationState{running}, 3100 * time.Millisecond, 3100 * time.Millisecond},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				l := &ledger{states: tt.states}
				if _, err := daap.NewOperations(l, nil, nil, nil).Get(t.Context(), platform, uuid.New(), tt.wait); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != tt.took {
					t.Errorf("Get() took %s, want %s", took, tt.took)
				}
			})
		})
	}
}
