package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// place is where a client puts a value into a request.
type place struct {
	in   string
	path []string
	// schema is what is expected there; nil of a key.
	schema *openapi3.Schema
	// briefly says that all is tried at the same parameter of another operation.
	briefly bool
}

// anyKey stands in a path for a key that the client chooses.
const anyKey = "env"

func (p place) String() string { return p.in + " " + strings.Join(p.path, ".") }

// field is the name by which a refusal must know the place.
func (p place) field() string { return p.path[0] }

// places are all of the operation's, from the contract.
func places(item *openapi3.PathItem, op *openapi3.Operation) []place {
	var all []place
	for _, params := range []openapi3.Parameters{item.Parameters, op.Parameters} {
		for _, p := range params {
			all = append(all, place{p.Value.In, []string{p.Value.Name}, p.Value.Schema.Value, false})
		}
	}
	if op.RequestBody == nil {
		return all
	}
	for name, property := range op.RequestBody.Value.Content["application/json"].Schema.Value.Properties {
		schema := property.Value
		all = append(all, place{"body", []string{name}, schema, false})
		if more := schema.AdditionalProperties.Schema; more != nil {
			all = append(all, place{"body", []string{name, anyKey}, more.Value, false}, place{"key", []string{name}, nil, false})
		}
	}
	slices.SortFunc(all, func(a, b place) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// text is a text as JSON has it; one that is no UTF-8 stays so.
func text(s string) string {
	if !utf8.ValidString(s) {
		return `"` + s + `"`
	}
	encoded, err := json.Marshal(s)
	if err != nil {
		panic(err) // no text does
	}
	return string(encoded)
}

// values are what is put into the place, in JSON where that is a body.
func (p place) values() []string {
	all := slices.Concat(hostile, special[p.field()])
	if p.briefly {
		return all[:8]
	}
	if p.schema != nil && (!p.schema.Type.Is(openapi3.TypeString) && !p.schema.Type.Is(openapi3.TypeObject) || p.schema.Enum != nil) {
		all = slices.Concat(hostile[:8], special[p.field()]) // any text is as wrong as another
	}
	if p.in != "body" {
		return all
	}
	for i := range all {
		all[i] = text(all[i])
	}
	for _, value := range p.schema.Enum {
		all = append(all, text(fmt.Sprint(value)))
	}
	return slices.Concat(all, lists[p.field()], raw)
}

// full are bodies in which every field is given; the others come from the matrix of accesses.
var full = map[string]string{
	"createDatabase":  `{"name": "NAME", "tier": "kept", "owner_team": "shop", "description": "", "labels": {}}`,
	"restoreDatabase": `{"name": "NAME", "target_time": "latest", "tier": "kept"}`,
	"createTier": `{"name": "NAME", "cpu": "1", "memory": "1Gi", "storage_size": "10Gi", "pg_version": "17", "instances": 2,
		"ha_replicas": 1, "pool_mode": "session", "max_connections": 100, "destruction_strategy": "freeze", "backup_enabled": true,
		"backup_frequency": "0 2 * * *", "backup_retention_days": 7, "wal_archiving_enabled": true,
		"object_storage_destination": "s3://backups", "pgaudit_log": ["ddl", "role"]}`,
	"updateDatabase": `{}`,
	"updateTier":     `{}`,
	"setTierQuota":   `{}`,
}

// with is the operation's body with the value at the place.
func (p place) with(body, value string) string {
	if p.in != "body" && p.in != "key" {
		return body
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &object); err != nil {
		panic(err)
	}
	delete(object, p.path[0])
	switch {
	case p.in == "key":
		value = `{` + text(value) + `: "x"}`
	case len(p.path) > 1:
		value = `{"` + anyKey + `": ` + value + `}`
	}
	fields := []string{`"` + p.path[0] + `": ` + value}
	for name, value := range object {
		fields = append(fields, `"`+name+`": `+string(value))
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// where are the places of the objects at which what is given for a field may show; a field that is not named shows
// nowhere.
var where = map[string]*regexp.Regexp{
	"owner_team": regexp.MustCompile(`\.(labels|matchLabels)\.daap\.io/team$|^RoleBinding connection\.subjects\[0\]\.name$`),
	"tier":       regexp.MustCompile(`.`), // all of it
	"instances":  regexp.MustCompile(`^(Cluster pg-1|Hibernated)\.spec\.instances$`),
	// Without standbys there is no such field, which shows where the fields are named, too.
	"ha_replicas":                regexp.MustCompile(`^(Cluster pg-1|Hibernated)\.(spec\.postgresql\.synchronous\.|metadata\.annotations\.daap\.io/applied-fields$)`),
	"cpu":                        regexp.MustCompile(`^(Cluster pg-1|Hibernated)\.spec\.resources\.requests\.cpu$`),
	"memory":                     regexp.MustCompile(`^(Cluster pg-1|Hibernated)\.spec\.(resources\.(requests|limits)\.memory|postgresql\.parameters\.shared_buffers)$`),
	"storage_size":               regexp.MustCompile(`^(Cluster pg-1|Hibernated)\.spec\.storage\.size$`),
	"storage_class":              regexp.MustCompile(`^(Cluster pg-1|Hibernated)\.spec\.storage\.storageClass$`),
	"pg_version":                 regexp.MustCompile(`^(Cluster pg-1|Hibernated)\.spec\.imageName$`),
	"pool_mode":                  regexp.MustCompile(`^(Pooler pooler|Stopped)\.spec\.(pgbouncer\.poolMode|template\.metadata\.annotations\.daap\.io/pool)$`),
	"max_connections":            regexp.MustCompile(`^(Cluster pg-1|Hibernated)\.spec\.postgresql\.parameters\.max_connections$|^(Pooler pooler|Stopped)\.spec\.`),
	"backup_frequency":           regexp.MustCompile(`^(ScheduledBackup pg-1|Suspended)\.spec\.schedule$`),
	"backup_retention_days":      regexp.MustCompile(`^ObjectStore archive\.spec\.retentionPolicy$`),
	"object_storage_destination": regexp.MustCompile(`^ObjectStore archive\.spec\.configuration\.destinationPath$`),
	"pgaudit_log":                regexp.MustCompile(`^(Cluster pg-1|Hibernated)\.spec\.postgresql\.parameters\.pgaudit\.log$`),
	"target_time":                regexp.MustCompile(`^(Cluster pg-1|Hibernated)\.spec\.bootstrap\.recovery\.recoveryTarget\.`),
	"backup_enabled":             regexp.MustCompile(`.`), // without it there are fewer objects
}

// garden is a matrix with something of every kind, in which operations can be accepted.
type garden struct {
	*matrix
	db, op, tier, key, orphan string
	// left is a digest of the rows as the last refused request left them; empty after others.
	left string
}

// kept is a tier with everything that one may have.
var kept = daap.TierSpec{Name: "kept", Fields: daap.TierPatch{
	"cpu": "1", "memory": "1Gi", "storage_size": "10Gi", "pg_version": "17", "instances": 2, "ha_replicas": 1,
	"max_connections": 100, "pool_mode": daap.PoolSession, "destruction_strategy": daap.StrategyFreeze,
	"backup_enabled": true, "backup_frequency": "0 2 * * *", "backup_retention_days": 7,
	"object_storage_destination": "s3://backups",
}}

func newGarden(t *testing.T) *garden {
	t.Helper()
	m := newMatrix(t)
	g := &garden{matrix: m}
	tiers := daap.NewTiers(m.store, catalog, idle{})
	if _, err := tiers.Create(t.Context(), console, kept); err != nil {
		t.Fatal(err)
	}
	other := kept
	other.Name = "other"
	tier, err := tiers.Create(t.Context(), console, other)
	if err != nil {
		t.Fatal(err)
	}
	_, pending := m.database(shop, false)
	db := g.ready("kept")
	now := time.Now()
	if err := m.store.SaveBackups(t.Context(), db, daap.BackupState{
		ObservedAt: now, Archiving: true, FirstRecoverableAt: new(now.Add(-time.Hour)), LastSuccessAt: &now,
	}, nil); err != nil {
		t.Fatal(err)
	}
	g.db, g.op, g.tier = db.ID.String(), pending.String(), tier.ID.String()
	g.key, g.orphan = m.key(shop, daap.RoleProductTeam).KeyID.String(), m.orphan().String()
	return g
}

// ready is a new database of the tier that is ready.
func (g *garden) ready(tier string) daap.Database {
	g.t.Helper()
	g.asked++
	db, op, err := daap.NewDatabases(g.store, g.store, idle{}, 1000).Create(g.t.Context(), console,
		daap.DatabaseSpec{Name: fmt.Sprintf("ready-%d", g.asked), OwnerTeam: shop, Tier: tier})
	if err == nil {
		err = g.store.BeginOperation(g.t.Context(), op.ID, false)
	}
	if err == nil {
		err = g.store.FinishOperation(g.t.Context(), op.ID)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return db
}

// id is that of what a path names.
func (g *garden) id(path string) string {
	collection, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return map[string]string{
		"databases": g.db, "operations": g.op, "tiers": g.tier, "api-keys": g.key, "orphans": g.orphan,
	}[collection]
}

// rows is a digest of all that a refused request must leave as it is.
func (g *garden) rows() string {
	g.t.Helper()
	var digest string
	err := g.pool.QueryRow(g.t.Context(), `
		SELECT md5(string_agg(line, E'\n' ORDER BY line)) FROM (
			SELECT d::text FROM databases d UNION ALL SELECT o::text FROM operations o UNION ALL SELECT t::text FROM tiers t
			UNION ALL SELECT q::text FROM tier_quotas q UNION ALL SELECT u::text FROM tier_usage u
			UNION ALL SELECT r::text FROM reservations r UNION ALL SELECT e::text FROM events e
			UNION ALL SELECT i::text FROM idempotency_keys i UNION ALL SELECT o::text FROM orphans o
			UNION ALL SELECT (to_jsonb(k) - 'last_used_at')::text FROM api_keys k) AS lines (line)`).Scan(&digest)
	if err != nil {
		g.t.Fatal(err)
	}
	return digest
}

// send puts the value into the place of a request to the route.
func (g *garden) send(r route, p place, value string) reply {
	g.t.Helper()
	body := bodies[r.id]
	if f, given := full[r.id]; given {
		body = f
	}
	g.asked++
	body = strings.ReplaceAll(body, "NAME", fmt.Sprintf("name-%d", g.asked))
	path, headers := r.at(g.id(r.path)), []string(nil)
	switch p.in {
	case openapi3.ParameterInQuery:
		path += "?" + url.Values{p.path[0]: {value}}.Encode()
	case openapi3.ParameterInHeader:
		headers = []string{p.path[0], value}
	case openapi3.ParameterInPath:
		path = r.at(url.PathEscape(value))
	}
	return g.ask("platform-team", r.method, path, p.with(body, value), headers...)
}

// sendable says whether an HTTP client can send the value at all.
func (p place) sendable(value string) bool {
	switch p.in {
	case openapi3.ParameterInHeader:
		return value != "" && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f })
	case openapi3.ParameterInPath:
		return value != "" && value != ".." // another path; the edge's own tests have those
	}
	return true
}

func TestHostileInputIsRefusedOrStaysInItsField(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(daap.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	tried := map[*openapi3.Schema]bool{}
	for _, r := range routes(t) {
		item := doc.Paths.Value(r.path)
		all := places(item, item.GetOperation(r.method))
		if len(all) == 0 {
			continue
		}
		for i, p := range all {
			if p.in != "body" && p.schema != nil {
				all[i].briefly, tried[p.schema] = tried[p.schema], true
			}
		}
		t.Run(r.id, func(t *testing.T) {
			t.Parallel()
			g := newGarden(t)
			for _, p := range all {
				accepted := 0
				for _, value := range p.values() {
					if p.sendable(value) && g.try(r, p, value) {
						accepted++
					}
				}
				t.Logf("%s: %d of %d accepted", p, accepted, len(p.values()))
				isDecision := strings.HasSuffix(r.id, "Operation") // which an operation takes once, if at all
				if accepted == 0 && p.in == "body" && !isDecision {
					t.Errorf("%s: nothing is accepted, so nothing is known of where it shows", p)
				}
			}
		})
	}
}

// try sends one value and compares the result with the expected one; it reports whether the value was accepted.
func (g *garden) try(r route, p place, value string) bool {
	g.t.Helper()
	if r.id == "deleteTier" {
		g.asked++
		g.tier, g.left = g.matrix.tier(fmt.Sprintf("gone-%d", g.asked)).String(), ""
	}
	if r.changes && g.left == "" {
		g.left = g.rows()
	}
	got := g.send(r, p, value)
	fail := func(format string, args ...any) {
		g.t.Helper()
		g.t.Errorf("%s, %s = %.80q answered %d %.300s\n%s", r.id, p, value, got.status, got.body, fmt.Sprintf(format, args...))
	}
	if strings.ContainsFunc(string(got.body), func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }) && r.id != "exportAuditLogs" {
		fail("it has a control character, or is no UTF-8")
	}
	if got.status < http.StatusBadRequest {
		g.left = ""
		g.accepted(r, p, got, fail)
		return true
	}
	if got.status >= http.StatusInternalServerError {
		fail("the service failed")
	}
	if len(got.text) > 4<<10 {
		fail("the refusal has %d bytes", len(got.text))
	}
	if why := got.unnamed(p); why != "" {
		fail("%s", why)
	}
	if r.changes && g.rows() != g.left {
		g.left = ""
		fail("it was refused and changed something")
	}
	return false
}

// unnamed says in which way a refusal does not say what was wrong; nothing where it does.
func (r reply) unnamed(p place) string {
	var told struct {
		Error struct {
			Code    daap.Code
			Details []daap.Detail
		}
	}
	if err := json.Unmarshal(r.body, &told); err != nil {
		return err.Error()
	}
	switch r.status {
	case http.StatusNotFound: // a path that can be nothing
		if p.in == openapi3.ParameterInPath {
			return ""
		}
		return "nothing else of the request is missing"
	case http.StatusRequestEntityTooLarge, http.StatusBadRequest, http.StatusConflict:
		return "" // of the whole body; or it was understood, and cannot be now
	}
	for _, detail := range told.Error.Details {
		if detail.Field == p.field() || strings.HasPrefix(detail.Field, p.field()+".") || detail.Field == also[p.field()] {
			return ""
		}
	}
	if told.Error.Code == daap.CodeQuotaExceeded {
		return ""
	}
	return "no detail names the field"
}

// also are the fields that are named where the value of another one does not go with theirs.
var also = map[string]string{"instances": "ha_replicas", "backup_enabled": "destruction_strategy"}

// accepted builds the objects of what the request made or changed, from what is kept of it, and looks where they differ
// from the objects of a database without hostile input.
func (g *garden) accepted(r route, p place, got reply, fail func(string, ...any)) {
	g.t.Helper()
	if !r.changes {
		return
	}
	var told struct {
		Data struct{ ID uuid.UUID }
	}
	if err := json.Unmarshal(got.body, &told); err != nil {
		fail("%v", err)
		return
	}
	var db daap.Database
	switch r.id {
	case "createDatabase", "updateDatabase", "restoreDatabase":
		if told.Data.ID == uuid.Nil {
			return // a dry run
		}
		kept, err := g.store.DatabasesByID(g.t.Context(), []uuid.UUID{told.Data.ID})
		if err != nil {
			g.t.Fatal(err)
		}
		db = kept[told.Data.ID]
	case "createTier", "updateTier":
		tier, err := g.store.Tier(g.t.Context(), told.Data.ID)
		if err != nil {
			g.t.Fatal(err)
		}
		db = daap.Database{ID: uuid.New(), OwnerTeam: shop, Incarnation: 1}.With(tier)
	default:
		return
	}
	g.shows(r, p, db, fail)
	if r.id == "updateTier" { // as it was, for the next
		_, err := daap.NewTiers(g.store, catalog, idle{}).Update(g.t.Context(), console, uuid.MustParse(g.tier), g.kept().Values())
		if err != nil {
			g.t.Fatal(err)
		}
	}
}

// kept is the tier kept as it is stored.
func (g *garden) kept() daap.Tier {
	g.t.Helper()
	tiers, err := g.store.Tiers(g.t.Context(), daap.TierFilter{Page: daap.Page{Limit: 1000}})
	if err != nil {
		g.t.Fatal(err)
	}
	return tiers[slices.IndexFunc(tiers, func(t daap.Tier) bool { return t.Name == kept.Name })]
}

// shows compares the database's objects with the objects of a database of the tier kept.
func (g *garden) shows(r route, p place, db daap.Database, fail func(string, ...any)) {
	g.t.Helper()
	plain := daap.Database{ID: db.ID, OwnerTeam: shop, Incarnation: 1, Source: db.Source}.With(g.kept())
	if strings.HasSuffix(r.id, "Tier") {
		plain.Tier = db.Tier
	}
	if plain.Source != nil {
		source := *plain.Source
		source.Target = nil
		plain.Source = &source
	}
	want, err := objects(plain)
	if err != nil {
		g.t.Fatal(err)
	}
	is, err := objects(db)
	if err != nil {
		fail("of the objects: %v", err)
		return
	}
	was, now := map[string]any{}, map[string]any{}
	for name, object := range want {
		was[name] = object.Object
	}
	for name, object := range is {
		now[name] = object.Object
	}
	before, after := texts(was), texts(now)
	for path, value := range after {
		if at := strings.TrimPrefix(path, "."); before[path] != value && (where[p.field()] == nil || !where[p.field()].MatchString(at)) {
			fail("it shows at %s: %q was %q", at, value, before[path])
		}
	}
}
