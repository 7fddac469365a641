//go:build bench

// Package bench measures within one run: on a real PostgreSQL the CPU of a request that is authenticated, how long a
// revoked key lives on, and creates of one tier beside creates of many; on a real Kubernetes API without nodes what it
// costs to look at a fleet. A test fails where a promise is broken.
package bench

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api"
	"github.com/daap-dev/daap/api/auth"
	"github.com/daap-dev/daap/persistence"
	"github.com/daap-dev/daap/persistence/persistencetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(workerVariable) != "" {
		if err := beWorker(); err != nil {
			fmt.Fprintln(os.Stderr, "worker:", err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	figures.print()
	os.Exit(code)
}

// figures are what was measured, for one table at the end.
var figures table

type table struct {
	mu   sync.Mutex
	rows [][3]string
}

// add notes what was measured, the figure, and what is promised of it; nothing where it is for comparison.
func (t *table) add(what, figure, promised string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, [3]string{what, figure, promised})
}

func (t *table) print() {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintf(w, "\nwhat\tmeasured\tpromised\n")
	for _, row := range t.rows {
		fmt.Fprintf(w, "%s\t%s\t%s\n", row[0], row[1], row[2])
	}
	_ = w.Flush() // it is a terminal
	fmt.Println()
}

// console is who makes what the tests ask for.
var console = daap.Request{Caller: daap.Caller{KeyName: "bench", Team: "console", Role: daap.RolePlatformTeam}}

// authenticator is what the API has say who asks.
type authenticator interface {
	Authenticate(ctx context.Context, presented, address string) (daap.Caller, error)
}

// process is what one process of the API is: a pool of its own, and what is made on it.
type process struct {
	store *persistence.Store
	keys  *daap.APIKeys
	auth  *auth.Authenticator
}

// hasher is of the least cost: what is measured here computes no hash.
func hasher(t *testing.T) *auth.Hasher {
	t.Helper()
	h, err := auth.NewHasher(auth.Params{MemoryKiB: 8 << 10, Time: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func newProcess(t *testing.T, pool *pgxpool.Pool) process {
	t.Helper()
	store, h := persistence.New(pool), hasher(t)
	limits := auth.Limits{PerSecond: 1e6, Burst: 1e6} // to pay for them, and never be turned away
	return process{store, daap.NewAPIKeys(store, h), auth.New(store, h, limits, func(err error) { t.Error(err) })}
}

func open(t *testing.T, databaseURL string) *pgxpool.Pool {
	t.Helper()
	pool, err := persistence.Open(context.Background(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// handler is the API of the process, with the given word on who asks.
func (p process) handler(who authenticator) http.Handler {
	return api.New(api.Config{
		Databases:     daap.NewDatabases(p.store, p.store, idle{}, 1000),
		Operations:    daap.NewOperations(p.store, p.store, idle{}, idle{}),
		APIKeys:       p.keys,
		AuditLogs:     daap.NewAuditLogs(p.store),
		Authenticator: who,
		Audit:         unheard{},
		Log:           zap.NewNop(),
	})
}

func (p process) key(t *testing.T) daap.Credential {
	t.Helper()
	issued, err := p.keys.Create(t.Context(), console,
		daap.APIKeySpec{Name: "bench", Team: "shop", Role: daap.RoleProductTeam})
	if err != nil {
		t.Fatal(err)
	}
	return *issued.Credential
}

// tier makes a tier of that name, with a quota that does not come to its end.
func (p process) tier(t *testing.T, name string) {
	t.Helper()
	tiers, most := daap.NewTiers(p.store, daap.Catalog{"17": ""}, nil), 1_000_000.0
	made, err := tiers.Create(t.Context(), console, daap.TierSpec{Name: name, Fields: daap.TierPatch{
		"cpu": "500m", "memory": "512Mi", "storage_size": "1Gi", "pg_version": "17", "instances": 1, "max_connections": 100,
		"destruction_strategy": daap.StrategyHardDelete,
	}})
	if err == nil {
		_, err = tiers.SetQuota(t.Context(), console, made.ID, daap.Quota{MaxCPUCores: &most, MaxMemoryGiB: &most})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (p process) database(t *testing.T) daap.Database {
	t.Helper()
	p.tier(t, "small")
	db, _, err := daap.NewDatabases(p.store, p.store, idle{}, 1000).Create(t.Context(), console,
		daap.DatabaseSpec{Name: "orders", OwnerTeam: "shop", Tier: "small"})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// idle is an engine that takes everything and does nothing, and has all destinations be right.
type idle struct{}

func (idle) Start(context.Context, daap.Operation) error { return nil }

func (idle) Decide(context.Context, daap.Operation, daap.Decision, string) error { return nil }

func (idle) Probe(context.Context, string) error { return nil }

// unheard takes the entries of requests that change nothing; their writer works beside them.
type unheard struct{}

func (unheard) Add(daap.AuditEntry) {}

// get asks for a database and returns the status of the answer.
func get(h http.Handler, id uuid.UUID, key string) int {
	r := httptest.NewRequest(http.MethodGet, "/databases/"+id.String(), nil)
	r.Header.Set("X-API-Key", key)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// quantile returns the value below which the given part of the values is.
func quantile[T float64 | time.Duration](values []T, part float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(len(sorted)-1, int(part*float64(len(sorted))))]
}

// databaseURL is of a database that the test has for itself.
func databaseURL(t *testing.T) string {
	t.Helper()
	return persistencetest.URL(t)
}
