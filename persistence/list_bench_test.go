package persistence_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/persistence"
	"github.com/daap-dev/daap/persistence/persistencetest"
)

// many is how many databases the benchmarks list, all of one team.
const many = 200_000

func fill(b *testing.B, pool *pgxpool.Pool) {
	b.Helper()
	if _, err := pool.Exec(b.Context(), insertSmall); err != nil {
		b.Fatal(err)
	}
	for _, sql := range []string{
		`INSERT INTO databases (id, name, owner_team, tier_id, tier_name, profile, labels, status, incarnation)
		 SELECT lpad(to_hex(n), 32, '0')::uuid, 'db-' || n, 'shop', '0190a0a0-0000-7000-8000-00000000000a', 'small', '{}',
		        jsonb_build_object('env', CASE WHEN n % 2 = 0 THEN 'prod' ELSE 'test' END, 'n', (n / 10)::text), 'ready', 1
		 FROM   generate_series(1, $1) n`,
		`INSERT INTO operations (id, database_id, kind, state, started_at, finished_at)
		 SELECT id, id, 'provision_database', 'succeeded', now(), now() FROM databases WHERE $1 > 0`,
	} {
		if _, err := pool.Exec(b.Context(), sql, many); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := pool.Exec(b.Context(), `VACUUM ANALYZE`); err != nil {
		b.Fatal(err)
	}
}

func nth(n int) uuid.UUID { return uuid.MustParse(fmt.Sprintf("%032x", n)) }

func BenchmarkReads(b *testing.B) {
	// What the pool allows a statement is for requests; filling the table takes longer.
	pool, err := persistence.Open(context.Background(), persistencetest.URL(b)+"&statement_timeout=0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	fill(b, pool)
	store := persistence.New(pool)
	for name, filter := range map[string]daap.DatabaseFilter{
		"first page":              {},
		"first page of the team":  {Team: "shop"},
		"last page of the team":   {Team: "shop", Page: daap.Page{After: nth(100)}},
		"first page of a status":  {Status: daap.DatabaseReady},
		"status nothing has":      {Status: daap.DatabaseError, Team: "shop"},
		"label half of them have": {Labels: map[string]string{"env": "prod"}},
		"label ten have":          {Labels: map[string]string{"n": "77"}},
		"label nothing has":       {Team: "shop", Labels: map[string]string{"n": "none"}},
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
