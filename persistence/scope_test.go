package persistence_test

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/persistence"
)

// inScope are all methods that take whose rows they may touch, each tried on another team's database.
func inScope(f fixture, scope daap.Scope, db daap.Database, op daap.Operation) map[string]func(context.Context) error {
	by := grant("billing", daap.RoleProductTeam, scope)
	return map[string]func(context.Context) error{
		"Database": func(ctx context.Context) error {
			_, err := f.Database(ctx, scope, db.ID)
			return err
		},
		"DescribeDatabase": func(ctx context.Context) error {
			_, err := f.DescribeDatabase(ctx, scope, db.ID)
			return err
		},
		"CACertificate": func(ctx context.Context) error {
			_, err := f.CACertificate(ctx, scope, db.ID)
			return err
		},
		"PatchDatabase": func(ctx context.Context) error {
			_, err := f.patch(ctx, by, db.ID, daap.DatabasePatch{ClearLabels: true})
			return err
		},
		"AcceptOperation": func(ctx context.Context) error {
			_, _, err := f.AcceptOperation(ctx, by, newOperation(f.t, daap.DeleteDatabase, db.ID))
			return err
		},
		"Operation": func(ctx context.Context) error {
			_, err := f.Operation(ctx, scope, op.ID)
			return err
		},
		"OperationState": func(ctx context.Context) error {
			_, err := f.OperationState(ctx, scope, op.ID)
			return err
		},
		"CancelPending": func(ctx context.Context) error {
			_, err := f.CancelPending(ctx, scope, op.ID, cancel)
			return err
		},
		"RestartOperation": func(ctx context.Context) error {
			_, err := f.RestartOperation(ctx, scope, op.ID, retry)
			return err
		},
	}
}

func (s suite) AnotherTeamsRowsAreMissing(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.created("shop", "orders")
	before := inJSON(t, f.database(db.ID))
	for whose, scope := range map[string]daap.Scope{"another team": daap.OfTeam("billing"), "nobody": {}, "no team": daap.OfTeam("")} {
		for method, try := range inScope(f, scope, db, op) {
			t.Run(method+" of "+whose, func(t *testing.T) {
				wantCode(t, try(t.Context()), daap.CodeNotFound)
			})
		}
	}
	want(t, "the database afterwards", inJSON(t, f.database(db.ID)), before)
	want(t, "the operation's state afterwards", f.operation(op.ID).State, daap.OperationPending)
}

func TestEveryMethodThatTakesAScopeIsTriedOutOfIt(t *testing.T) {
	t.Parallel()
	tried := inScope(fixture{t: t}, daap.Scope{}, daap.Database{}, daap.Operation{})
	elsewhere := []string{ // lists, what has no owner yet, and keys and tiers, which are no team's to change
		"CreateTier", "PatchTier", "DeleteTier", "SetTierQuota",
		"Databases", "Operations", "Events", "BackupState", "Backups", "CreateDatabase", "Remembered", "Remember",
		"ExtensionGroups", "ExtensionVersions", "UnscannedDatabases",
		"CreateAPIKey", "RotateAPIKey", "RevokeAPIKey", "RequestOrphanRemoval",
	}
	store := reflect.TypeFor[*persistence.Store]()
	for i := range store.NumMethod() {
		m := store.Method(i)
		_, is := tried[m.Name]
		for a := range m.Type.NumIn() {
			in := m.Type.In(a)
			takes := in == reflect.TypeFor[daap.Scope]() || in == reflect.TypeFor[daap.Grant]()
			if takes && !is && !slices.Contains(elsewhere, m.Name) {
				t.Errorf("%s is not tried", m.Name)
			}
		}
	}
}

