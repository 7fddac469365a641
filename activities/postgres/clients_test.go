package postgres

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/persistence/persistencetest"
)

// TestClosedDatabaseRejectsClientsUntilItIsOpen has a worker that is not a superuser and has the owner's rights only
// after SET ROLE, as in every database.
func TestClosedDatabaseRejectsClientsUntilItIsOpen(t *testing.T) {
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
	holding := as(t, url, daap.PostgresUser) // connected to another database, with the lock that closing needs
	for _, sql := range []string{`BEGIN`, `ALTER DATABASE ` + daap.PostgresDatabase + ` ALLOW_CONNECTIONS true`} {
		if _, err := holding.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := closeDatabase(ctx, worker); sqlState(err) != insufficientPrivilege {
		t.Errorf("closed without the owner's role: %v, want insufficient privilege", err)
	}
	for range 2 { // safe to repeat
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
			t.Error("an open connection still works")
		}
	}
	_, err = connect()
	if !AcceptsNoConnections(fmt.Errorf("connect to the database: %w", err)) {
		t.Errorf("connecting = %v, want that connections are rejected", err)
	}
	if err := asOwner(ctx, worker, openDatabase); err != nil {
		t.Fatal(err)
	}
	tells(true)
	again, err := connect()
	if err != nil {
		t.Fatalf("connect to the open database: %v", err)
	}
	if err := again.Close(ctx); err != nil {
		t.Error(err)
	}
}
