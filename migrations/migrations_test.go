package migrations_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap/migrations"
	"github.com/daap-dev/daap/persistence/persistencetest"
)

func tables(t *testing.T, url string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	rows, _ := conn.Query(t.Context(), `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename`)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestUpTwiceIsUpOnce(t *testing.T) {
	t.Parallel()
	url := persistencetest.EmptyURL(t)
	for range 2 {
		if err := migrations.Up(t.Context(), url); err != nil {
			t.Fatal(err)
		}
	}
	got := strings.Join(tables(t, url), " ")
	if want := "api_keys audit_chain audit_log audit_retention audit_unsealed databases events goose_db_version idempotency_keys operation_steps operations"; got != want {
		t.Errorf("tables = %s, want %s", got, want)
	}
}

func TestUpByManyAtOnceIsUpOnce(t *testing.T) {
	t.Parallel()
	url := persistencetest.EmptyURL(t)
	const processes = 4
	done := make(chan error, processes)
	for range processes {
		go func() { done <- migrations.Up(t.Context(), url) }()
	}
	var errs error
	for range processes {
		errs = errors.Join(errs, <-done)
	}
	if errs != nil {
		t.Fatal(errs)
	}
}

func TestUpSaysWhatItCouldNotReach(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://daap:se/cret@db.example/daap",
		"postgres://daap:secret@127.0.0.1:1/daap",
		"postgres://daap:secret@db.example/daap?sslmode=none",
	} {
		err := migrations.Up(t.Context(), url)
		if err == nil {
			t.Errorf("up of %s = nil, want an error", url)
			continue
		}
		if strings.Contains(err.Error(), "se/") || strings.Contains(err.Error(), "cret") {
			t.Errorf("error %q shows the password", err)
		}
	}
}
