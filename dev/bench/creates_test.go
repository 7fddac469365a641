//go:build bench

package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/daap-dev/daap"
)

// How creates are measured: in turn, so that whatever else the machine does befalls both alike.
const (
	createRounds  = 8
	createsAtOnce = 16
	createsEach   = 400
	manyTiers     = 100
)

// TestCreatesPerSecondOfOneTierAndOfMany measures what it costs that all who ask for the same tier wait for one row.
func TestCreatesPerSecondOfOneTierAndOfMany(t *testing.T) {
	pool := open(t, databaseURL(t))
	p := newProcess(t, pool)
	tiers := make([]string, manyTiers)
	for i := range tiers {
		tiers[i] = fmt.Sprintf("tier-%d", i)
		p.tier(t, tiers[i])
	}
	var hot, spread, ratios []float64
	var hotWaits, spreadWaits []time.Duration
	for round := range createRounds + 1 {
		one, oneWaits := p.creates(t, tiers[:1])
		many, manyWaits := p.creates(t, tiers)
		if round == 0 {
			continue // warms up
		}
		hot, spread, ratios = append(hot, one), append(spread, many), append(ratios, one/many)
		hotWaits, spreadWaits = append(hotWaits, oneWaits...), append(spreadWaits, manyWaits...)
		// What is done is out of the way of what is to come: no start is due for it.
		if _, err := pool.Exec(t.Context(), `
			UPDATE operations SET state = 'succeeded', started_at = now(), finished_at = now() WHERE state = 'pending'`); err != nil {
			t.Fatal(err)
		}
	}
	figures.add("creates per second, one hot tier", tell(hot, hotWaits), "")
	figures.add(fmt.Sprintf("creates per second, %d tiers", manyTiers), tell(spread, spreadWaits), "")
	figures.add("creates per second, one hot tier over many", fmt.Sprintf("%.2f (%.2f-%.2f)",
		quantile(ratios, 0.5), quantile(ratios, 0), quantile(ratios, 1)), "")
}

func tell(perSecond []float64, waits []time.Duration) string {
	return fmt.Sprintf("%.0f (p50 %s, p99 %s)", quantile(perSecond, 0.5),
		quantile(waits, 0.5).Round(100*time.Microsecond), quantile(waits, 0.99).Round(100*time.Microsecond))
}

// creates asks for databases of the tiers in turn, many at once, and returns how many were made per second and how long
// each took.
func (p process) creates(t *testing.T, tiers []string) (float64, []time.Duration) {
	t.Helper()
	databases := daap.NewDatabases(p.store, p.store, idle{}, 10*createsEach)
	waits := make([]time.Duration, createsEach)
	var next atomic.Int64
	group, ctx := errgroup.WithContext(t.Context())
	begin := time.Now()
	for range createsAtOnce {
		group.Go(func() error {
			for i := next.Add(1) - 1; i < createsEach; i = next.Add(1) - 1 {
				asked := time.Now()
				if err := createOne(ctx, databases, tiers[int(i)%len(tiers)]); err != nil {
					return err
				}
				waits[i] = time.Since(asked)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return createsEach / time.Since(begin).Seconds(), waits
}

// made counts all databases, so that each has a name of its own.
var made atomic.Int64

func createOne(ctx context.Context, databases *daap.Databases, tier string) error {
	_, _, err := databases.Create(ctx, console, daap.DatabaseSpec{
		Name: fmt.Sprintf("db-%d", made.Add(1)), OwnerTeam: "shop", Tier: tier,
	})
	return err
}
