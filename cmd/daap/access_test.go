package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api"
	"github.com/daap-dev/daap/api/auth"
	"github.com/daap-dev/daap/persistence"
	"github.com/daap-dev/daap/persistence/persistencetest"
)

// The teams of the matrix: shop asks, billing owns what shop must not see.
const (
	shop    = "shop"
	billing = "billing"
)

// bodies are what operations that need a body are sent.
var bodies = map[string]string{
	"createDatabase":  `{"name": "orders", "tier": "small"}`,
	"updateDatabase":  `{"description": "Orders"}`,
	"restoreDatabase": `{"name": "orders-again", "target_time": "latest"}`,
	"retryOperation":  `{"reason": "fixed"}`,
	"skipOperation":   `{"reason": "fixed"}`,
	"abortOperation":  `{"reason": "fixed"}`,
	"cancelOperation": `{"reason": "fixed"}`,
	"createTier": `{"name": "large", "cpu": "1", "memory": "1Gi", "storage_size": "10Gi", "pg_version": "17",
		"destruction_strategy": "hard_delete"}`,
	"setTierQuota": `{"max_databases": 100}`,
	"updateTier":   `{"description": "For all"}`,
	"createAPIKey": `{"name": "deploy", "team": "shop", "role": "product-team"}`,
	"rotateAPIKey": `{}`,
}

// route is one operation of the contract.
type route struct {
	id, method, path string
	access           daap.Access
	changes          bool
}

func (r route) hasID() bool { return strings.Contains(r.path, "{id}") }

func (r route) at(id string) string { return strings.ReplaceAll(r.path, "{id}", id) }

// routes are all operations of the contract.
func routes(t *testing.T) []route {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(daap.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	var all []route
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			all = append(all, route{
				op.OperationID, method, path, daap.Permission(op.OperationID).Access(), method != http.MethodGet,
			})
		}
	}
	slices.SortFunc(all, func(a, b route) int { return strings.Compare(a.id, b.id) })
	return all
}

// idle is an engine that takes everything and does nothing.
type idle struct{}

func (idle) Start(context.Context, daap.Operation) error { return nil }

func (idle) Probe(context.Context, string) error { return nil }

func (idle) Reap(context.Context) error { return nil }

func (idle) Decide(context.Context, daap.Operation, daap.Decision, string) error { return nil }

