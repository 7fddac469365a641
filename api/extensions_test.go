package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

func TestDatabaseShowsItsScan(t *testing.T) {
	t.Parallel()
	s := start(t)
	now := time.Now()
	long := now.Add(-time.Hour)
	hstore := daap.Extension{PostgresDatabase: "app", Name: "hstore", Version: "1.8"}
	for i, tt := range []struct {
		scans []daap.Scan
		want  string
	}{
		{nil, "never NeverScanned <nil>, 0 of it; unknown <nil> <nil> <nil> of 1073741824"},
		{
			[]daap.Scan{{AttemptedAt: now, ScannedAt: &now, ListedAt: &now, UsedBytes: 900 << 20, WALBytes: 64 << 20}},
			"fresh <nil> now, 1 of it; filling_up 943718400 67108864 now of 1073741824",
		},
		{
			[]daap.Scan{
				{AttemptedAt: long, ScannedAt: &long, ListedAt: &long},
				{AttemptedAt: now, Reason: "PermissionDenied", Message: "no entry", ScannedAt: &now, UsedBytes: 1000 << 20},
			},
			"stale PermissionDenied long ago, 1 of it; almost_full 1048576000 <nil> now of 1073741824",
		},
	} {
		db, op := s.create("shop", fmt.Sprintf("orders-%d", i))
		s.store.succeed(op)
		for _, scan := range tt.scans {
			s.store.told(db.ID, scan, hstore)
		}
		got, err := s.client.GetDatabase(t.Context(), oas.GetDatabaseParams{ID: db.ID})
		if err != nil {
			t.Fatal(err)
		}
		e, storage := got.Data.Extensions.Value, got.Data.Storage.Value
		is := fmt.Sprintf("%s %v %v, %d of it; %s %v %v %v of %d", e.State, said(e.Reason.Get()), when(e.LastCheckedAt), len(e.Items),
			storage.State, said(storage.UsedBytes.Get()), said(storage.WalBytes.Get()), when(storage.ObservedAt), storage.SizeBytes)
		if is != tt.want || e.Reason.Null != e.Message.Null {
			t.Errorf("%d: %s (%q)\nwant %s", i, is, e.Message.Value, tt.want)
		}
	}
	list, err := s.client.ListDatabases(t.Context(), oas.ListDatabasesParams{})
	if err != nil || !list.Data[0].Extensions.Null || !list.Data[0].Storage.Null {
		t.Errorf("a list shows %+v, %v; want none of them", list.Data[0], err)
	}
}

// said is nil where nothing is.
func said[T any](value T, is bool) any {
	if !is {
		return nil
	}
	return value
}

// when is a time in words.
func when(at oas.NilDateTime) any {
	switch {
	case at.Null:
		return nil
	case time.Since(at.Value) > 30*time.Minute:
		return "long ago"
	}
	return "now"
}

func TestExtensionsListCountsUnscannedDatabases(t *testing.T) {
	t.Parallel()
	s := start(t)
	now := time.Now()
	scan := daap.Scan{AttemptedAt: now, ScannedAt: &now, ListedAt: &now}
	orders, bills := s.ready("shop", "orders"), s.ready("billing", "bills")
	s.ready("shop", "unasked")
	s.store.told(orders, scan, daap.Extension{Name: "hstore", Version: "1.9", AvailableVersion: "1.10"}, daap.Extension{Name: "plpgsql", Version: "1.0"})
	s.store.told(bills, scan, daap.Extension{Name: "hstore", Version: "1.10", AvailableVersion: "1.10"}, daap.Extension{PostgresDatabase: "second", Name: "hstore", Version: "1.2"})
	list := func(limit int, name, older string) (all []string) {
		t.Helper()
		params := oas.ListExtensionsParams{Limit: oas.NewOptInt(limit)}
		if name != "" {
			params.Name = oas.NewOptString(name)
		}
		if older != "" {
			params.OlderThan = oas.NewOptString(older)
		}
		for {
			page, err := s.client.ListExtensions(t.Context(), params)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Data {
				all = append(all, e.Name+" "+e.Version)
			}
			if page.Meta.UnscannedDatabases != 1 {
				t.Errorf("%d databases are not scanned, want 1", page.Meta.UnscannedDatabases)
			}
			if page.Meta.NextCursor.Null {
				return all
			}
			params.Cursor = oas.NewOptString(page.Meta.NextCursor.Value)
		}
	}
	for want, got := range map[string][]string{
		"[hstore 1.10 hstore 1.2 hstore 1.9 plpgsql 1.0]": list(1, "", ""),
		"[hstore 1.2 hstore 1.9]":                         list(1, "hstore", "1.10"),
		"[plpgsql 1.0]":                                   list(50, "plpgsql", ""),
		"[]":                                              list(50, "postgis", ""),
	} {
		if fmt.Sprint(got) != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
}

func TestExtensionsAreRefusedNamingTheField(t *testing.T) {
	t.Parallel()
	s := start(t)
	for query, field := range map[string]string{
		"older_than=1.0": "older_than", "name=": "name", "name=a%00b": "name", "name=" + url.QueryEscape("ééééééééééééééééééééééééééééééééé"): "name",
		"limit=101": "limit", "cursor=x": "cursor",
	} {
		got := s.do(http.MethodGet, "/extensions?"+query, "")
		if got.status != http.StatusUnprocessableEntity || len(got.Error.Details) == 0 || got.Error.Details[0].Field != field {
			t.Errorf("%s: got %d %s, want 422 that names %s", query, got.status, got.body, field)
		}
	}
}
