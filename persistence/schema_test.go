package persistence_test

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/daap-dev/daap"
)

// row is a row of a table, column by column.
type row map[string]any

func (r row) with(changes row) row {
	changed := maps.Clone(r)
	maps.Copy(changed, changes)
	return changed
}

// insert returns the name of the constraint that refuses the row, empty when none does.
func (f postgres) insert(table string, r row) string {
	f.t.Helper()
	var columns, values []string
	var args []any
	for column, arg := range r {
		columns, args = append(columns, column), append(args, arg)
		values = append(values, fmt.Sprintf("$%d", len(args)))
	}
	_, err := f.pool.Exec(f.t.Context(), fmt.Sprintf(`INSERT INTO %s (%s) VALUES (%s)`,
		table, strings.Join(columns, ", "), strings.Join(values, ", ")), args...)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.ConstraintName != "" {
		return pgErr.ConstraintName
	}
	f.must(err)
	return ""
}

// minimalProfile has the keys that SQL reads.
const minimalProfile = `{"pg_version": "17", "backup_enabled": false, "backup_retention_days": 0, "object_storage_destination": ""}`

func databaseRow(changes row) row {
	name := "a" + strings.ReplaceAll(uuid.NewString(), "-", "")
	return row{
		"id": uuid.New(), "name": name, "owner_team": "shop", "labels": `{}`, "status": "ready", "incarnation": 1,
		"tier_id": smallID, "tier_name": "small", "profile": minimalProfile,
	}.with(changes)
}

