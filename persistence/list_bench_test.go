package persistence_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/persistence"
	"github.com/daap-dev/daap/persistence/persistencetest"
)

// many is how many databases the benchmarks list, all of one team.
const many = 200_000

// fill inserts n databases; of a thousand running ones, one is unavailable and one has a stale check.
func fill(b *testing.B, pool *pgxpool.Pool, n int, team string) {
	b.Helper()
	if _, err := pool.Exec(b.Context(), insertSmall); err != nil {
		b.Fatal(err)
	}
	profile := daap.Profile{
		Instances: 3, HAReplicas: 1, CPU: resource.MustParse("500m"), Memory: resource.MustParse("512Mi"),
		StorageSize: resource.MustParse("1Gi"), PGVersion: "17", PoolMode: daap.PoolTransaction, MaxConnections: 100,
		DestructionStrategy: daap.StrategyHardDelete, PGAuditLog: []daap.PGAuditClass{daap.PGAuditDDL, daap.PGAuditRole},
	}
	for _, fill := range []struct {
		sql  string
		args []any
	}{
		{`INSERT INTO databases (id, name, owner_team, tier_id, tier_name, profile, labels, status, incarnation)
		 SELECT lpad(to_hex(n), 32, '0')::uuid, 'db-' || n, replace($2, '#', (n % 500)::text),
		        '0190a0a0-0000-7000-8000-00000000000a', 'small', $3,
		        jsonb_build_object('env', CASE WHEN n % 2 = 0 THEN 'prod' ELSE 'test' END, 'n', (n / 10)::text), 'ready', 1
		 FROM   generate_series(1, $1) n`, []any{n, team, profile.Values()}},
		{`INSERT INTO operations (id, database_id, kind, state, started_at, finished_at)
		 SELECT id, id, 'provision_database', 'succeeded', now(), now() FROM databases`, nil},
		{`INSERT INTO database_health (database_id, health, conditions, observed_at)
		 SELECT id, CASE WHEN row_number() OVER () % 1000 = 1 THEN 'unavailable' ELSE 'healthy' END,
		        (SELECT jsonb_agg(jsonb_build_object('type', 'Condition' || i, 'status', 'True', 'reason', 'AsExpected',
		                'message', '', 'since', now())) FROM generate_series(1, 12) i),
		        CASE WHEN row_number() OVER () % 1000 = 2 THEN now() - interval '1 day' ELSE now() + interval '1 day' END
		 FROM databases`, nil},
	} {
		if _, err := pool.Exec(b.Context(), fill.sql, fill.args...); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := pool.Exec(b.Context(), `VACUUM ANALYZE`); err != nil {
		b.Fatal(err)
	}
}

func nth(n int) uuid.UUID { return uuid.MustParse(fmt.Sprintf("%032x", n)) }

// filled is a Store with n databases.
func filled(b *testing.B, n int, team string) *persistence.Store {
	b.Helper()
	// The pool's statement timeout is for requests; filling the table takes longer.
	pool, err := persistence.Open(context.Background(), persistencetest.URL(b)+"&statement_timeout=0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	fill(b, pool, n, team)
	return persistence.New(pool)
}

// BenchmarkFleet counts ten thousand databases of five hundred teams.
func BenchmarkFleet(b *testing.B) {
	store := filled(b, 10_000, "team-#")
	for b.Loop() {
		fleet, err := store.Fleet(b.Context(), time.Now())
		if err != nil || fleet.Databases != 10_000 {
			b.Fatalf("counted %d databases, %v", fleet.Databases, err)
		}
	}
}

func BenchmarkReads(b *testing.B) {
	store := filled(b, many, "shop")
	for name, filter := range map[string]daap.DatabaseFilter{
		"first page":              {},
		"first page of the team":  {Team: "shop"},
		"last page of the team":   {Team: "shop", Page: daap.Page{After: nth(100)}},
		"first page of a status":  {Status: daap.DatabaseReady},
		"status nothing has":      {Status: daap.DatabaseError, Team: "shop"},
		"label half of them have": {Labels: map[string]string{"env": "prod"}},
		"label ten have":          {Labels: map[string]string{"n": "77"}},
		"label nothing has":       {Team: "shop", Labels: map[string]string{"n": "none"}},
		"health most have":        {Health: daap.HealthHealthy},
		"health few have":         {Health: daap.HealthUnavailable},
		"health nothing has":      {Health: daap.HealthDegraded},
		"health that is unknown":  {Health: daap.HealthUnknown},
	} {
		filter.Page.Limit = 51
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := store.Databases(b.Context(), daap.EveryTeam, filter); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("point read", func(b *testing.B) {
		for b.Loop() {
			if _, err := store.Database(b.Context(), daap.EveryTeam, nth(many/2)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("operation with its steps", func(b *testing.B) {
		for b.Loop() {
			if _, err := store.Operation(b.Context(), daap.EveryTeam, nth(many/2)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
