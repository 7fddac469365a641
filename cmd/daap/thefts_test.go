package main

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// thefts are the ways in which requests without an id in their path may name what another team owns: each by the
// query or the body that does, and what it must be answered with.
func thefts(db, op uuid.UUID) map[string][]struct{ query, body string } {
	return map[string][]struct{ query, body string }{
		"listDatabases": {
			{query: "team=" + billing}, {query: "cursor=" + daap.Cursor(db)}, {query: "label=secret=yes"}, {query: "status=provisioning"},
		},
		"listOperations": {
			{query: "database_id=" + db.String()},
			{query: "cursor=" + daap.Cursor(op)},
			{query: "state=pending"},
			{query: "kind=provision_database"},
		},
		"listExtensions": {{query: "name=secret"}, {query: "name=secret&older_than=9"}, {query: "cursor=YQA"}, {query: "limit=1"}},
		"createDatabase": {{body: `{"name": "orders", "tier": "small", "owner_team": "` + billing + `"}`}},
	}
}

func TestCursorsFiltersAndBodiesRevealNoOtherTeam(t *testing.T) {
	t.Parallel()
	for _, r := range routes(t) {
		if r.access != daap.AccessOwn || r.hasID() {
			continue
		}
		t.Run(r.id, func(t *testing.T) {
			t.Parallel()
			m := newMatrix(t)
			first, firstOp := m.database(billing, false)
			ownDB, ownOp := m.database(shop, false)
			second, secondOp := m.database(billing, false)
			m.extend(first, "secret")
			tried := thefts(second, secondOp)[r.id]
			if len(tried) == 0 {
				t.Fatalf("nothing is tried with %s", r.id)
			}
			for _, theft := range tried {
				got := m.ask("product-team", r.method, r.path+"?"+theft.query, theft.body)
				if r.changes {
					if got.status != http.StatusForbidden {
						t.Errorf("%s %s = %d %s, want 403", r.id, theft.body, got.status, got.body)
					}
					continue
				}
				for _, id := range got.ids(t) {
					if id != ownDB.String() && id != ownOp.String() {
						t.Errorf("%s?%s shows %s of another team (%s, %s)", r.id, theft.query, id, first, firstOp)
					}
				}
			}
		})
	}
}

// extend has the database run, with the extension.
func (m *matrix) extend(db uuid.UUID, extension string) {
	m.t.Helper()
	now := time.Now()
	err := m.store.SaveScan(m.t.Context(), db, daap.Scan{AttemptedAt: now, ScannedAt: &now, ListedAt: &now},
		[]daap.Extension{{PostgresDatabase: "app", Name: extension, Version: "1.0"}})
	if err == nil {
		_, err = m.pool.Exec(m.t.Context(), `UPDATE databases SET status = 'ready' WHERE id = $1`, db)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	if got := m.ask("platform-team", http.MethodGet, "/extensions?name="+extension, ""); len(got.ids(m.t)) != 1 {
		m.t.Errorf("the platform team sees %s, want the extension", got.body)
	}
}