func labels(n int) string {
	var pairs []string
	for i := range n {
		pairs = append(pairs, fmt.Sprintf(`"k%d": ""`, i))
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}

func TestDatabasesTableRefusesWhatTheRulesDo(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for constraint, refused := range map[string][]row{
		"databases_name": {
			{"name": "ab"},
			{"name": strings.Repeat("a", 41)},
			{"name": "Abc"},
			{"name": "1abc"},
			{"name": "a--b"},
			{"name": "abc-"},
			{"name": "abc\n"},
			{"name": "abc\ndef"},
			{"name": "åbc"},
		},
		"databases_owner_team":   {{"owner_team": "a"}, {"owner_team": strings.Repeat("a", 41)}, {"owner_team": "a_b"}},
		"databases_description":  {{"description": strings.Repeat("é", 501)}, {"description": "\x1b[31m"}, {"description": "\u0085"}},
		"databases_labels_count": {{"labels": labels(33)}},
		"databases_labels_object": {
			{"labels": `[]`}, {"labels": `["a"]`}, {"labels": `"a"`}, {"labels": `null`}, {"labels": `1`},
		},
		"databases_labels_keys": {
			{"labels": `{"": "x"}`},
			{"labels": `{"A": "x"}`},
			{"labels": `{"a-": "x"}`},
			{"labels": `{"a\n": "x"}`},
			{"labels": `{"ok": "x", "` + strings.Repeat("a", 64) + `": "x"}`},
		},
		"databases_labels_values": {
			{"labels": `{"a": 1}`},
			{"labels": `{"a": null}`},
			{"labels": `{"a": {"b": "c"}}`},
			{"labels": `{"a": ["b"]}`},
			{"labels": `{"a": "` + strings.Repeat("é", 129) + `"}`},
			{"labels": `{"a": "\u0007"}`},
			{"labels": `{"a": "\u0085"}`},
		},
		"databases_status":      {{"status": "thawed"}, {"status": ""}},
		"databases_incarnation": {{"incarnation": 0}},
		"databases_cause": {
			{"status": "error"},
			{"cause_code": "DEADLINE", "cause_message": "late"},
			{"status": "error", "cause_code": "DEADLINE"},
			{"status": "error", "cause_message": "late"},
		},
		"databases_cause_code":     {{"status": "error", "cause_code": "late", "cause_message": "late"}},
		"databases_ca_certificate": {{"ca_certificate": ""}},
		"databases_tier":           {{"tier_id": nil}, {"status": "deleted", "deleted_at": "now"}},
		"databases_profile":        {{"profile": `[]`}, {"profile": `{}`}, {"profile": `{"PGVersion": "17"}`}},
		"databases_source":         {{"source": `[]`}, {"source": `{}`}},
		"databases_archived":       {{"status": "archived"}},
		"databases_deleted_at":     {{"status": "deleted"}, {"deleted_at": "now"}},
	} {
		for _, changes := range refused {
			want(t, fmt.Sprintf("refusal of %.80q", changes), f.insert("databases", databaseRow(changes)), constraint)
		}
	}
}

func TestDatabasesTableTakesWhatTheRulesDo(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, changes := range []row{
		{"name": "abc"},
		{"name": strings.Repeat("a", 40)},
		{"name": "a-1-b2"},
		{"owner_team": "ab", "description": strings.Repeat("é", 500)},
		{"description": "two\nlines\tand ~ — ✓ 🐘"},
		{"labels": labels(32)},
		{"labels": `{"a": "", "a.b/c_d-e": "\n` + strings.Repeat("é", 127) + `", "` + strings.Repeat("a", 63) + `": "🐘"}`},
		{"status": "error", "cause_code": "DEADLINE", "cause_message": "late"},
		{"status": "deleted", "deleted_at": "now", "tier_id": nil},
	} {
		want(t, fmt.Sprintf("refusal of %.80q", changes), f.insert("databases", databaseRow(changes)), "")
	}
}

func TestOperationsTableRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	db, provision := f.ready("shop", "orders")
	valid := row{"database_id": db.ID, "kind": "delete_database", "state": "pending"}
	cancelled := valid.with(row{"state": "cancelled", "finished_at": "now"})
	for constraint, refused := range map[string][]row{
		"operations_kind": {valid.with(row{"kind": "resize_database"})},
		"operations_tier": {
			valid.with(row{"kind": "update_database"}),
			valid.with(row{"tier": `{}`}),
			valid.with(row{"kind": "update_database", "tier": `"large"`}),
			valid.with(row{"kind": "update_database", "tier": `{"name": "large"}`}),
		},
		"operations_state": {valid.with(row{"state": "failed", "started_at": "now"}), valid.with(row{"state": "", "started_at": "now"})},
		"operations_cause": {
			valid.with(row{"state": "needs_attention", "started_at": "now"}),
			valid.with(row{"cause_code": "DEADLINE", "cause_message": "late"}),
			valid.with(row{"state": "needs_attention", "started_at": "now", "cause_code": "DEADLINE"}),
		},
		"operations_cause_code": {valid.with(row{
			"state": "needs_attention", "started_at": "now", "cause_code": "late", "cause_message": "late",
		})},
		"operations_started_at":        {valid.with(row{"state": "running"}), valid.with(row{"state": "cancelling", "cancelled_by": "alice"})},
		"operations_cancelled_by":      {valid.with(row{"cancelled_by": ""}), valid.with(row{"state": "cancelling", "started_at": "now"})},
		"operations_restarts":          {valid.with(row{"restarts": -1})},
		"operations_step":              {valid.with(row{"step": "Cluster"})},
		"operations_finished_at":       {valid.with(row{"finished_at": "now"}), cancelled.with(row{"finished_at": nil})},
		"operations_dispatch_attempts": {valid.with(row{"dispatch_attempts": -1})},
		"operations_database_id_fkey":  {valid.with(row{"database_id": uuid.New()})},
		"operations_pkey":              {cancelled.with(row{"id": provision.ID})},
	} {
		for _, r := range refused {
			want(t, fmt.Sprintf("refusal of %v", r), f.insert("operations", row{"id": newID(t)}.with(r)), constraint)
		}
	}
	for _, r := range []row{cancelled, cancelled.with(row{"started_at": "now"}), valid} {
		want(t, fmt.Sprintf("refusal of %v", r), f.insert("operations", row{"id": newID(t)}.with(r)), "")
	}
	for _, state := range daap.OpenStates() {
		second := valid.with(row{"id": newID(t), "state": string(state)})
		if state != daap.OperationPending {
			second["started_at"] = "now"
		}
		if state == daap.OperationNeedsAttention {
			second = second.with(row{"cause_code": "DEADLINE", "cause_message": "late"})
		}
		if state == daap.OperationCancelling {
			second["cancelled_by"] = "alice"
		}
		want(t, "refusal of a second holder", f.insert("operations", second), "operations_open_on_database")
	}
}

func TestStepsTableRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, op := f.running("shop", "orders")
	valid := row{"operation_id": op.ID, "position": 100, "name": "verify"}
	for constraint, refused := range map[string][]row{
		"operation_steps_operation_id_fkey": {{"operation_id": uuid.New()}},
		"operation_steps_position":          {{"position": 0}},
		"operation_steps_pkey":              {{"position": 1}},
		"operation_steps_name_of_operation": {{"name": "cluster"}},
		"operation_steps_name":              {{"name": ""}, {"name": "Verify"}},
		"operation_steps_state":             {{"state": "lost", "started_at": "now"}},
		"operation_steps_attempts":          {{"attempts": -1}},
		"operation_steps_started_at":        {{"state": "running"}, {"state": "done", "finished_at": "now"}},
		"operation_steps_finished_at":       {{"state": "done", "started_at": "now"}, {"finished_at": "now"}},
	} {
		for _, changes := range refused {
			want(t, fmt.Sprintf("refusal of %v", changes), f.insert("operation_steps", valid.with(changes)), constraint)
		}
	}
	want(t, "refusal of the valid one", f.insert("operation_steps", valid), "")
}

func TestAPIKeysTableRefusesWhatTheRulesDo(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const hash = "$argon2id$v=19$m=8192,t=1,p=1$c2FsdA$aGFzaA"
	valid := row{"name": "deploy", "team": "shop", "role": "product-team", "hash": hash, "created_by": "platform/alice"}
	for constraint, refused := range map[string][]row{
		"api_keys_name":       {{"name": "ab"}, {"name": "Abc"}, {"name": strings.Repeat("a", 41)}, {"name": "abc\n"}},
		"api_keys_team":       {{"team": "a"}, {"team": "a_b"}, {"team": strings.Repeat("a", 41)}},
		"api_keys_role":       {{"role": "admin"}, {"role": ""}},
		"api_keys_hash":       {{"hash": ""}, {"hash": "daap_secret"}, {"hash": "$argon2i$x"}},
		"api_keys_old_hash":   {{"old_hash": "secret", "old_secret_until": "now", "rotated_at": "now"}},
		"api_keys_old_secret": {{"old_hash": hash, "rotated_at": "now"}, {"old_secret_until": "now"}},
		"api_keys_rotated":    {{"old_hash": hash, "old_secret_until": "now"}},
		"api_keys_created_by": {{"created_by": ""}},
		"api_keys_expires_at": {{"expires_at": "yesterday"}},
	} {
		for _, changes := range refused {
			r := row{"id": newID(t)}.with(valid).with(changes)
			want(t, fmt.Sprintf("refusal of %v", changes), f.insert("api_keys", r), constraint)
		}
	}
	want(t, "refusal of the valid one", f.insert("api_keys", row{"id": newID(t)}.with(valid)), "")
}

func TestAuditTablesRefuseWhatCannotBe(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	valid := row{"at": "now", "action": "getDatabase", "outcome": "succeeded"}
	for constraint, refused := range map[string][]row{
		"audit_log_at":       {{"at": "infinity"}},
		"audit_log_fields":   {{"before": `[]`}, {"after": `"x"`}, {"after": `null`}},
		"audit_log_action":   {{"action": ""}, {"action": "get database"}},
		"audit_log_resource": {{"resource_id": uuid.New()}},
		"audit_log_outcome":  {{"outcome": "lost"}},
		"audit_log_status":   {{"status": 99}, {"status": 600}},
	} {
		for _, changes := range refused {
			r := row{"id": newID(t)}.with(valid).with(changes)
			want(t, fmt.Sprintf("refusal of %v", changes), f.insert("audit_log", r), constraint)
		}
	}
	entry := row{"id": newID(t)}.with(valid)
	want(t, "refusal of the valid one", f.insert("audit_log", entry), "")
	seal := row{"position": 1, "entry_id": entry["id"], "hash": make([]byte, 32)}
	for constraint, changes := range map[string]row{
		"audit_chain_position": {"position": 0}, "audit_chain_hash": {"hash": make([]byte, 31)},
	} {
		want(t, fmt.Sprintf("refusal of %v", changes), f.insert("audit_chain", seal.with(changes)), constraint)
	}
	want(t, "refusal of the valid seal", f.insert("audit_chain", seal), "")
	second := row{"only_row": false, "keep": "2 days"}
	want(t, "refusal of a second row", f.insert("audit_retention", second), "audit_retention_only_row")
}

