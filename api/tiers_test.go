package api_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/daap-dev/daap"
)

// catalog is what the platform offers in the tests.
var catalog = daap.Catalog{"16": "localhost/postgresql:16", "17": "localhost/postgresql:17"}

// small is a tier that is always there.
var small = smallTier(uuid.Must(uuid.NewV7()), "small")

func smallTier(id uuid.UUID, name string) daap.Tier {
	return daap.Tier{ID: id, Name: name, Profile: daap.Profile{
		Instances: 1, CPU: resource.MustParse("500m"), Memory: resource.MustParse("512Mi"), StorageSize: resource.MustParse("1Gi"),
		PGVersion: "17", PoolMode: daap.PoolTransaction, MaxConnections: 100, DestructionStrategy: daap.StrategyHardDelete,
	}}
}

// large is the body of a tier that is asked for.
const large = `{"name":"large","cpu":"2","memory":"4Gi","storage_size":"20Gi","pg_version":"17","instances":3,` +
	`"ha_replicas":1,"max_connections":400,"pool_mode":"session","destruction_strategy":"hard_delete","deletion_protection":false,"backup_enabled":false}`

func TestTierIsMadeChangedAndRemoved(t *testing.T) {
	t.Parallel()
	s := start(t)
	made := s.do(http.MethodPost, "/tiers", large)
	var tier struct {
		ID, Name, CPU, Memory string
		PoolMode              string `json:"pool_mode"`
		HAReplicas            int    `json:"ha_replicas"`
		MaxConnections        int    `json:"max_connections"`
		Guarantees            struct{ Deletion string }
	}
	if err := json.Unmarshal([]byte(made.data(t)), &tier); err != nil || made.status != http.StatusCreated {
		t.Fatalf("got %d %s (%v)", made.status, made.body, err)
	}
	if tier.Name != "large" || tier.CPU != "2" || tier.Memory != "4Gi" || tier.PoolMode != "session" || tier.HAReplicas != 1 ||
		!strings.Contains(tier.Guarantees.Deletion, "removed permanently") {
		t.Errorf("got %s", made.body)
	}
	at := "/tiers/" + tier.ID
	if taken := s.do(http.MethodPost, "/tiers", large); taken.status != http.StatusConflict || taken.Error.Code != "name_taken" {
		t.Errorf("the name again: got %d %s", taken.status, taken.body)
	}
	patched := s.do(http.MethodPatch, at, `{"memory":"8Gi","description":"For the shop"}`)
	if err := json.Unmarshal([]byte(patched.data(t)), &tier); err != nil || tier.Memory != "8Gi" || tier.CPU != "2" {
		t.Errorf("patched: got %d %s", patched.status, patched.body)
	}
	s.do(http.MethodPost, "/databases", `{"name":"orders","tier":"large"}`)
	if used := s.do(http.MethodDelete, at, ""); used.status != http.StatusConflict || used.Error.Code != "tier_in_use" ||
		!strings.Contains(used.Error.Message, "1 databases") {
		t.Errorf("in use: got %d %s", used.status, used.body)
	}
	for _, db := range s.store.databases() {
		s.store.succeed(*db.OperationID)
		s.store.succeed(s.delete(db.ID))
	}
	if gone := s.do(http.MethodDelete, at, ""); gone.status != http.StatusOK {
		t.Errorf("deleted: got %d %s", gone.status, gone.body)
	}
	if missing := s.do(http.MethodGet, at, ""); missing.status != http.StatusNotFound {
		t.Errorf("afterwards: got %d %s", missing.status, missing.body)
	}
}

