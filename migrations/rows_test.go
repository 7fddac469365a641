package migrations_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// goNamed makes rows as version 10 wrote them: a database that was restored with all of a tier, one from before tiers
// had backups, an update, a deletion with its receipt, what was seen of both, and an answer.
const goNamed = `
	INSERT INTO tiers (id, name, instances, ha_replicas, cpu_millis, memory_bytes, storage_bytes, pg_version, pool_mode,
	                   max_connections, destruction_strategy, backup_enabled)
	VALUES ('00000000-0000-7000-8000-00000000000a', 'large', 3, 1, 2000, 4294967296, 21474836480, '18', 'session', 400,
	        'freeze', false);
	INSERT INTO tier_usage (tier_id) VALUES ('00000000-0000-7000-8000-00000000000a');
	INSERT INTO databases (id, name, owner_team, status, incarnation, tier_id, tier_name, profile, source) VALUES
		('00000000-0000-7000-8000-000000000001', 'orders', 'shop', 'updating', 1, '00000000-0000-7000-8000-00000000000a', 'large',
		 '{"Instances": 3, "HAReplicas": 1, "CPU": "2", "Memory": "4Gi", "StorageSize": "20Gi", "StorageClass": "fast",
		   "PGVersion": "18", "PoolMode": "session", "MaxConnections": 400, "DestructionStrategy": "archive",
		   "DeletionProtection": true, "PGAuditLog": ["ddl", "role", "write"], "BackupEnabled": true,
		   "BackupFrequency": "0 2 * * *", "BackupRetentionDays": 14, "WALArchivingEnabled": true,
		   "ObjectStorageDestination": "s3://backups/shop"}',
		 '{"DatabaseID": "00000000-0000-7000-8000-000000000003", "Name": "orders", "ServerName": "pg-3",
		   "Destination": "s3://backups/old", "Target": "2026-01-02T03:04:05.678Z"}'),
		('00000000-0000-7000-8000-000000000002', 'carts', 'shop', 'deleting', 1, '00000000-0000-7000-8000-00000000000a', 'large',
		 '{"Instances": 1, "HAReplicas": 0, "CPU": "100m", "Memory": "512Mi", "StorageSize": "1Gi", "StorageClass": "",
		   "PGVersion": "17", "PoolMode": "transaction", "MaxConnections": 100, "DestructionStrategy": "hard_delete",
		   "PGAuditLog": null, "BackupEnabled": false}', NULL);
	INSERT INTO operations (id, database_id, kind, state, started_at, tier, receipt, origin) VALUES
		('00000000-0000-7000-8000-000000000011', '00000000-0000-7000-8000-000000000001', 'update_database', 'running', now(),
		 '{"ID": "00000000-0000-7000-8000-00000000000a", "Name": "large", "Description": "For the shop", "Instances": 5,
		   "HAReplicas": 2, "CPU": "3", "Memory": "8Gi", "StorageSize": "20Gi", "StorageClass": "fast", "PGVersion": "18",
		   "PoolMode": "session", "MaxConnections": 500, "DestructionStrategy": "archive", "DeletionProtection": false,
		   "PGAuditLog": ["ddl", "role"], "BackupEnabled": true, "BackupFrequency": "0 2 * * *", "BackupRetentionDays": 14,
		   "WALArchivingEnabled": true, "ObjectStorageDestination": "s3://backups/shop",
		   "CreatedAt": "2026-01-02T03:04:05Z", "UpdatedAt": "2026-02-03T04:05:06Z"}', NULL,
		 '{"actor": "shop/alice", "team": "shop"}'),
		('00000000-0000-7000-8000-000000000012', '00000000-0000-7000-8000-000000000002', 'delete_database', 'running', now(),
		 NULL, '{"Kubernetes": {"Pod": 2, "Cluster": 1}, "Objects": 7, "Bytes": 8, "RelistedAt": "2026-01-02T03:04:05Z"}', NULL);
	INSERT INTO database_health (database_id, health, conditions, observed_at) VALUES
		('00000000-0000-7000-8000-000000000001', 'degraded',
		 '[{"Type": "Ready", "Status": "True", "Reason": "AsExpected", "Message": "", "Since": "2026-01-02T03:04:05Z",
		    "ObservedAt": "2026-01-02T03:04:05Z"},
		   {"Type": "Drift", "Status": "True", "Reason": "Edited", "Message": "by kubectl", "Since": "2026-01-03T03:04:05Z",
		    "ObservedAt": "2026-01-03T03:04:05Z"}]', '2026-01-04T00:00:00Z'),
		('00000000-0000-7000-8000-000000000002', 'unknown', '[]', now());
	INSERT INTO idempotency_keys (team, key, request, answer) VALUES ('shop', 'a', decode(repeat('00', 32), 'hex'), '{"Name": "x"}')`

var (
	orders = uuid.MustParse("00000000-0000-7000-8000-000000000001")
	carts  = uuid.MustParse("00000000-0000-7000-8000-000000000002")
)

// same compares as JSON.
func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	g, gotErr := json.Marshal(got)
	w, wantErr := json.Marshal(want)
	if gotErr != nil || wantErr != nil || string(g) != string(w) {
		t.Errorf("%s = %s, want %s", what, g, w)
	}
}

// sameFields compares the fields of a profile that version 11 has; a later one may have more.
func sameFields(t *testing.T, what string, got, want map[string]any) {
	t.Helper()
	for name := range got {
		if _, known := want[name]; !known {
			delete(got, name)
		}
	}
	same(t, what, got, want)
}

