package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

func TestDeleteUsesTheTiersOrTheChosenStrategy(t *testing.T) {
	t.Parallel()
	s := start(t)
	for query, want := range map[string]daap.OperationKind{
		"": daap.DeleteDatabase, "?strategy=hard_delete": daap.DeleteDatabase, "?strategy=freeze": daap.FreezeDatabase,
		"?strategy=archive": daap.ArchiveDatabase,
	} {
		db, op := s.create("shop", "db-"+uuid.NewString()[:8])
		s.store.succeed(op)
		s.store.backUp(db.ID)
		at := "/databases/" + db.ID.String()
		if preview := s.do(http.MethodGet, at+"/delete-preview"+query, ""); preview.status != http.StatusOK || !strings.Contains(preview.data(t), `"operation":"`+string(want)+`"`) {
			t.Errorf("preview%s: got %d %s, want %s", query, preview.status, preview.body, want)
		}
		if got := s.do(http.MethodDelete, at+query, ""); got.status != http.StatusAccepted {
			t.Errorf("%s: got %d %s", query, got.status, got.body)
		}
		kind := s.store.database(db.ID).OperationKind
		if kind != want {
			t.Errorf("%s began a %s, want %s", query, kind, want)
		}
	}
}

func TestProductTeamDeletesWithTheTiersStrategy(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, op := s.create("shop", "orders")
	s.store.succeed(op)
	at := "/databases/" + db.ID.String()
	for path, method := range map[string]string{at + "?strategy=freeze": http.MethodDelete, at + "/delete-preview?strategy=freeze": http.MethodGet} {
		got := s.do(method, path, "", "X-API-Key", shopKey)
		if got.Error.Code != oas.ErrorCodeForbidden || !strings.Contains(got.Error.Message, "hard_delete") {
			t.Errorf("%s %s: got %s, want that its tier says another", method, path, got.body)
		}
	}
	if got := s.do(http.MethodDelete, at+"?strategy=hard_delete", "", "X-API-Key", shopKey); got.status != http.StatusAccepted {
		t.Errorf("got %d %s, want what the tier says anyway", got.status, got.body)
	}
	if got := s.do(http.MethodDelete, at+"?strategy=burn", ""); got.Error.Message != "strategy must be one of freeze, archive, hard_delete." {
		t.Errorf("got %s", got.body)
	}
}

func TestProtectionRefusesDeletionUntilItIsOff(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, op := s.create("shop", "orders")
	s.store.succeed(op)
	at := "/databases/" + db.ID.String()
	protect := func(on string) {
		t.Helper()
		if got := s.do(http.MethodPatch, at, `{"deletion_protection":`+on+`}`); got.status != http.StatusOK || !strings.Contains(got.data(t), `"deletion_protection":`+on) {
			t.Fatalf("got %d %s", got.status, got.body)
		}
	}
	protect("true")
	if got := s.do(http.MethodDelete, at, ""); got.status != http.StatusConflict || got.Error.Code != oas.ErrorCodeDeletionProtected {
		t.Errorf("got %d %s, want that it is protected", got.status, got.body)
	}
	preview := s.do(http.MethodGet, at+"/delete-preview", "").data(t)
	if !strings.Contains(preview, `"possible":false`) || !strings.Contains(preview, "protected from deletion") {
		t.Errorf("the preview is %s, want that it is protected", preview)
	}
	protect("false")
	if got := s.do(http.MethodDelete, at, ""); got.status != http.StatusAccepted {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestDatabaseShowsItsAllowedAndRestrictedActions(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, op := s.create("shop", "orders")
	s.store.succeed(op)
	s.store.freeze(db.ID)
	shown, err := s.client.GetDatabase(t.Context(), oas.GetDatabaseParams{ID: db.ID})
	if err != nil {
		t.Fatal(err)
	}
	if want := []oas.OperationKind{oas.OperationKindUnfreezeDatabase, oas.OperationKindDeleteDatabase}; !slices.Equal(shown.Data.AllowedActions, want) {
		t.Errorf("allowed are %v, want %v", shown.Data.AllowedActions, want)
	}
	list, err := s.client.ListDatabases(t.Context(), oas.ListDatabasesParams{})
	if err != nil || list.Data[0].AllowedActions != nil || list.Data[0].RestrictedActions != nil {
		t.Errorf("the list has %+v (%v), want nothing of what can be asked for", list, err)
	}
	for _, r := range shown.Data.RestrictedActions {
		if r.Action == oas.OperationKindFreezeDatabase && r.Reason != "The database is frozen and cannot be frozen; it must be ready." {
			t.Errorf("freezing is restricted: %s", r.Reason)
		}
	}
}

func TestDeletePreviewShowsTheEffectAndTheUndo(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, op := s.create("shop", "orders")
	s.store.succeed(op)
	s.store.backUp(db.ID)
	for strategy, want := range map[oas.DestructionStrategy]struct {
		reversible, until bool
		undo, stays       string
	}{
		oas.DestructionStrategyFreeze:     {true, false, "/unfreeze brings the database back", "All data"},
		oas.DestructionStrategyArchive:    {true, true, "/restore creates a new database", "Its archive"},
		oas.DestructionStrategyHardDelete: {false, false, "", "Its record"},
	} {
		got, err := s.client.PreviewDelete(t.Context(), oas.PreviewDeleteParams{ID: db.ID, Strategy: oas.NewOptDestructionStrategy(strategy)})
		if err != nil {
			t.Fatal(err)
		}
		p := got.Data
		if p.Reversible != want.reversible || p.StaysUntil.Null == want.until || !strings.Contains(p.Undo.Value, want.undo) ||
			!strings.Contains(strings.Join(p.Stays, " "), want.stays) || len(p.Goes) == 0 || p.LatestRecoverableAt.Null {
			t.Errorf("%s: the preview is %+v, want %+v", strategy, p, want)
		}
	}
}