func TestBadTierIsRefusedNamingTheField(t *testing.T) {
	t.Parallel()
	rows := map[string]refusal{}
	row := func(field, value, rule string) {
		var body map[string]json.RawMessage
		if err := json.Unmarshal([]byte(large), &body); err != nil {
			t.Fatal(err)
		}
		body[field] = json.RawMessage(value)
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		rows[field+" "+value] = refusal{method: http.MethodPost, path: "/tiers", body: string(text), fields: []string{field, rule}}
		delete(body, "name")
		patch := map[string]json.RawMessage{field: json.RawMessage(value)}
		if text, err = json.Marshal(patch); err != nil {
			t.Fatal(err)
		}
		if field != "name" {
			rows["patch "+field+" "+value] = refusal{
				method: http.MethodPatch, path: "/tiers/" + small.ID.String(), body: string(text), fields: []string{field, rule},
			}
		}
	}
	for field, rule := range map[string]string{
		"cpu":          "must be a number of CPU cores from 100m to 128, such as 500m or 2",
		"memory":       "must be a memory size from 256Mi to 1Ti, such as 512Mi or 4Gi",
		"storage_size": "must be a storage size from 1Gi to 64Ti, such as 10Gi",
	} {
		for _, value := range []string{`"much"`, `""`, `"-1"`, `"0"`, `"1e99"`, `"1 Gi"`, `5`, `null`, `"10m"`, `"1Ei"`} {
			row(field, value, rule)
		}
	}
	row("instances", `0`, "must be a whole number from 1 to 9")
	row("instances", `10`, "must be a whole number from 1 to 9")
	row("ha_replicas", `-1`, "must be a whole number from 0 to one less than instances")
	row("ha_replicas", `3`, "must be a whole number from 0 to one less than instances")
	row("max_connections", `9`, "must be a whole number from 10 to 10000")
	row("pg_version", `"9"`, "must be a version that the platform offers: 16, 17")
	row("pool_mode", `"statement"`, "must be one of session, transaction")
	row("destruction_strategy", `"keep"`, "must be one of freeze, archive, hard_delete")
	row("storage_class", `"No Class"`, "must be the name of a Kubernetes storage class, or empty for the platform's "+
		"default")
	row("backup_enabled", `"yes"`, "must be true or false")
	row("destruction_strategy", `"archive"`, "must not be archive if backup_enabled is false: there would be no archive")
	row("deletion_protection", `1`, "must be true or false")
	for _, value := range []string{`[]`, `["read"]`, `["ddl","read"]`, `["ddl","role","ddl"]`, `"ddl, role"`, `null`} {
		row("pgaudit_log", value, "must be a list of distinct pgAudit classes that includes ddl and role, which are "+
			"always logged")
	}
	rows["exclusion"] = refusal{
		method: http.MethodPatch, path: "/tiers/" + small.ID.String(), body: `{"pgaudit_log":["ddl","role","-read"]}`,
		fields: []string{"pgaudit_log.2", "must be one of ddl, role, read, write, function, misc, misc_set, all"},
	}
	row("backup_frequency", `5`, "must be a five-field cron expression in UTC, such as 0 2 * * * for 02:00 every day")
	row("backup_retention_days", `-1`, "must be a whole number from 1 to 3650")
	row("object_storage_destination", `true`, "must be s3://bucket or s3://bucket/prefix, with letters, digits, dots, "+
		"hyphens and underscores")
	refuseAll(t, rows)
}

// backedUp is the body of a tier with backups, with some fields as given.
func backedUp(fields map[string]any) string {
	body := map[string]any{
		"name": "kept", "cpu": "1", "memory": "1Gi", "storage_size": "1Gi", "pg_version": "17", "destruction_strategy": "hard_delete",
		"backup_enabled": true, "backup_frequency": "0 2 * * *", "backup_retention_days": 14,
		"object_storage_destination": "s3://backups/shop",
	}
	for field, value := range fields {
		body[field] = value
	}
	text, _ := json.Marshal(body) // of the values above
	return string(text)
}

func TestTierBackupDestinationIsProbed(t *testing.T) {
	t.Parallel()
	s := start(t)
	made := s.do(http.MethodPost, "/tiers", backedUp(nil))
	var tier struct {
		ID         string
		Archives   bool      `json:"wal_archiving_enabled"`
		Next       time.Time `json:"next_backup_at"`
		Guarantees struct{ Backups string }
	}
	if err := json.Unmarshal([]byte(made.data(t)), &tier); err != nil || made.status != http.StatusCreated {
		t.Fatalf("got %d %s (%v)", made.status, made.body, err)
	}
	if !tier.Archives || tier.Next.Hour() != 2 || tier.Next.Before(time.Now()) || !strings.Contains(tier.Guarantees.Backups, "14 days") {
		t.Errorf("got %s", made.body)
	}
	if !slices.Equal(s.store.probed, []string{"s3://backups/shop"}) {
		t.Errorf("tried %v", s.store.probed)
	}
	at := "/tiers/" + tier.ID
	for body, field := range map[string]string{
		`{"object_storage_destination":"s3://closed/shop"}`:         "object_storage_destination",
		`{"object_storage_destination":"s3://unmade","cpu":"none"}`: "cpu",
		`{"wal_archiving_enabled":false}`:                           "wal_archiving_enabled",
		`{"backup_frequency":""}`:                                   "backup_frequency",
	} {
		if got := s.do(http.MethodPatch, at, body); got.status != http.StatusUnprocessableEntity || got.Error.Details[0].Field != field {
			t.Errorf("%s: got %d %s", body, got.status, got.body)
		}
	}
	if slices.Contains(s.store.probed, "s3://unmade") {
		t.Error("a destination was tried, and so made, of a patch that is refused anyway")
	}
	if got := s.do(http.MethodPatch, at, `{"backup_enabled":false}`); !strings.Contains(got.data(t), `"next_backup_at":null`) ||
		!strings.Contains(got.data(t), `"object_storage_destination":""`) {
		t.Errorf("switched off: got %d %s", got.status, got.body)
	}
	for name, row := range map[string]struct {
		fields map[string]any
		field  string
	}{
		"no WAL":            {map[string]any{"wal_archiving_enabled": false}, "wal_archiving_enabled"},
		"no frequency":      {map[string]any{"backup_frequency": ""}, "backup_frequency"},
		"six fields":        {map[string]any{"backup_frequency": "0 0 2 * * *"}, "backup_frequency"},
		"a descriptor":      {map[string]any{"backup_frequency": "@daily"}, "backup_frequency"},
		"a time zone":       {map[string]any{"backup_frequency": "TZ=UTC 0 2 * * *"}, "backup_frequency"},
		"never":             {map[string]any{"backup_frequency": "0 0 31 2 *"}, "backup_frequency"},
		"two lines":         {map[string]any{"backup_frequency": "0 2 * * *\n"}, "backup_frequency"},
		"an address":        {map[string]any{"object_storage_destination": "s3://169.254.169.254/x"}, "object_storage_destination"},
		"another endpoint":  {map[string]any{"object_storage_destination": "s3://root:pw@127.0.0.1:9000/x"}, "object_storage_destination"},
		"no retention":      {map[string]any{"backup_retention_days": 0}, "backup_retention_days"},
		"another scheme":    {map[string]any{"object_storage_destination": "http://169.254.169.254/x"}, "object_storage_destination"},
		"a way out":         {map[string]any{"object_storage_destination": "s3://backups/../other"}, "object_storage_destination"},
		"a closed bucket":   {map[string]any{"object_storage_destination": "s3://closed"}, "object_storage_destination"},
		"only a frequency":  {map[string]any{"backup_enabled": false, "backup_retention_days": 0, "object_storage_destination": ""}, "backup_enabled"},
		"WAL and no backup": {map[string]any{"backup_enabled": false, "wal_archiving_enabled": true}, "backup_enabled"},
	} {
		row.fields["name"] = "other"
		got := s.do(http.MethodPost, "/tiers", backedUp(row.fields))
		if got.status != http.StatusUnprocessableEntity || len(got.Error.Details) != 1 || got.Error.Details[0].Field != row.field {
			t.Errorf("%s: got %d %s, want %s refused", name, got.status, got.body, row.field)
		}
	}
}

