package postgres

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/persistence/persistencetest"
)

// TestClosedDatabaseLetsNobodyInUntilItIsOpen has a worker who is no superuser, and has what the owner has only where it
// says so, as in every database.
func TestClosedDatabaseLetsNobodyInUntilItIsOpen(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	url := persistencetest.EmptyURL(t)
	super := as(t, url, "")
	for _, sql := range []string{
		`CREATE ROLE ` + daap.PostgresUser + ` LOGIN`, `CREATE ROLE clients_worker LOGIN NOINHERIT IN ROLE ` + daap.PostgresUser,
		`CREATE DATABASE ` + daap.PostgresDatabase + ` OWNER ` + daap.PostgresUser,
	} {
		if _, err := super.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, sql := range []string{
			`DROP DATABASE ` + daap.PostgresDatabase + ` WITH (FORCE)`, `DROP ROLE clients_worker`, `DROP ROLE ` + daap.PostgresUser,
		} {
			if _, err := super.Exec(context.WithoutCancel(ctx), sql); err != nil {
				t.Error(err)
			}
		}
	})
	worker := as(t, url, "clients_worker")
	connect := func() (*pgx.Conn, error) {
		config, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		config.User, config.Database = daap.PostgresUser, daap.PostgresDatabase
		return pgx.ConnectConfig(ctx, config)
	}
	working, err := connect()
	if err != nil {
		t.Fatal(err)
	}
	holding := as(t, url, daap.PostgresUser) // in another database, the lock that is needed
	for _, sql := range []string{`BEGIN`, `ALTER DATABASE ` + daap.PostgresDatabase + ` ALLOW_CONNECTIONS true`} {
		if _, err := holding.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := closeDatabase(ctx, worker); sqlState(err) != insufficientPrivilege {
		t.Errorf("closed by who does not act for the owner: %v, want that it may not", err)
	}
	for range 2 { // twice is once
		if err := asOwner(ctx, worker, closeDatabase); err != nil {
			t.Fatal(err)
		}
	}
	tells := func(want bool) {
		t.Helper()
		if open, err := isOpen(ctx, worker); err != nil || open != want {
			t.Errorf("isOpen() = %t, %v; want %t", open, err, want)
		}
	}
	tells(false)
	for _, conn := range []*pgx.Conn{working, holding} {
		if _, err := conn.Exec(ctx, `SELECT 1`); err == nil {
			t.Error("who worked on it goes on working")
		}
	}
	_, err = connect()
	if !AcceptsNoConnections(fmt.Errorf("connect to the database: %w", err)) {
		t.Errorf("connecting = %v, want that nobody is let in", err)
	}
	if err := asOwner(ctx, worker, openDatabase); err != nil {
		t.Fatal(err)
	}
	tells(true)
	again, err := connect()
	if err != nil {
		t.Fatalf("connect to what is open: %v", err)
	}
	if err := again.Close(ctx); err != nil {
		t.Error(err)
	}
}
