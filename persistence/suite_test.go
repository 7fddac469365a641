package persistence_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/daap-dev/daap/persistence"
	"github.com/daap-dev/daap/persistence/memory"
	"github.com/daap-dev/daap/persistence/persistencetest"
)

// suite is the tests that every store passes. Its methods run one by one, each on stores of its own.
type suite struct {
	open func(t *testing.T) fixture
}

// fixture returns a store that has the tier small and nothing else.
func (s suite) fixture(t *testing.T) fixture {
	t.Helper()
	return s.open(t)
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	suite{func(t *testing.T) fixture { return newFixture(t).fixture }}.run(t)
}

func TestMemory(t *testing.T) {
	t.Parallel()
	suite{func(t *testing.T) fixture {
		m, ahead := memory.New(), time.Duration(0)
		small := newTier(t, "small")
		small.ID = smallID
		m.PutTier(small)
		return fixture{
			store: m, t: t,
			pass: func(d time.Duration) { ahead += d; m.Pass(d) },
			now:  func() time.Time { return time.Now().Add(ahead) },
		}
	}}.run(t)
}

func (s suite) run(t *testing.T) {
	t.Helper()
	all := reflect.ValueOf(s)
	for i := range all.NumMethod() {
		test, is := all.Method(i).Interface().(func(*testing.T))
		if !is {
			t.Fatalf("%s is no test", all.Type().Method(i).Name)
		}
		t.Run(all.Type().Method(i).Name, test)
	}
}

// fixture is a store, with what tests do to it again and again.
type fixture struct {
	store
	t *testing.T
	// pass lets time go by in the store, and now is the time there.
	pass func(time.Duration)
	now  func() time.Time
}

// postgres is a fixture on a database of its own, for tests that look behind the methods of the store.
type postgres struct {
	fixture
	*persistence.Store
	pool *pgxpool.Pool
}

func newFixture(t *testing.T) postgres {
	t.Helper()
	return newPostgres(t, persistencetest.New(t), insertSmall)
}

func newPostgres(t *testing.T, pool *pgxpool.Pool, begin string) postgres {
	t.Helper()
	f := postgres{Store: persistence.New(pool), pool: pool}
	f.fixture = fixture{store: f.Store, t: t, now: time.Now}
	f.pass = f.passTime // of the whole fixture
	f.exec(begin)
	return f
}

// passTime lets time go by: all that has happened was so much longer ago.
func (f postgres) passTime(d time.Duration) {
	for table, columns := range map[string][]string{
		"databases":        {"created_at", "updated_at", "archived_until"},
		"operations":       {"next_dispatch_at", "next_look_at"},
		"idempotency_keys": {"created_at"},
		"api_keys":         {"created_at", "expires_at", "old_secret_until", "last_used_at"},
		"database_scans":   {"attempted_at", "scanned_at", "listed_at"},
	} {
		for _, column := range columns {
			_, err := f.pool.Exec(f.t.Context(), `UPDATE `+table+` SET `+column+` = `+column+` - $1::interval`, d)
			f.must(err)
		}
	}
}

// exec runs SQL for what no method of the store does.
func (f postgres) exec(sql string) {
	f.t.Helper()
	_, err := f.pool.Exec(f.t.Context(), sql)
	f.must(err)
}

// TestEveryMethodOfTheStoreIsInTheSuite holds but for what PostgreSQL alone can do.
func TestEveryMethodOfTheStoreIsInTheSuite(t *testing.T) {
	t.Parallel()
	alone := []string{
		"Ping", "FollowAPIKeys", "AuditIsProtected", "SealAudit", "AuditHead", "SealedEntries", "UnsealedEntry", "ForgetAudit",
	}
	all, shared := reflect.TypeFor[*persistence.Store](), reflect.TypeFor[store]()
	for i := range all.NumMethod() {
		name := all.Method(i).Name
		if _, is := shared.MethodByName(name); is == slices.Contains(alone, name) {
			t.Errorf("%s must be either a method of store or PostgreSQL's alone", name)
		}
	}
}
