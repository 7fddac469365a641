package persistence_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/persistence"
	"github.com/daap-dev/daap/persistence/persistencetest"
)

type noEngine struct{}

func (noEngine) Start(context.Context, daap.Operation) error { return nil }

func (noEngine) Decide(context.Context, daap.Operation, daap.Decision, string) error {
	return daap.ErrNoWorkflow
}

func TestStoreServesTheUseCases(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	databases := daap.NewDatabases(f.Store, f.Store, noEngine{}, 10)
	operations := daap.NewOperations(f.Store, f.Store, noEngine{}, noEngine{})

	db, op, err := databases.Create(t.Context(), once("a", 1).Request, daap.DatabaseSpec{Name: "orders", OwnerTeam: "shop", Tier: "small"})
	f.must(err)
	seen, err := operations.Get(t.Context(), everyone.Request, op.ID, 0)
	f.must(err)
	want(t, "database of the operation", seen.DatabaseID, db.ID)
	decided, err := operations.Decide(t.Context(), once("b", 1).Request, op.ID, cancel)
	f.must(err)
	want(t, "state", decided.State, daap.OperationCancelled)
	again, err := operations.Decide(t.Context(), once("b", 1).Request, op.ID, cancel)
	f.must(err)
	want(t, "the answer again", again, decided)
	f.must(daap.NewSealer(f.Store, nil, func(err error) { t.Error(err) }).Work(t.Context()))
	found, err := daap.VerifyAudit(t.Context(), f.Store, nil)
	f.must(err)
	logged, _, err := daap.NewAuditLogs(f.Store).List(t.Context(), everyone.Request, daap.AuditFilter{Page: daap.Page{Limit: 50}})
	f.must(err)
	var actions []string
	for _, e := range slices.Backward(logged) {
		actions = append(actions, e.Action+" "+string(e.Outcome))
	}
	want(t, "audit log", actions, []string{
		"createDatabase succeeded", "cancelOperation succeeded", "provision_database.cancelled succeeded",
		"cancelOperation replayed",
	})
	if found.Break != nil || found.Last != int64(len(actions)) {
		t.Errorf("the chain is %+v (%+v), want all entries in it", found, found.Break)
	}
}

func TestPingAnswersWhilePostgreSQLIsThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.must(f.Ping(t.Context()))
	f.pool.Close()
	if f.Ping(t.Context()) == nil {
		t.Error("ping of a closed pool = nil, want an error")
	}
}

func TestOpenBoundsConnectionsUnlessTheURLDoes(t *testing.T) {
	t.Parallel()
	url := persistencetest.EmptyURL(t)
	for name, tc := range map[string]struct {
		params  string
		conns   int32
		timeout string
	}{
		"defaults":     {"", 16, "10s"},
		"from the URL": {"&pool_max_conns=3&statement_timeout=77s", 3, "77s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, err := persistence.Open(t.Context(), url+tc.params)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			want(t, "connections", pool.Config().MaxConns, tc.conns)
			var statement, lock, idle, application string
			err = pool.QueryRow(t.Context(), `
				SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),
				       current_setting('idle_in_transaction_session_timeout'), current_setting('application_name')`,
			).Scan(&statement, &lock, &idle, &application)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "settings", []string{statement, lock, idle, application},
				[]string{tc.timeout, "5s", "15s", "daap"})
		})
	}
}

func TestOpenDoesNotWaitForTheServer(t *testing.T) {
	t.Parallel()
	pool, err := persistence.Open(t.Context(), "postgres://daap@127.0.0.1:1/daap")
	if err != nil {
		t.Fatalf("open without a server: %v", err)
	}
	defer pool.Close()
	if persistence.New(pool).Ping(t.Context()) == nil {
		t.Error("ping without a server = nil, want an error")
	}
}

func TestOpenKeepsThePasswordOfAMalformedURLToItself(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://daap:se/cret@db.example/daap",
		"postgres://daap:se%cret@db.example/daap",
		"postgres://daap:secret@db.example/daap?sslmode=none",
	} {
		_, err := persistence.Open(t.Context(), url)
		if err == nil {
			t.Errorf("open %s = nil, want an error", url)
			continue
		}
		if strings.Contains(err.Error(), "se/") || strings.Contains(err.Error(), "cret") {
			t.Errorf("error %q shows the password", err)
		}
	}
}

func (s suite) TimesAreUTC(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.created("shop", "orders")
	want(t, "location", f.database(db.ID).CreatedAt.Location().String(), "UTC")
}