func TestTierAddsToWhatPGAuditLogs(t *testing.T) {
	t.Parallel()
	s := start(t)
	var tier struct {
		ID    string
		Audit []string `json:"pgaudit_log"`
	}
	ask := func(method, path, body, want string) {
		t.Helper()
		got := s.do(method, path, body)
		if err := json.Unmarshal([]byte(got.data(t)), &tier); err != nil || strings.Join(tier.Audit, ",") != want {
			t.Errorf("%s: got %d %s (%v), want %s", body, got.status, got.body, err, want)
		}
	}
	ask(http.MethodPost, "/tiers", large, "ddl,role")
	at := "/tiers/" + tier.ID
	ask(http.MethodPatch, at, `{"pgaudit_log":["write","role","misc_set","ddl"]}`, "ddl,role,write,misc_set")
	ask(http.MethodPatch, at, `{"memory":"8Gi"}`, "ddl,role,write,misc_set")
	ask(http.MethodPatch, at, `{"pgaudit_log":["role","ddl"]}`, "ddl,role")
}

func TestDatabaseShowsItsTier(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, named := range map[string]string{"orders": "small", "carts": small.ID.String()} {
		got := s.do(http.MethodPost, "/databases", `{"name":"`+name+`","tier":"`+named+`"}`)
		var db struct{ Tier string }
		if err := json.Unmarshal([]byte(got.data(t)), &db); err != nil || db.Tier != "small" {
			t.Errorf("by %s: got %d %s", named, got.status, got.body)
		}
	}
}

func TestQuotaShowsLimitsUseAndRest(t *testing.T) {
	t.Parallel()
	s := start(t)
	at := "/tiers/" + small.ID.String() + "/quota"
	s.create("shop", "orders")
	s.create("shop", "carts")
	for _, row := range []struct{ body, want string }{
		{`{}`, `{"limits":{"cpu_cores":null,"memory_gib":null,"storage_gib":null,"databases":null},` +
			`"used":{"cpu_cores":1,"memory_gib":1,"storage_gib":2,"databases":2},` +
			`"left":{"cpu_cores":null,"memory_gib":null,"storage_gib":null,"databases":null},"over_committed":false}`},
		{
			`{"max_cpu_cores":1.5,"max_memory_gib":4,"max_storage_gib":null,"max_databases":1}`,
			`{"limits":{"cpu_cores":1.5,"memory_gib":4,"storage_gib":null,"databases":1},` +
				`"used":{"cpu_cores":1,"memory_gib":1,"storage_gib":2,"databases":2},` +
				`"left":{"cpu_cores":0.5,"memory_gib":3,"storage_gib":null,"databases":0},"over_committed":true}`,
		},
	} {
		if set := s.do(http.MethodPut, at, row.body); set.data(t) != row.want {
			t.Errorf("set %s: got %d %s", row.body, set.status, set.body)
		}
		if got := s.do(http.MethodGet, at, "", "X-API-Key", shopKey); got.data(t) != row.want {
			t.Errorf("after %s: got %d %s", row.body, got.status, got.body)
		}
	}
}
