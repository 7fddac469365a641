//go:build bench

package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	enumspb "go.temporal.io/api/enums/v1"
	sdkclient "go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/persistence"
	"github.com/daap-dev/daap/workflows"
)

// sizes are how large a fleet is, one after another: each has the databases of the one before.
var sizes = []int{100, 1_000, 10_000}

const (
	sweeps = 6
	// operatedPerSecond is how often the simulated operator moves the status of a Cluster.
	operatedPerSecond = 5
	// statusChanges is how many are followed from Kubernetes to the row.
	statusChanges = 50
	// plainFor is for how long the plain way is measured; what it does not come to then is projected.
	plainFor = 20 * time.Second
	// watchLife is for how long a watch is open on average: client-go has each end after five to ten minutes.
	watchLife = 450 * time.Second
)

// What is promised.
const (
	maxRequestsRatio = 1.2
	maxSweep         = 20 * time.Second
	maxMemory        = 300_000_000
	maxEventToRow    = 2 * time.Second
)

// quiet is for libraries that tell of each of their steps.
var quiet = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))

// fleet is what the databases are simulated with.
type fleet struct {
	t          *testing.T
	kubernetes kubernetes
	simulation *simulation
	temporal   sdkclient.Client
	address    string // Temporal's
	url        string
	pool       *pgxpool.Pool
	store      *persistence.Store
	template   daap.Database
	dbs        []daap.Database
}

// cost is what a fleet of one size was measured to cost.
type cost struct {
	databases                              int
	first, sweep                           time.Duration
	atStart, perSweep, perMinute           float64
	firstStatements, statements, perChange float64
	events                                 int
	memory, peak                           int64
	plainSweep, plainUnbound               time.Duration
	projected                              bool
}

// TestFleetCostsTheSameWhateverItsSize has a real API server with the objects of many databases, which a simulated
// operator moves, and a worker that looks at all of them.
func TestFleetCostsTheSameWhateverItsSize(t *testing.T) {
	f := newFleet(t)
	var costs []cost
	for _, size := range sizes {
		f.grow(size)
		costs = append(costs, f.measure())
	}
	tellCosts(costs)
	least, most := costs[0], costs[len(costs)-1]
	if ratio := most.perMinute / least.perMinute; ratio > maxRequestsRatio {
		t.Errorf("%d databases take %.2f times the requests that %d take, want at most %.1f",
			most.databases, ratio, least.databases, maxRequestsRatio)
	}
	for _, c := range costs {
		if longest := max(c.first, c.sweep); longest > maxSweep {
			t.Errorf("a sweep of %d databases takes %s, want at most %s", c.databases, longest, maxSweep)
		}
		if c.peak > maxMemory {
			t.Errorf("the worker of %d databases takes %d MB, want at most %d", c.databases, c.peak/1e6, maxMemory/1_000_000)
		}
	}
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, kubernetes: startKubernetes(t), url: databaseURL(t)}
	f.simulation = newSimulation(t, f.kubernetes)
	f.temporal, f.address = startTemporal(t)
	f.pool = open(t, f.url+"&statement_timeout=0")
	f.store = persistence.New(f.pool)
	f.template = newProcess(t, f.pool).backedUp(t)
	return f
}

// startTemporal starts a Temporal that ends with the test.
func startTemporal(t *testing.T) (sdkclient.Client, string) {
	t.Helper()
	address := freeAddress(t)
	startProgram(t, "temporal", part(t, "bin", "temporal"), "server", "start-dev", "--headless", "--ip", "127.0.0.1",
		"--port", address[strings.LastIndex(address, ":")+1:], "--log-level", "error")
	var c sdkclient.Client
	await(t, time.Minute, "Temporal", func(ctx context.Context) (err error) {
		c, err = sdkclient.DialContext(ctx, sdkclient.Options{HostPort: address, Logger: log.NewStructuredLogger(quiet)})
		return err
	})
	t.Cleanup(c.Close)
	return c, address
}