func TestTheSchemaListsWhatTheDomainDoes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for constraint, listed := range map[string][]string{
		"databases_status": texts(daap.DatabaseStatuses()),
		"operations_kind":  texts(daap.OperationKinds()),
		"operations_state": texts(append(daap.OpenStates(), daap.OperationSucceeded, daap.OperationCancelled)),
		"operation_steps_state": texts([]daap.StepState{
			daap.StepPending, daap.StepRunning, daap.StepDone, daap.StepFailed, daap.StepSkipped, daap.StepUndoing, daap.StepUndone,
		}),
		"backups_status":              texts(daap.BackupStatuses()),
		"operations_open_on_database": texts(daap.OpenStates()),
		"api_keys_role":               texts(daap.Roles()),
		"audit_log_outcome":           texts(daap.Outcomes()),
		"tiers_pgaudit_log":           texts(daap.PGAuditClasses()),
	} {
		var definition string
		err := f.pool.QueryRow(t.Context(), `
			SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1
			UNION
			SELECT indexdef FROM pg_indexes WHERE indexname = $1`, constraint).Scan(&definition)
		f.must(err)
		want(t, "list of "+constraint, quoted(definition), listed)
	}
}

func texts[T ~string](values []T) []string {
	var all []string
	for _, v := range values {
		all = append(all, string(v))
	}
	slices.Sort(all)
	return all
}

var literal = regexp.MustCompile(`'([a-z_-]+)'`)

// quoted returns the text literals of SQL, sorted.
func quoted(sql string) []string {
	var all []string
	for _, match := range literal.FindAllStringSubmatch(sql, -1) {
		all = append(all, match[1])
	}
	slices.Sort(all)
	return all
}

func TestTiersTableRefusesWhatTheRulesDo(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	valid := row{
		"name": "large", "instances": 3, "ha_replicas": 2, "cpu_millis": 500, "memory_bytes": 1 << 30, "storage_bytes": 1 << 30,
		"storage_class": "fast", "pg_version": "17", "pool_mode": "session", "max_connections": 100,
		"destruction_strategy": "archive", "backup_enabled": true, "backup_frequency": "0 2 * * *", "backup_retention_days": 14,
		"wal_archiving_enabled": true, "object_storage_destination": "s3://backups/shop",
	}
	none := row{
		"destruction_strategy": "hard_delete", "backup_enabled": false, "backup_frequency": "", "backup_retention_days": 0,
		"wal_archiving_enabled": false, "object_storage_destination": "",
	}
	for constraint, refused := range map[string][]row{
		"tiers_name":                 {{"name": "ab"}, {"name": "A-b-c"}},
		"tiers_name_is_one":          {{"name": "small"}},
		"tiers_description":          {{"description": strings.Repeat("é", 501)}},
		"tiers_instances":            {{"instances": 10}},
		"tiers_ha_replicas":          {{"ha_replicas": 3}, {"ha_replicas": -1}},
		"tiers_cpu":                  {{"cpu_millis": 99}, {"cpu_millis": 128_001}},
		"tiers_memory":               {{"memory_bytes": 1 << 27}, {"memory_bytes": 1<<40 + 1}},
		"tiers_storage":              {{"storage_bytes": 1<<30 - 1}, {"storage_bytes": 1<<46 + 1}},
		"tiers_storage_class":        {{"storage_class": "No Class"}},
		"tiers_pg_version":           {{"pg_version": "9"}, {"pg_version": ""}},
		"tiers_pool_mode":            {{"pool_mode": "statement"}},
		"tiers_max_connections":      {{"max_connections": 9}, {"max_connections": 10_001}},
		"tiers_destruction_strategy": {{"destruction_strategy": "keep"}},
		"tiers_archive":              {none.with(row{"destruction_strategy": "archive"})},
		"tiers_backups": {
			{"wal_archiving_enabled": false},
			{"backup_frequency": ""},
			{"backup_retention_days": 0},
			{"backup_retention_days": 3651},
			{"object_storage_destination": ""},
			none.with(row{"wal_archiving_enabled": true}),
			none.with(row{"backup_retention_days": 1}),
		},
		"tiers_object_storage_destination": {
			{"object_storage_destination": "s3://x"},
			{"object_storage_destination": "https://backups"},
			{"object_storage_destination": "s3://backups/../other"},
			{"object_storage_destination": "s3://backups/shop/"},
		},
		"tiers_pgaudit_log": {
			{"pgaudit_log": []string{"ddl", "role", "-read"}},
		},
		"tiers_pgaudit_log_always": {{"pgaudit_log": []string{"ddl"}}, {"pgaudit_log": []string{}}},
		"":                         {{}, {"name": "larger", "instances": 1, "ha_replicas": 0}, none.with(row{"name": "none"})},
	} {
		for _, changes := range refused {
			changes["id"] = uuid.New()
			want(t, fmt.Sprintf("refusal of %.80v", changes), f.insert("tiers", valid.with(changes)), constraint)
		}
	}
}