func (s suite) ListsHoldTheRowsInScopeAlone(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	own, ownOp := f.created("shop", "orders")
	other, _ := f.created("billing", "orders")
	shop, page := daap.OfTeam("shop"), daap.Page{Limit: 10}
	for _, filter := range []daap.DatabaseFilter{
		{Page: page}, {Page: daap.Page{Limit: 10, After: other.ID}}, {Status: daap.DatabaseProvisioning, Page: page}, {Team: "shop", Page: page},
	} {
		dbs, err := f.Databases(t.Context(), shop, filter)
		f.must(err)
		if len(dbs) != 1 || dbs[0].ID != own.ID {
			t.Errorf("databases by %+v = %v, want its own", filter, dbs)
		}
	}
	none, err := f.Databases(t.Context(), shop, daap.DatabaseFilter{Team: "billing", Page: page})
	f.must(err)
	ops, err := f.Operations(t.Context(), shop, daap.OperationFilter{Page: page})
	f.must(err)
	noOps, err := f.Operations(t.Context(), shop, daap.OperationFilter{DatabaseID: &other.ID, Page: page})
	f.must(err)
	noEvents, err := f.Events(t.Context(), shop, daap.EventFilter{DatabaseID: other.ID, Page: page})
	f.must(err)
	f.must(f.SaveBackups(t.Context(), other, daap.BackupState{ObservedAt: other.CreatedAt}, []daap.Backup{
		{ID: newID(t), Name: "first", ServerName: "pg-1", Status: daap.BackupCompleted},
	}))
	noBackups, err := f.Backups(t.Context(), shop, daap.BackupFilter{DatabaseID: other.ID, Page: page})
	f.must(err)
	noState, err := f.BackupState(t.Context(), shop, other.ID)
	f.must(err)
	if len(noBackups) > 0 || !noState.ObservedAt.IsZero() {
		t.Errorf("found backups %v and %+v of another team", noBackups, noState)
	}
	if len(none)+len(noOps)+len(noEvents) > 0 || len(ops) != 1 || ops[0].ID != ownOp.ID {
		t.Errorf("found %v, %v, %v of another team and %v of its own", none, noOps, noEvents, ops)
	}
	for _, nobody := range []daap.Scope{{}, daap.OfTeam("")} {
		dbs, err := f.Databases(t.Context(), nobody, daap.DatabaseFilter{Page: page})
		f.must(err)
		ops, err := f.Operations(t.Context(), nobody, daap.OperationFilter{Page: page})
		f.must(err)
		if len(dbs)+len(ops) > 0 {
			t.Errorf("an empty scope finds %v, %v", dbs, ops)
		}
	}
}

func (s suite) AnswerOfAnotherKeysScopeIsNotGivenAgain(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := newDatabase(t, "shop", "orders")
	all := once("a", 1)
	_, _, err := f.CreateDatabase(t.Context(), all, db, nil, op)
	f.must(err)
	f.must(f.Remember(t.Context(), once("b", 1), f.operation(op.ID)))
	_, err = f.patch(t.Context(), once("c", 1), db.ID, daap.DatabasePatch{ClearLabels: true})
	f.must(err)
	product := grant(all.Caller.Team, daap.RoleProductTeam, daap.OfTeam(all.Caller.Team))

	product.Once = once("a", 1).Once
	_, _, err = f.AcceptOperation(t.Context(), product, newOperation(t, daap.DeleteDatabase, db.ID))
	wantCode(t, err, daap.CodeIdempotencyKeyReused)
	product.Once = once("b", 1).Once
	_, _, err = f.Remembered(t.Context(), product)
	wantCode(t, err, daap.CodeIdempotencyKeyReused)
	product.Once = once("c", 1).Once
	_, err = f.patch(t.Context(), product, db.ID, daap.DatabasePatch{ClearLabels: true})
	wantCode(t, err, daap.CodeIdempotencyKeyReused)
}

func (s suite) DatabaseOfATeamOutOfScopeIsNotMade(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := newDatabase(t, "shop", "orders")
	_, _, err := f.CreateDatabase(t.Context(), grant("billing", daap.RoleProductTeam, daap.OfTeam("billing")), db, nil, op)
	if err == nil || daap.AsError(err) != nil {
		t.Errorf("CreateDatabase() = %v, want a fault of the service", err)
	}
	_, err = f.Database(t.Context(), daap.EveryTeam, db.ID)
	wantCode(t, err, daap.CodeNotFound)
}

func (s suite) EachTeamHasItsOwnIdempotencyKeys(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	var made []uuid.UUID
	for _, team := range []string{"shop", "billing"} {
		by := grant(team, daap.RoleProductTeam, daap.OfTeam(team))
		by.Once = once("the-same", 1).Once
		db, op := newDatabase(t, team, "orders")
		db, _, err := f.CreateDatabase(t.Context(), by, db, nil, op)
		f.must(err)
		want(t, "owner", db.OwnerTeam, team)
		made = append(made, db.ID)
	}
	if made[0] == made[1] {
		t.Error("the second team was answered with the first's database")
	}
}