// backedUp makes a database of a tier with backups, of which all others are copies.
func (p process) backedUp(t *testing.T) daap.Database {
	t.Helper()
	tiers := daap.NewTiers(p.store, daap.Catalog{"17": ""}, idle{})
	_, err := tiers.Create(t.Context(), console, daap.TierSpec{Name: "kept", Fields: daap.TierPatch{
		"cpu": "500m", "memory": "512Mi", "storage_size": "1Gi", "pg_version": "17", "instances": 1, "max_connections": 100,
		"destruction_strategy": daap.StrategyHardDelete, "backup_enabled": true, "backup_frequency": "0 2 * * *",
		"backup_retention_days": 7, "object_storage_destination": "s3://backups",
	}})
	if err != nil {
		t.Fatal(err)
	}
	db, _, err := daap.NewDatabases(p.store, p.store, idle{}, 1000).Create(t.Context(), console,
		daap.DatabaseSpec{Name: "template", OwnerTeam: "shop", Tier: "kept"})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// grow adds databases, as rows and as objects, until there are so many.
func (f *fleet) grow(size int) {
	f.t.Helper()
	begin, ids := time.Now(), newIDs(f.t, size-len(f.dbs))
	for _, sql := range []string{
		`INSERT INTO databases (id, name, owner_team, tier_id, tier_name, profile, status, incarnation, ca_expires_at)
		 SELECT id, 'db-' || replace(id::text, '-', ''), owner_team, tier_id, tier_name, profile, 'ready', 1, now() + interval '10 years'
		 FROM  (SELECT owner_team, tier_id, tier_name, profile FROM databases WHERE name = 'template') t, unnest($1::uuid[]) id`,
		`INSERT INTO operations (id, database_id, kind, state, started_at, finished_at)
		 SELECT id, id, 'provision_database', 'succeeded', now(), now() FROM unnest($1::uuid[]) id`,
		`INSERT INTO reservations (operation_id, database_id, tier_id, cpu_millis, memory_bytes, storage_bytes)
		 SELECT id, id, tier_id, cpu_millis, memory_bytes, storage_bytes
		 FROM  (SELECT r.* FROM reservations r JOIN databases d ON d.id = r.database_id WHERE d.name = 'template') t,
		       unnest($1::uuid[]) id`,
		`INSERT INTO backup_states (database_id, observed_at, archiving, archiving_message, last_archived_at, unarchived_bytes,
		                            last_success_at, last_failure_message, gap)
		 SELECT id, now(), true, '', now(), 0, now(), '', '' FROM unnest($1::uuid[]) id`,
		`INSERT INTO database_scans (database_id, attempted_at, scanned_at, listed_at, used_bytes, wal_bytes, connections, max_connections)
		 SELECT id, now(), now(), now(), 1 << 27, 1 << 25, 10, 100 FROM unnest($1::uuid[]) id`,
	} {
		if _, err := f.pool.Exec(f.t.Context(), sql, ids); err != nil {
			f.t.Fatal(err)
		}
	}
	if _, err := f.pool.Exec(f.t.Context(), `VACUUM ANALYZE`); err != nil {
		f.t.Fatal(err)
	}
	var more []daap.Database
	for _, id := range ids {
		db := f.template
		db.ID, db.Status = id, daap.DatabaseReady
		more = append(more, db)
	}
	f.simulation.provision(f.t, more)
	f.dbs = append(f.dbs, more...)
	f.simulation.awaitSeen(f.t, len(f.dbs))
	f.t.Logf("%d databases are there after %s", size, time.Since(begin).Round(time.Second))
}

// measure has a worker look at the fleet as it is now.
func (f *fleet) measure() cost {
	f.t.Helper()
	c := cost{databases: len(f.dbs)}
	begin := time.Now()
	w := startWorker(f.t, workerInput{f.kubernetes, f.url, f.address})
	defer w.stop()
	before := w.usage()
	c.atStart = float64(before.Requests)
	f.t.Logf("the worker of %d has read Kubernetes for the first time after %s: %d requests, %d MB, at most %d MB",
		c.databases, time.Since(begin).Round(time.Millisecond), before.Requests, before.Memory/1e6, before.Peak/1e6)
	c.first, _ = f.sweep()
	after := w.usage()
	c.firstStatements = float64(after.Statements - before.Statements)
	f.allAre(daap.HealthHealthy)

	before = after
	var took []time.Duration
	for range sweeps {
		sweep, events := f.sweep()
		took, c.events = append(took, sweep), max(c.events, events)
	}
	after = w.usage()
	c.sweep = quantile(took, 0.5)
	c.statements = float64(after.Statements-before.Statements) / sweeps
	c.perSweep = float64(after.Requests-before.Requests) / sweeps

	f.operated(func() { f.follow(w, &c) })
	after = w.usage()
	f.watchesLive(after)
	// A minute has one sweep, and each watch is asked for again when it ends.
	c.perMinute = c.perSweep + float64(after.Watches)/watchLife.Minutes()
	c.memory, c.peak = after.Memory, after.Peak
	f.plain(&c)
	return c
}

// watchesLive fails the test where watches are not what requests per minute are computed of.
func (f *fleet) watchesLive(u usage) {
	f.t.Helper()
	if u.Watches == 0 || u.Shortest < 5*time.Minute || u.Longest > 10*time.Minute {
		f.t.Errorf("%d watches are open, and end after %s to %s, want them to end after 5 to 10 minutes",
			u.Watches, u.Shortest, u.Longest)
	}
}

// sweep has the workflow look at the fleet, and returns how long it took and how many events its history has.
func (f *fleet) sweep() (time.Duration, int) {
	f.t.Helper()
	// What looks at backups has just done so.
	if _, err := f.pool.Exec(f.t.Context(), `UPDATE backup_states SET observed_at = now()`); err != nil {
		f.t.Fatal(err)
	}
	begin := time.Now()
	run, err := f.temporal.ExecuteWorkflow(f.t.Context(),
		sdkclient.StartWorkflowOptions{ID: "check_fleet-" + uuid.NewString(), TaskQueue: workflows.TaskQueue}, "check_fleet")
	if err == nil {
		err = run.Get(f.t.Context(), nil)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	took, events := time.Since(begin), 0
	for history := f.temporal.GetWorkflowHistory(f.t.Context(), run.GetID(), run.GetRunID(), false,
		enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); history.HasNext(); events++ {
		if _, err := history.Next(); err != nil {
			f.t.Fatal(err)
		}
	}
	return took, events
}

// allAre fails the test unless all databases are of the health.
func (f *fleet) allAre(health daap.DatabaseHealth) {
	f.t.Helper()
	var n int
	if err := f.pool.QueryRow(f.t.Context(), `SELECT count(*) FROM database_health WHERE health = $1`, health).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	if n != len(f.dbs) {
		var other string
		_ = f.pool.QueryRow(f.t.Context(), `SELECT conditions::text FROM database_health WHERE health <> $1 LIMIT 1`, health).Scan(&other)
		f.t.Fatalf("%d of %d databases are %s; one that is not has %s", n, len(f.dbs), health, other)
	}
}

// operated does what is to be done while the simulated operator moves the status of other databases.
func (f *fleet) operated(do func()) {
	f.t.Helper()
	ctx, stop := context.WithCancel(f.t.Context())
	var operating sync.WaitGroup
	operating.Go(func() {
		if err := f.simulation.operate(ctx, f.dbs[:len(f.dbs)/2], operatedPerSecond); err != nil {
			f.t.Errorf("simulated operator: %v", err)
		}
	})
	do()
	stop()
	operating.Wait()
}

// follow changes the status of databases one after another, with sweeps beside it, and measures after how long the row
// says so.
func (f *fleet) follow(w *worker, c *cost) {
	f.t.Helper()
	others := f.dbs[len(f.dbs)/2:]
	var waits []time.Duration
	before, begin := w.usage(), time.Now()
	swept, sweeping := 0, make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() {
		for {
			select {
			case <-sweeping:
				return
			case <-time.After(5 * time.Second):
				f.sweep()
				swept++
			}
		}
	})
	for i := range statusChanges {
		db := others[i*len(others)/statusChanges]
		waits = append(waits, f.untilRow(db, daap.HealthDegraded, f.simulation.fail))
		f.untilRow(db, daap.HealthHealthy, f.simulation.heal)
	}
	close(sweeping)
	beside.Wait()
	after, took := w.usage(), time.Since(begin)
	changes := 2*statusChanges + operatedPerSecond*took.Seconds()
	c.perChange = (float64(after.Statements-before.Statements) - float64(swept)*c.statements) / changes
	if got := after.Requests - before.Requests; got > after.Watches {
		f.t.Errorf("%d requests while the operator moved statuses, want none but watches that ended", got)
	}
	p99 := quantile(waits, 0.99)
	figures.add(fmt.Sprintf("fleet of %d: a Cluster's status until the row says so, p50 / p99", c.databases),
		fmt.Sprintf("%s / %s", quantile(waits, 0.5).Round(time.Millisecond), p99.Round(time.Millisecond)),
		"at most "+maxEventToRow.String())
	if p99 > maxEventToRow {
		f.t.Errorf("a status is in the row after %s, want at most %s", p99, maxEventToRow)
	}
}

// untilRow is for how long the row has not the health that the change makes.
func (f *fleet) untilRow(
	db daap.Database, health daap.DatabaseHealth, change func(context.Context, daap.Database) error,
) time.Duration {
	f.t.Helper()
	begin := time.Now()
	if err := change(f.t.Context(), db); err != nil {
		f.t.Fatal(err)
	}
	await(f.t, time.Minute, "the row", func(ctx context.Context) error {
		var is daap.DatabaseHealth
		err := f.pool.QueryRow(ctx, `SELECT health FROM database_health WHERE database_id = $1`, db.ID).Scan(&is)
		if err == nil && is != health {
			err = fmt.Errorf("it says %s, want %s", is, health)
		}
		return err
	})
	return time.Since(begin)
}

// plain measures what is left out: one GET of the Cluster of each database, at client-go's own limits and without any.
func (f *fleet) plain(c *cost) {
	f.t.Helper()
	limited, err := client.New(f.kubernetes.access(), client.Options{Scheme: scheme(f.t)})
	if err != nil {
		f.t.Fatal(err)
	}
	begin, got := time.Now(), 0
	for got < len(f.dbs) && time.Since(begin) < plainFor {
		f.get(f.t.Context(), limited, f.dbs[got])
		got++
	}
	c.plainSweep, c.projected = time.Since(begin), got < len(f.dbs)
	if c.projected { // the first ten come at once
		c.plainSweep = time.Duration(float64(c.plainSweep) * float64(len(f.dbs)-10) / float64(got-10))
	}
	begin = time.Now()
	group, ctx := errgroup.WithContext(f.t.Context())
	group.SetLimit(16)
	for _, db := range f.dbs {
		group.Go(func() error { f.get(ctx, f.simulation.api, db); return nil })
	}
	_ = group.Wait() // none returns an error
	c.plainUnbound = time.Since(begin)
}

func (f *fleet) get(ctx context.Context, api client.Client, db daap.Database) {
	var cluster cnpgv1.Cluster
	key := client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: manifest.ClusterName(db)}
	if err := api.Get(ctx, key, &cluster); err != nil {
		f.t.Errorf("get the Cluster of %s: %v", db.ID, err)
	}
}

