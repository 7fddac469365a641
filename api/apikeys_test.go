package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

const (
	ruleRole    = "must be one of platform-team, product-team"
	ruleExpires = "must be a time at least a minute from now, such as 2030-01-02T15:04:05Z, or null"
	ruleOverlap = "must be a whole number from 0 to 2592000"
	ruleTime    = "must be a time, such as 2026-01-02T15:04:05Z"
)

// key puts a product team's key into the store, changed as the test likes.
func (s *service) key(change func(*daap.APIKey)) uuid.UUID {
	s.t.Helper()
	k := daap.APIKey{ID: uuid.Must(uuid.NewV7()), Name: "deploy", Team: "shop", Role: daap.RoleProductTeam}
	change(&k)
	s.store.PutAPIKey(daap.StoredKey{APIKey: k})
	return k.ID
}

func TestKeyShowsItsStatus(t *testing.T) {
	t.Parallel()
	s := start(t)
	past, future := time.Now().Add(-time.Second), time.Now().Add(time.Hour)
	want := map[uuid.UUID]oas.APIKeyStatus{
		s.key(func(*daap.APIKey) {}):                                                    oas.APIKeyStatusActive,
		s.key(func(k *daap.APIKey) { k.ExpiresAt = &future }):                           oas.APIKeyStatusActive,
		s.key(func(k *daap.APIKey) { k.ExpiresAt = &past }):                             oas.APIKeyStatusExpired,
		s.key(func(k *daap.APIKey) { k.RevokedAt = &past }):                             oas.APIKeyStatusRevoked,
		s.key(func(k *daap.APIKey) { k.RevokedAt = &past; k.ExpiresAt = &past }):        oas.APIKeyStatusRevoked,
		s.key(func(k *daap.APIKey) { k.OldSecretUntil = &future; k.RotatedAt = &past }): oas.APIKeyStatusActive,
	}
	res, err := s.client.ListAPIKeys(t.Context(), oas.ListAPIKeysParams{Team: oas.NewOptTeamName("shop")})
	if err != nil || len(res.Data) != len(want) {
		t.Fatalf("got %+v, %v", res, err)
	}
	for _, k := range res.Data {
		if k.Status != want[k.ID] {
			t.Errorf("got %+v, want it %s", k, want[k.ID])
		}
	}
}

func TestKeysAreListedNewestFirstOverAllPages(t *testing.T) {
	t.Parallel()
	s := start(t)
	one, two, three := s.key(func(*daap.APIKey) {}), s.key(func(*daap.APIKey) {}), s.key(func(*daap.APIKey) {})
	s.key(func(k *daap.APIKey) { k.Team = "billing" })
	params := oas.ListAPIKeysParams{Team: oas.NewOptTeamName("shop"), Limit: oas.NewOptInt(2)}
	first, err := s.client.ListAPIKeys(t.Context(), params)
	if err != nil || len(first.Data) != 2 || first.Data[0].ID != three || first.Data[1].ID != two {
		t.Fatalf("got %+v, %v", first, err)
	}
	params.Cursor = oas.NewOptString(first.Meta.NextCursor.Value)
	last, err := s.client.ListAPIKeys(t.Context(), params)
	if err != nil || len(last.Data) != 1 || last.Data[0].ID != one || !last.Meta.NextCursor.Null {
		t.Errorf("got %+v, %v", last, err)
	}
}

func TestInactiveKeyCannotBeRotated(t *testing.T) {
	t.Parallel()
	s := start(t)
	past := time.Now().Add(-time.Second)
	for _, id := range []uuid.UUID{
		s.key(func(k *daap.APIKey) { k.ExpiresAt = &past }), s.key(func(k *daap.APIKey) { k.RevokedAt = &past }),
	} {
		got := s.do(http.MethodPost, "/api-keys/"+id.String()+"/rotate", `{}`)
		if got.status != http.StatusConflict || got.Error.Code != oas.ErrorCodeKeyNotActive {
			t.Errorf("got %d %s", got.status, got.body)
		}
	}
}

func TestRotationKeepsTheOldSecretADayByDefault(t *testing.T) {
	t.Parallel()
	s := start(t)
	for body, want := range map[string]time.Duration{
		`{}`: 24 * time.Hour, `{"overlap_seconds":0}`: 0, `{"overlap_seconds":2592000}`: 30 * 24 * time.Hour,
	} {
		id := s.key(func(*daap.APIKey) {})
		res := s.do(http.MethodPost, "/api-keys/"+id.String()+"/rotate", body)
		var issued oas.IssuedAPIKeyResponse
		if err := issued.UnmarshalJSON(res.body); err != nil {
			t.Fatal(err)
		}
		k := issued.Data.APIKey
		if k.OldSecretUntil.Null != (want == 0) {
			t.Errorf("%s: the old secret stays valid until %v, want %s", body, k.OldSecretUntil, want)
		}
		if got := k.OldSecretUntil.Value.Sub(k.RotatedAt.Value).Round(time.Second); want > 0 && got != want {
			t.Errorf("%s: the old secret stays valid for %s, want %s", body, got, want)
		}
	}
}