func TestRowsWithNamesOfGoAreMigrated(t *testing.T) {
	t.Parallel()
	store, pool := migratedFrom(t, 10, goNamed)
	read := func(id uuid.UUID) daap.Database {
		t.Helper()
		db, err := store.Database(t.Context(), daap.EveryTeam, id)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	whole := map[string]any{
		"instances": 3, "ha_replicas": 1, "cpu": "2", "memory": "4Gi", "storage_size": "20Gi", "storage_class": "fast",
		"pg_version": "18", "pool_mode": "session", "max_connections": 400, "destruction_strategy": "archive",
		"deletion_protection": true, "pgaudit_log": []string{"ddl", "role", "write"}, "backup_enabled": true,
		"backup_frequency": "0 2 * * *", "backup_retention_days": 14, "wal_archiving_enabled": true,
		"object_storage_destination": "s3://backups/shop",
	}
	sameFields(t, "profile", read(orders).Profile.Values(), whole)
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	same(t, "source", read(orders).Source, &daap.Source{
		DatabaseID: uuid.MustParse("00000000-0000-7000-8000-000000000003"), Name: "orders", ServerName: "pg-3",
		Destination: "s3://backups/old", Target: &at,
	})
	same(t, "source of another one", read(carts).Source, nil)
	sameFields(t, "profile from before", read(carts).Profile.Values(), map[string]any{
		"instances": 1, "ha_replicas": 0, "cpu": "100m", "memory": "512Mi", "storage_size": "1Gi", "storage_class": "",
		"pg_version": "17", "pool_mode": "transaction", "max_connections": 100, "destruction_strategy": "hard_delete",
		"deletion_protection": false, "pgaudit_log": []string{"ddl", "role"}, "backup_enabled": false, "backup_frequency": "",
		"backup_retention_days": 0, "wal_archiving_enabled": false, "object_storage_destination": "",
	})

	update, err := store.Operation(t.Context(), daap.EveryTeam, *read(orders).OperationID)
	if err != nil {
		t.Fatal(err)
	}
	whole["instances"], whole["ha_replicas"], whole["cpu"], whole["memory"], whole["max_connections"] = 5, 2, "3", "8Gi", 500
	whole["deletion_protection"], whole["pgaudit_log"] = false, []string{"ddl", "role"}
	sameFields(t, "tier of the update", update.Tier.Values(), whole)
	same(t, "name of that tier", update.Tier.Name+": "+update.Tier.Description, "large: For the shop")
	same(t, "when that was made", update.Tier.CreatedAt, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	same(t, "when that was changed", update.Tier.UpdatedAt, time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC))
	same(t, "who asked", update.Origin.Actor, "shop/alice")

	deletion, err := store.Operation(t.Context(), daap.EveryTeam, *read(carts).OperationID)
	if err != nil {
		t.Fatal(err)
	}
	relisted := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	same(t, "receipt", deletion.Receipt, &daap.Receipt{
		Kubernetes: map[string]int{"Pod": 2, "Cluster": 1}, Objects: 7, Bytes: 8, RelistedAt: &relisted,
	})

	seen, err := store.DescribeDatabase(t.Context(), daap.EveryTeam, orders)
	if err != nil {
		t.Fatal(err)
	}
	observed := time.Date(2026, 1, 4, 0, 0, 0, 0, time.UTC)
	same(t, "conditions", seen.Conditions, daap.Conditions{
		{Type: daap.ConditionReady, Status: daap.ConditionTrue, Reason: "AsExpected", Since: relisted, ObservedAt: observed},
		{
			Type: daap.ConditionDrift, Status: daap.ConditionTrue, Reason: "Edited", Message: "by kubectl",
			Since: relisted.AddDate(0, 0, 1), ObservedAt: observed,
		},
	})

	backedUp, err := store.BackedUpDatabases(t.Context(), uuid.Nil, 10)
	if err != nil || len(backedUp) != 1 || backedUp[0].ID != orders {
		t.Errorf("databases that are backed up = %v, %v; want orders alone", backedUp, err)
	}
	var answers int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM idempotency_keys`).Scan(&answers); err != nil || answers != 0 {
		t.Errorf("%d answers are left, %v; want none", answers, err)
	}
}

func TestMigrationsGiveEachStoredProfileAllTierFields(t *testing.T) {
	t.Parallel()
	_, pool := migratedFrom(t, 10, goNamed)
	rows, _ := pool.Query(t.Context(), `
		SELECT ARRAY(SELECT jsonb_object_keys(profile)) FROM databases
		UNION ALL
		SELECT ARRAY(SELECT jsonb_object_keys(tier -> 'profile')) FROM operations WHERE tier IS NOT NULL`)
	all, err := pgx.CollectRows(rows, pgx.RowTo[[]string])
	if err != nil || len(all) != 3 {
		t.Fatalf("profiles: %v, %v; want three", all, err)
	}
	want := slices.Sorted(slices.Values(daap.TierFields()))
	for _, keys := range all {
		if slices.Sort(keys); !slices.Equal(keys, want) {
			t.Errorf("a profile has the keys %v, want %v: the migration of a field gives it to the profiles that are stored", keys, want)
		}
	}
}

func TestSchemaNamesNoFieldOfGo(t *testing.T) {
	t.Parallel()
	_, pool := migratedFrom(t, 11, "")
	rows, _ := pool.Query(t.Context(), `
		SELECT text FROM (
			SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
			UNION ALL
			SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
		) AS all_of_it (text)
		WHERE text ~ '(->>?|\?[&|]?|\[) *''[A-Z]'`)
	if found, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(found) > 0 {
		t.Errorf("these name a key that begins with a capital letter: %v, %v", found, err)
	}
}