// tellCosts puts what was measured into the table, all sizes beside each other.
func tellCosts(costs []cost) {
	row := func(what, promised string, of func(cost) string) {
		var all, counts []string
		for _, c := range costs {
			all, counts = append(all, of(c)), append(counts, fmt.Sprint(c.databases))
		}
		figures.add(fmt.Sprintf("fleet of %s: %s", strings.Join(counts, " / "), what), strings.Join(all, " / "), promised)
	}
	number := func(of func(cost) float64) func(cost) string {
		return func(c cost) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", of(c)), ".0") }
	}
	length := func(of func(cost) time.Duration) func(cost) string {
		return func(c cost) string { return of(c).Round(10 * time.Millisecond).String() }
	}
	megabytes := func(of func(cost) int64) func(cost) string {
		return func(c cost) string { return fmt.Sprintf("%d MB", of(c)/1e6) }
	}
	row("a sweep", "at most "+maxSweep.String(), length(func(c cost) time.Duration { return c.sweep }))
	row("the first sweep, which writes every row", "at most "+maxSweep.String(), length(func(c cost) time.Duration { return c.first }))
	row("Kubernetes requests per minute", fmt.Sprintf("at most %.1f times", maxRequestsRatio),
		number(func(c cost) float64 { return c.perMinute }))
	row("Kubernetes requests of a sweep", "", number(func(c cost) float64 { return c.perSweep }))
	row("Kubernetes requests when a worker starts", "", number(func(c cost) float64 { return c.atStart }))
	row("SQL statements of a sweep", "", number(func(c cost) float64 { return c.statements }))
	row("SQL statements of the first sweep", "", number(func(c cost) float64 { return c.firstStatements }))
	row("SQL statements of a change of status", "", number(func(c cost) float64 { return c.perChange }))
	row("history events of a sweep", "", number(func(c cost) float64 { return float64(c.events) }))
	row("memory of the worker", "", megabytes(func(c cost) int64 { return c.memory }))
	row("memory of the worker, at most", fmt.Sprintf("at most %d MB", maxMemory/1_000_000), megabytes(func(c cost) int64 { return c.peak }))
	row("the plain way, a GET per database, at client-go's rate: a sweep", "", func(c cost) string {
		took := c.plainSweep.Round(time.Second).String()
		if c.projected {
			took += " (projected)"
		}
		return took
	})
	row("the plain way: Kubernetes requests of a sweep", "", number(func(c cost) float64 { return float64(c.databases) }))
	row("the plain way without a limit, 16 at once: a sweep", "", length(func(c cost) time.Duration { return c.plainUnbound }))
}
