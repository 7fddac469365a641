//go:build e2e

package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap/api/oas"
)

func TestExtensionsMadeInPsqlAreListedAndNoListIsShownAsFreshThatIsNot(t *testing.T) {
	id := parallelOn(t, sharedPlain)
	ctx := t.Context()
	first := psqlOf(ctx, t, id)
	asSuperuser(ctx, t, id, `CREATE DATABASE second OWNER app`)
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
	rescan(ctx, t, id, "both are listed", func() bool {
		found = show(ctx, t, id)
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
	rescan(ctx, t, id, "the list is stale, and the storage is told all the same", func() bool {
		found = show(ctx, t, id)
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
	rescan(ctx, t, id, "what was dropped is not listed", func() bool {
		found = show(ctx, t, id)
		return found.Extensions.Value.State == oas.ExtensionsStateFresh && !has(found, "second", "citext")
	})
}

// has says whether the PostgreSQL database is shown with the extension.
func has(db oas.Database, postgres, name string) bool {
	return slices.ContainsFunc(db.Extensions.Value.Items, func(e oas.Extension) bool {
		return e.PostgresDatabase == postgres && e.Name == name
	})
}

// rescan waits until it is so, and meanwhile has the database scanned, again and again: a database that changed is due
// in the next run of the schedule.
func rescan(ctx context.Context, t *testing.T, id uuid.UUID, what string, so func() bool) {
	t.Helper()
	var changed time.Time
	untilRun(ctx, t, what, func() bool {
		if so() {
			return true
		}
		if time.Since(changed) > runAgainAfter {
			patch := &oas.UpdateDatabaseApplicationMergePatchJSON{Description: oas.NewOptNilString(uuid.NewString())}
			if _, err := stack.API.UpdateDatabase(ctx, patch, oas.UpdateDatabaseParams{ID: id}); err != nil {
				t.Fatal(err)
			}
			changed = time.Now()
		}
		return false
	}, scanExtensions)
}

func show(ctx context.Context, t *testing.T, id uuid.UUID) oas.Database {
	t.Helper()
	got, err := stack.API.GetDatabase(ctx, oas.GetDatabaseParams{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return got.Data
}
