package activities

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/persistence/persistencetest"
)

// TestClosedDatabaseLetsNobodyInUntilItIsOpen has an owner who is no superuser, as in every database.
func TestClosedDatabaseLetsNobodyInUntilItIsOpen(t *testing.T) {
	t.Parallel()
	url := persistencetest.EmptyURL(t)
	super := as(t, url, "")
	for _, sql := range []string{
		`CREATE ROLE clients_owner LOGIN`, `CREATE DATABASE ` + daap.PostgresDatabase + ` OWNER clients_owner`,
	} {
		if _, err := super.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, sql := range []string{`DROP DATABASE ` + daap.PostgresDatabase + ` WITH (FORCE)`, `DROP ROLE clients_owner`} {
			if _, err := super.Exec(context.WithoutCancel(t.Context()), sql); err != nil {
				t.Error(err)
			}
		}
	})
	admin := as(t, url, "clients_owner")
	connect := func() (*pgx.Conn, error) {
		config, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		config.User, config.Database = "clients_owner", daap.PostgresDatabase
		return pgx.ConnectConfig(t.Context(), config)
	}
	working, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	last, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // twice is once
		if err := closeDatabase(t.Context(), admin, last.PgConn().PID()); err != nil {
			t.Fatal(err)
		}
	}
	tells := func(want bool) {
		t.Helper()
		if open, err := isOpen(t.Context(), admin); err != nil || open != want {
			t.Errorf("isOpen() = %t, %v; want %t", open, err, want)
		}
	}
	tells(false)
	if _, err := working.Exec(t.Context(), `SELECT 1`); err == nil {
		t.Error("who worked on it goes on working")
	}
	if _, err := last.Exec(t.Context(), `SELECT 1`); err != nil {
		t.Errorf("the last one cannot work: %v", err)
	}
	_, err = connect()
	if !takesNobody(fmt.Errorf("connect to the database: %w", err)) {
		t.Errorf("connecting = %v, want that nobody is let in", err)
	}
	if err := openDatabase(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	tells(true)
	again, err := connect()
	if err != nil {
		t.Fatalf("connect to what is open: %v", err)
	}
	for _, conn := range []*pgx.Conn{again, last} {
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestArchiveLacksWhatIsNotThere(t *testing.T) {
	t.Parallel()
	const first, last = "000000010000000000000003", "000000010000000000000005"
	wals := func(names ...string) map[string]Object {
		objects := map[string]Object{}
		for _, name := range names {
			objects["wals/"+name[:16]+"/"+name+".gz"] = Object{Size: 1}
		}
		return objects
	}
	for name, tt := range map[string]struct {
		objects map[string]Object
		want    string
	}{
		"all is there":        {wals(first, "000000010000000000000004", last), ""},
		"more is there":       {wals(first, "000000010000000000000004", last, "000000010000000000000006"), ""},
		"one is missing":      {wals(first, last), "WAL segment 000000010000000000000004 is missing in the archive"},
		"the last is missing": {wals(first, "000000010000000000000004"), "WAL segment " + last + ", the last one, is missing in the archive"},
		"nothing is there":    {wals(), "WAL segment " + last + ", the last one, is missing in the archive"},
	} {
		if got := missingWAL(tt.objects, first, last); got != tt.want {
			t.Errorf("%s: missing is %q, want %q", name, got, tt.want)
		}
	}
}
