-- +goose Up

-- JSON in rows has keys of its own. So far it had the names of fields in Go. A process of the version before reads
-- nothing in the new rows: all of them must have stopped before this runs.

-- +goose StatementBegin
CREATE FUNCTION renamed(fields jsonb, names jsonb) RETURNS jsonb LANGUAGE sql STRICT AS $$
    SELECT COALESCE(jsonb_object_agg(COALESCE(names ->> key, key), value), '{}') FROM jsonb_each(fields)
$$;
-- +goose StatementEnd

-- A profile has all keys: those from before a field was there get what such databases have.
-- +goose StatementBegin
CREATE FUNCTION renamed_profile(profile jsonb) RETURNS jsonb LANGUAGE sql STRICT AS $$
    SELECT '{"storage_class": "", "ha_replicas": 0, "deletion_protection": false, "pgaudit_log": ["ddl", "role"],
             "backup_enabled": false, "backup_frequency": "", "backup_retention_days": 0, "wal_archiving_enabled": false,
             "object_storage_destination": ""}'::jsonb
        || renamed(jsonb_strip_nulls(profile), '{
               "Instances": "instances", "HAReplicas": "ha_replicas", "CPU": "cpu", "Memory": "memory",
               "StorageSize": "storage_size", "StorageClass": "storage_class", "PGVersion": "pg_version",
               "PoolMode": "pool_mode", "MaxConnections": "max_connections",
               "DestructionStrategy": "destruction_strategy", "DeletionProtection": "deletion_protection",
               "PGAuditLog": "pgaudit_log", "BackupEnabled": "backup_enabled", "BackupFrequency": "backup_frequency",
               "BackupRetentionDays": "backup_retention_days", "WALArchivingEnabled": "wal_archiving_enabled",
               "ObjectStorageDestination": "object_storage_destination"}')
$$;
-- +goose StatementEnd

DROP INDEX databases_restored_from;
DROP INDEX databases_backed_up;

UPDATE databases SET
    profile = renamed_profile(profile),
    source  = renamed(source, '{"DatabaseID": "database_id", "Name": "name", "ServerName": "server_name",
                                "Destination": "destination", "Target": "target"}');

UPDATE operations SET
    tier    = jsonb_build_object(
                  'id', tier -> 'ID', 'name', tier -> 'Name', 'description', tier -> 'Description',
                  'created_at', tier -> 'CreatedAt', 'updated_at', tier -> 'UpdatedAt',
                  'profile', renamed_profile(tier - ARRAY['ID', 'Name', 'Description', 'CreatedAt', 'UpdatedAt']))
WHERE tier IS NOT NULL;

UPDATE operations SET
    receipt = renamed(receipt, '{"Kubernetes": "kubernetes", "Objects": "objects", "Bytes": "bytes",
                                 "RelistedAt": "relisted_at"}')
WHERE receipt IS NOT NULL;

-- When a condition was observed is in the column observed_at.
UPDATE database_health SET conditions = (
    SELECT COALESCE(jsonb_agg(renamed(c - 'ObservedAt', '{"Type": "type", "Status": "status", "Reason": "reason",
                                                         "Message": "message", "Since": "since"}') ORDER BY n), '[]')
    FROM   jsonb_array_elements(conditions) WITH ORDINALITY AS all_of_them (c, n))
WHERE jsonb_typeof(conditions) = 'array';

-- Answers are kept for a day. A request that is repeated across this migration is carried out again.
DELETE FROM idempotency_keys;

DROP FUNCTION renamed_profile(jsonb);
DROP FUNCTION renamed(jsonb, jsonb);

CREATE INDEX databases_restored_from ON databases ((source ->> 'database_id')) WHERE status = 'restoring';
CREATE INDEX databases_backed_up ON databases (id)
    WHERE status IN ('ready', 'updating') AND (profile ->> 'backup_enabled')::boolean;

-- Without the keys that SQL reads, a database would have no backups in silence: a process that writes others is refused.
ALTER TABLE databases
    DROP CONSTRAINT databases_profile,
    DROP CONSTRAINT databases_source,
    ADD CONSTRAINT databases_profile CHECK (
        jsonb_typeof(profile) = 'object'
        AND profile ?& ARRAY['pg_version', 'backup_enabled', 'backup_retention_days', 'object_storage_destination']),
    ADD CONSTRAINT databases_source CHECK (jsonb_typeof(source) = 'object' AND source ? 'database_id');

ALTER TABLE operations
    DROP CONSTRAINT operations_tier,
    ADD CONSTRAINT operations_tier CHECK (
        (tier IS NOT NULL) = (kind = 'update_database') AND jsonb_typeof(tier) = 'object' AND tier ?& ARRAY['id', 'profile']);
