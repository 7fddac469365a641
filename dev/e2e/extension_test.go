//go:build e2e

package e2e

import (
	"context"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap/api/oas"
)

func TestExtensionsMadeInPsqlAreListedAndNoListIsShownAsFreshThatIsNot(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, operation := create(ctx, t, "extended")
	succeed(ctx, t, operation)
	first := psqlOf(ctx, t, db.ID)
	asSuperuser(ctx, t, db.ID, `CREATE DATABASE second OWNER app`)
	second := first
	second.Database = "second"
	for sql, psql := range map[string]interface {
		Run(ctx context.Context, sql string) (string, error)
	}{`CREATE EXTENSION pg_trgm`: first, `CREATE EXTENSION citext`: second} {
		if _, err := psql.Run(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	var found oas.Database
	rescan(ctx, t, db.ID)
	until(ctx, t, "both are listed", func() bool {
		found = show(ctx, t, db.ID)
		return has(found, "app", "pg_trgm") && has(found, "second", "citext")
	})
	listed := found.Extensions.Value
	if listed.State != oas.ExtensionsStateFresh || !listed.Reason.Null || !has(found, "app", "plpgsql") {
		t.Errorf("the list is %+v, want a fresh one with plpgsql", listed)
	}
	for _, e := range listed.Items {
		if e.Version == "" || e.AvailableVersion.Value != e.Version || !e.LastCheckedAt.Equal(listed.LastCheckedAt.Value) {
			t.Errorf("found %+v, want the version that is available", e)
		}
	}
	storage := found.Storage.Value
	if storage.State != oas.StorageStateOk || storage.WalBytes.Value < 16<<20 || storage.UsedBytes.Value <= storage.WalBytes.Value ||
		storage.UsedBytes.Value > storage.SizeBytes {
		t.Errorf("the storage is %+v, want some of it, and some of that WAL", storage)
	}
	fleet, err := stack.API.ListExtensions(ctx, oas.ListExtensionsParams{Name: oas.NewOptString("citext")})
	if err != nil || len(fleet.Data) != 1 || fleet.Data[0].Databases < 1 || fleet.Data[0].OutdatedDatabases != 0 {
		t.Errorf("the fleet has %+v, %v; want citext once", fleet, err)
	}
	older, err := stack.API.ListExtensions(ctx, oas.ListExtensionsParams{
		Name: oas.NewOptString("citext"), OlderThan: oas.NewOptString(listed.Items[0].Version[:1]),
	})
	if err != nil || len(older.Data) > 0 {
		t.Errorf("older than all the fleet has %+v, %v; want none", older, err)
	}

	if _, err := second.Run(ctx, `REVOKE CONNECT ON DATABASE second FROM PUBLIC`); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, "the list is stale, and the storage is told all the same", func() bool {
		rescan(ctx, t, db.ID) // also in the next second, which is what times are told by
		found = show(ctx, t, db.ID)
		if found.Extensions.Value.State == oas.ExtensionsStateFresh { // from before, and saved since
			listed, storage = found.Extensions.Value, found.Storage.Value
		}
		return found.Extensions.Value.State == oas.ExtensionsStateStale &&
			found.Extensions.Value.Reason.Value == "PermissionDenied" &&
			found.Storage.Value.ObservedAt.Value.After(storage.ObservedAt.Value)
	})
	stale := found.Extensions.Value
	if len(stale.Items) != len(listed.Items) ||
		!stale.LastCheckedAt.Value.Equal(listed.LastCheckedAt.Value) || !stale.Items[0].LastCheckedAt.Equal(listed.LastCheckedAt.Value) {
		t.Errorf("the list is %+v, want that of before with its time, and why", stale)
	}

	if _, err := second.Run(ctx, `GRANT CONNECT ON DATABASE second TO daap; DROP EXTENSION citext`); err != nil {
		t.Fatal(err)
	}
	rescan(ctx, t, db.ID)
	until(ctx, t, "what was dropped is not listed", func() bool {
		found = show(ctx, t, db.ID)
		return found.Extensions.Value.State == oas.ExtensionsStateFresh && !has(found, "second", "citext")
	})
	remove(ctx, t, db.ID)
}

// has says whether the PostgreSQL database is shown with the extension.
func has(db oas.Database, postgres, name string) bool {
	return slices.ContainsFunc(db.Extensions.Value.Items, func(e oas.Extension) bool {
		return e.PostgresDatabase == postgres && e.Name == name
	})
}

// rescan changes the database, so that it is asked anew by the next run of the schedule, and has that run.
func rescan(ctx context.Context, t *testing.T, id uuid.UUID) {
	t.Helper()
	patch := &oas.UpdateDatabaseApplicationMergePatchJSON{Description: oas.NewOptNilString(uuid.NewString())}
	if _, err := stack.API.UpdateDatabase(ctx, patch, oas.UpdateDatabaseParams{ID: id}); err != nil {
		t.Fatal(err)
	}
	shell(ctx, t, "temporal schedule trigger --namespace daap --schedule-id scan_extensions", "operation="+id.String())
}

func show(ctx context.Context, t *testing.T, id uuid.UUID) oas.Database {
	t.Helper()
	got, err := stack.API.GetDatabase(ctx, oas.GetDatabaseParams{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return got.Data
}