func TestNullExpiryMeansNone(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, expiry := range []string{"", `,"expires_at":null`, `,"expires_at":"2126-01-02T15:04:05+02:00"`} {
		res := s.do(http.MethodPost, "/api-keys", `{"name":"deploy","team":"shop","role":"product-team"`+expiry+`}`)
		var issued oas.IssuedAPIKeyResponse
		if err := issued.UnmarshalJSON(res.body); err != nil || res.status != http.StatusCreated {
			t.Fatalf("got %d %s (%v)", res.status, res.body, err)
		}
		at := issued.Data.APIKey.ExpiresAt
		if wantNone := !strings.Contains(expiry, "2126"); at.Null != wantNone {
			t.Errorf("%q: it expires at %v", expiry, at)
		}
		if !at.Null && at.Value.Format(time.RFC3339) != "2126-01-02T13:04:05Z" {
			t.Errorf("it expires at %s", at.Value)
		}
	}
}

func TestBadKeyRequestIsRefusedNamingTheField(t *testing.T) {
	t.Parallel()
	rows := map[string]refusal{}
	row := func(name, path, body string, fields ...string) {
		rows[name] = refusal{method: http.MethodPost, path: path, body: body, fields: fields}
	}
	create := func(name, body string, fields ...string) { row("create: "+name, "/api-keys", body, fields...) }
	create("no fields", `{}`, "name", "is required", "team", "is required", "role", "is required")
	with := func(field, value string) string {
		values := map[string]string{"name": `"deploy"`, "team": `"shop"`, "role": `"product-team"`, "expires_at": `null`}
		values[field] = value
		return fmt.Sprintf(`{"name":%s,"team":%s,"role":%s,"expires_at":%s}`,
			values["name"], values["team"], values["role"], values["expires_at"])
	}
	for what, value := range map[string]string{
		"a number": `5`, "an object": `{}`, "empty": `""`, "upper case": `"Shop"`, "NUL": `"ab\u0000"`,
	} {
		create("name is "+what, with("name", value), "name", ruleName)
		create("team is "+what, with("team", value), "team", ruleTeam)
		create("role is "+what, with("role", value), "role", ruleRole)
		create("expiry is "+what, with("expires_at", value), "expires_at", ruleExpires)
	}
	create("role is unknown", with("role", `"admin"`), "role", ruleRole)
	create("expiry without a zone", with("expires_at", `"2126-01-02T15:04:05"`), "expires_at", ruleExpires)
	create("expiry in the past", with("expires_at", `"2020-01-02T15:04:05Z"`), "expires_at", ruleExpires)
	create("unknown field", `{"name":"deploy","team":"shop","role":"product-team","key":"x"}`, "key", "is not a known field")
	rotate := func(name, body string, fields ...string) {
		row("rotate: "+name, "/api-keys/"+existing.String()+"/rotate", body, fields...)
	}
	for _, value := range []string{`-1`, `2592001`, `1.5`, `"60"`, `null`, `1e999`} {
		rotate(value, `{"overlap_seconds":`+value+`}`, "overlap_seconds", ruleOverlap)
	}
	rotate("unknown field", `{"overlap":5}`, "overlap", "is not a known field")
	refuseAll(t, rows)
}

func TestBadFilterOfTheAuditLogIsRefusedNamingTheParameter(t *testing.T) {
	t.Parallel()
	rows := map[string]refusal{}
	for _, path := range []string{"/audit-logs", "/audit-logs/export"} {
		row := func(query string, fields ...string) {
			rows[path+query] = refusal{method: http.MethodGet, path: path + query, fields: fields}
		}
		row("?team=Shop", "team", ruleTeam)
		row("?key_id=x", "key_id", "must be a UUID")
		row("?resource_id=", "resource_id", "must be a UUID")
		row("?action=drop%20table", "action", "must be the name of an action, such as createDatabase")
		row("?action="+strings.Repeat("a", 81), "action", "must be the name of an action, such as createDatabase")
		row("?outcome=ok", "outcome", "must be one of succeeded, replayed, refused, failed")
		for _, at := range []string{"", "now", "2026-01-02", "2026-01-02T15:04:05", "2026-13-02T15:04:05Z"} {
			row("?from="+at, "from", ruleTime)
			row("?until="+at, "until", ruleTime)
		}
		row("?actor=alice", "actor", "is not a known parameter")
	}
	rows["a page of an export"] = refusal{
		method: http.MethodGet, path: "/audit-logs/export?limit=5", fields: []string{"limit", "is not a known parameter"},
	}
	refuseAll(t, rows)
}