// matrix is the API on a real PostgreSQL, with those who ask and what they ask for.
type matrix struct {
	t      *testing.T
	store  *persistence.Store
	pool   *pgxpool.Pool
	keys   *daap.APIKeys
	server *httptest.Server
	// callers are credentials by their problem.
	callers map[string]string
	asked   int
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	pool := persistencetest.New(t)
	store := persistence.New(pool)
	hasher, err := auth.NewHasher(auth.Params{MemoryKiB: 8 << 10, Time: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	fails := func(err error) { t.Error(err) }
	m := &matrix{t: t, store: store, pool: pool, keys: daap.NewAPIKeys(store, hasher)}
	writer := daap.NewAuditWriter(store, fails)
	m.server = httptest.NewServer(api.New(api.Config{
		Databases:      daap.NewDatabases(store, store, idle{}, 1000),
		Operations:     daap.NewOperations(store, store, idle{}, idle{}),
		Tiers:          daap.NewTiers(store, catalog, idle{}),
		Extensions:     daap.NewExtensions(store),
		Orphans:        daap.NewOrphans(store, idle{}),
		APIKeys:        m.keys,
		AuditLogs:      daap.NewAuditLogs(store),
		Authenticator:  auth.New(store, hasher, auth.Limits{}, fails),
		Audit:          writer,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Log:            zap.NewNop(),
	}))
	t.Cleanup(m.server.Close)
	m.makeCallers()
	m.tier("small")
	return m
}

// catalog is what the platform offers in the tests.
var catalog = daap.Catalog{"17": "localhost/postgresql:17"}

// tier makes a tier of the name.
func (m *matrix) tier(name string) uuid.UUID {
	m.t.Helper()
	made, err := daap.NewTiers(m.store, catalog, idle{}).Create(m.t.Context(), console, daap.TierSpec{Name: name, Fields: daap.TierPatch{
		"cpu": "500m", "memory": "512Mi", "storage_size": "1Gi", "storage_class": "fast", "pg_version": "17", "instances": 1, "max_connections": 100,
		"destruction_strategy": daap.StrategyHardDelete,
	}})
	if err != nil {
		m.t.Fatal(err)
	}
	return made.ID
}

// console is who makes keys and rows for the tests.
var console = daap.Request{Caller: daap.Caller{KeyName: "test", Team: "console", Role: daap.RolePlatformTeam}}

func (m *matrix) key(team string, role daap.Role) daap.Credential {
	m.t.Helper()
	issued, err := m.keys.Create(m.t.Context(), console, daap.APIKeySpec{Name: "key", Team: team, Role: role})
	if err != nil {
		m.t.Fatal(err)
	}
	return *issued.Credential
}

func (m *matrix) makeCallers() {
	m.t.Helper()
	own := m.key(shop, daap.RoleProductTeam)
	revoked := m.key(shop, daap.RolePlatformTeam)
	if _, err := m.keys.Revoke(m.t.Context(), console, revoked.KeyID); err != nil {
		m.t.Fatal(err)
	}
	expired := m.key(shop, daap.RolePlatformTeam)
	if _, err := m.pool.Exec(m.t.Context(), `
		UPDATE api_keys SET created_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'
		WHERE  id = $1`, expired.KeyID); err != nil {
		m.t.Fatal(err)
	}
	damaged := []byte(own.Reveal())
	damaged[len(damaged)-1] ^= 1
	m.callers = map[string]string{
		"no key":        "",
		"junk":          "let me in",
		"bad checksum":  string(damaged),
		"unknown":       daap.Credential{KeyID: uuid.New(), Secret: daap.NewSecret()}.Reveal(),
		"wrong secret":  daap.Credential{KeyID: own.KeyID, Secret: daap.NewSecret()}.Reveal(),
		"revoked":       revoked.Reveal(),
		"expired":       expired.Reveal(),
		"product-team":  own.Reveal(),
		"platform-team": m.key("platform", daap.RolePlatformTeam).Reveal(),
		billing:         m.key(billing, daap.RoleProductTeam).Reveal(),
	}
}

// reply is all of an answer that may tell one thing from another.
type reply struct {
	status int
	text   string
	body   []byte
}

// ask sends a request; each comes from an address of its own, so that failures of one do not count for the next.
func (m *matrix) ask(caller, method, path, body string, headers ...string) reply {
	m.t.Helper()
	m.asked++
	req, err := http.NewRequestWithContext(m.t.Context(), method, m.server.URL+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("X-Request-Id", "the-same")
	req.Header.Set("X-Forwarded-For", fmt.Sprintf("192.0.2.%d", m.asked%250))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if key := m.callers[caller]; key != "" {
		req.Header.Set("X-API-Key", key)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := m.server.Client().Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	res.Header.Del("Date")
	var text bytes.Buffer
	if err := res.Header.Write(&text); err != nil {
		m.t.Fatal(err)
	}
	text.Write(raw)
	return reply{res.StatusCode, text.String(), raw}
}

// database makes a database of the team, with the operation that is pending on it.
func (m *matrix) database(team string, deleted bool) (db, op uuid.UUID) {
	m.t.Helper()
	by := console
	databases := daap.NewDatabases(m.store, m.store, idle{}, 1000)
	m.asked++
	made, operation, err := databases.Create(m.t.Context(), by,
		daap.DatabaseSpec{Name: fmt.Sprintf("db-%d", m.asked), OwnerTeam: team, Tier: "small"})
	if err == nil && deleted {
		_, err = daap.NewOperations(m.store, m.store, idle{}, idle{}).Decide(m.t.Context(), by, operation.ID,
			daap.Decision{Action: daap.ActionCancel, Reason: "not needed"})
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return made.ID, operation.ID
}

// orphan creates an orphan, which belongs to no team.
func (m *matrix) orphan() uuid.UUID {
	m.t.Helper()
	orphan := daap.Orphan{ID: uuid.Must(uuid.NewV7()), Kind: daap.OrphanNamespace, DatabaseID: uuid.New(), Reason: "No database has ever had its ID."}
	orphan.Name = "daap-" + orphan.ID.String()
	if err := m.store.SaveOrphans(m.t.Context(), time.Now(), []daap.Orphan{orphan}); err != nil {
		m.t.Fatal(err)
	}
	return orphan.ID
}

// target is an id for a path: whose it is, and whether there is such a thing at all.
type target struct {
	team   string
	exists bool
	id     func() string
}

// targets are the ids that a route is asked for; each call of id makes another thing.
func (m *matrix) targets(r route) map[string]target {
	of := func(team string, deleted bool) func() string {
		return func() string {
			if strings.HasPrefix(r.path, "/tiers/") {
				m.asked++
				return m.tier(fmt.Sprintf("tier-%d", m.asked)).String()
			}
			if strings.HasPrefix(r.path, "/orphans/") {
				return m.orphan().String()
			}
			db, op := m.database(team, deleted)
			switch {
			case strings.HasPrefix(r.path, "/operations/"):
				return op.String()
			case strings.HasPrefix(r.path, "/api-keys/"):
				return m.key(team, daap.RoleProductTeam).KeyID.String()
			}
			return db.String()
		}
	}
	return map[string]target{
		"own":             {shop, true, of(shop, false)},
		"another's":       {billing, true, of(billing, false)},
		"own, deleted":    {shop, true, of(shop, true)},
		"another's, gone": {billing, true, of(billing, true)},
		"missing":         {"", false, func() string { return uuid.NewString() }},
		"malformed":       {"", false, func() string { return "not-an-id" }},
	}
}

// want is what the table of accesses says that a request is answered: 0 where it is let through.
func want(access daap.Access, caller string, to target) int {
	switch {
	case access == daap.AccessOpen:
		return 0
	case caller != "product-team" && caller != "platform-team":
		return http.StatusUnauthorized
	case caller == "product-team" && access == daap.AccessPlatform:
		return http.StatusForbidden
	case !to.exists, caller == "product-team" && access == daap.AccessOwn && to.team != shop:
		return http.StatusNotFound
	}
	return 0
}

func TestEveryOperationFollowsTheTableOfAccesses(t *testing.T) {
	t.Parallel()
	for _, r := range routes(t) {
		t.Run(r.id, func(t *testing.T) {
			t.Parallel()
			if r.access == daap.AccessNobody {
				t.Fatalf("%s has no row in the table of accesses", r.id)
			}
			m := newMatrix(t)
			targets := map[string]target{"": {shop, true, func() string { return "" }}}
			if r.hasID() {
				targets = m.targets(r)
			}
			for caller := range m.callers {
				if caller == billing {
					continue // is there for what it owns
				}
				for name, to := range targets {
					m.check(r, caller, name, to)
				}
			}
		})
	}
}

// check asks once and holds the answer against the table.
func (m *matrix) check(r route, caller, name string, to target) {
	m.t.Helper()
	got := m.ask(caller, r.method, r.at(to.id()), bodies[r.id])
	want := want(r.access, caller, to)
	if want == http.StatusForbidden && name == "malformed" {
		want = http.StatusNotFound // an impossible path is missing for every caller
	}
	refused := slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}, got.status)
	if want != 0 && got.status != want || want == 0 && (refused || got.status >= http.StatusInternalServerError) {
		m.t.Errorf("%s for %s (%s) = %d %s, want %d", r.id, caller, name, got.status, got.body, want)
	}
}

func TestAnotherTeamsResourceLooksMissingByteForByte(t *testing.T) {
	t.Parallel()
	for _, r := range routes(t) {
		if !r.hasID() || r.access == daap.AccessAll {
			continue
		}
		t.Run(r.id, func(t *testing.T) {
			t.Parallel()
			m := newMatrix(t)
			for _, body := range []string{bodies[r.id], `{"unknown": 1}`, `not JSON`} {
				missing := m.ask("product-team", r.method, r.at(uuid.NewString()), body)
				for name, to := range m.targets(r) {
					if to.team != billing {
						continue
					}
					if got := m.ask("product-team", r.method, r.at(to.id()), body); got.text != missing.text || got.status != missing.status {
						t.Errorf("%s of %s (%s) = %d\n%s\nwant as of a missing one, %d\n%s",
							r.id, name, body, got.status, got.text, missing.status, missing.text)
					}
				}
			}
		})
	}
}

// ids are the ids of what a list, or a single answer, holds.
func (r reply) ids(t *testing.T) []string {
	t.Helper()
	var many struct {
		Data []struct{ ID string }
	}
	if err := json.Unmarshal(r.body, &many); err == nil {
		var all []string
		for _, item := range many.Data {
			all = append(all, item.ID)
		}
		return all
	}
	var one struct {
		Data struct{ ID string }
	}
	if err := json.Unmarshal(r.body, &one); err != nil {
		t.Fatal(err)
	}
	return []string{one.Data.ID}
}

func TestIdempotencyKeyOfAnotherTeamIsUnknown(t *testing.T) {
	t.Parallel()
	for _, r := range routes(t) {
		if r.access != daap.AccessOwn || !r.changes {
			continue
		}
		t.Run(r.id, func(t *testing.T) {
			t.Parallel()
			m := newMatrix(t)
			var ids [][]string
			for caller, team := range map[string]string{billing: billing, "product-team": shop} {
				db, op := m.database(team, false)
				id := db.String()
				if strings.HasPrefix(r.path, "/operations/") {
					id = op.String()
				}
				got := m.ask(caller, r.method, r.at(id), bodies[r.id], "Idempotency-Key", "the-same")
				if got.status == http.StatusUnprocessableEntity {
					t.Errorf("%s by %s meets the other team's key: %s", r.id, caller, got.body)
				}
				ids = append(ids, got.ids(t))
			}
			if len(ids[0]) > 0 && slices.Equal(ids[0], ids[1]) {
				t.Errorf("%s gives both teams the same %s", r.id, ids[0])
			}
		})
	}
}

func TestProductTeamSeesGuaranteesButNoInfrastructure(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	id := m.tier("large")
	for _, path := range []string{"/tiers", "/tiers/" + id.String()} {
		all, told := m.ask("platform-team", http.MethodGet, path, ""), m.ask("product-team", http.MethodGet, path, "")
		for _, field := range append(daap.TierFields(), "next_backup_at", "created_at", "updated_at") {
			named := []byte(`"` + field + `":`)
			if !bytes.Contains(all.body, named) || bytes.Contains(told.body, named) {
				t.Errorf("%s: %s is visible to the platform team %t, to a product team %t", path, field,
					bytes.Contains(all.body, named), bytes.Contains(told.body, named))
			}
		}
		for _, shown := range []string{`"guarantees":`, `"high_availability":`, `"name":"large"`} {
			if !bytes.Contains(told.body, []byte(shown)) {
				t.Errorf("%s: a product team does not see %s: %s", path, shown, told.body)
			}
		}
	}
}
