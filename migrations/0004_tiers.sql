-- +goose Up

-- What the platform team offers. The CHECKs repeat the rules of package daap.
CREATE TABLE tiers (
    id                   uuid        PRIMARY KEY,
    name                 text        NOT NULL,
    description          text        NOT NULL DEFAULT '',
    instances            integer     NOT NULL,
    ha_replicas          integer     NOT NULL,
    cpu_millis           bigint      NOT NULL,
    memory_bytes         bigint      NOT NULL,
    storage_bytes        bigint      NOT NULL,
    storage_class        text        NOT NULL DEFAULT '',
    pg_version           text        NOT NULL,
    pool_mode            text        NOT NULL,
    max_connections      integer     NOT NULL,
    destruction_strategy text        NOT NULL,
    backup_enabled       boolean     NOT NULL,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT tiers_name_is_one UNIQUE (name),
    CONSTRAINT tiers_name CHECK (length(name) BETWEEN 3 AND 40 AND name ~ '^[a-z](-?[a-z0-9])*$'),
    CONSTRAINT tiers_description CHECK (
        length(description) <= 500
        AND description !~ '[\u0001-\u0008\u000b-\u001f\u007f-\u009f\ufffd]'),
    CONSTRAINT tiers_instances CHECK (instances BETWEEN 1 AND 9),
    CONSTRAINT tiers_ha_replicas CHECK (ha_replicas BETWEEN 0 AND instances - 1),
    CONSTRAINT tiers_cpu CHECK (cpu_millis BETWEEN 100 AND 128000),
    CONSTRAINT tiers_memory CHECK (memory_bytes BETWEEN 268435456 AND 1099511627776),
    CONSTRAINT tiers_storage CHECK (storage_bytes BETWEEN 1073741824 AND 70368744177664),
    CONSTRAINT tiers_storage_class CHECK (storage_class ~ '^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$'),
    CONSTRAINT tiers_pg_version CHECK (pg_version ~ '^[1-9][0-9]$'),
    CONSTRAINT tiers_pool_mode CHECK (pool_mode IN ('session', 'transaction')),
    CONSTRAINT tiers_max_connections CHECK (max_connections BETWEEN 10 AND 10000),
    CONSTRAINT tiers_destruction_strategy CHECK (destruction_strategy IN ('freeze', 'archive', 'hard_delete')),
    CONSTRAINT tiers_archive CHECK (destruction_strategy <> 'archive' OR backup_enabled)
);

-- Databases that were made before there were tiers have what all of them got then.
INSERT INTO tiers (id, name, description, instances, ha_replicas, cpu_millis, memory_bytes, storage_bytes,
                   pg_version, pool_mode, max_connections, destruction_strategy, backup_enabled)
SELECT gen_random_uuid(), 'default', 'What databases had before there were tiers.', 1, 0, 100, 536870912, 1073741824,
       '17', 'transaction', 100, 'hard_delete', false
WHERE  EXISTS (SELECT FROM databases);

-- The tier that a database has, until it is deleted, and all of it as it was when the database got it.
ALTER TABLE databases
    ADD COLUMN tier_id   uuid REFERENCES tiers (id),
    ADD COLUMN tier_name text,
    ADD COLUMN profile   jsonb;

UPDATE databases SET
    tier_id   = CASE WHEN status <> 'deleted' THEN (SELECT id FROM tiers) END,
    tier_name = 'default',
    profile   = '{"Instances": 1, "HAReplicas": 0, "CPU": "100m", "Memory": "512Mi", "StorageSize": "1Gi",
                  "StorageClass": "", "PGVersion": "17", "PoolMode": "transaction", "MaxConnections": 100,
                  "DestructionStrategy": "hard_delete", "BackupEnabled": false}';

ALTER TABLE databases
    ALTER COLUMN tier_name SET NOT NULL,
    ALTER COLUMN profile SET NOT NULL,
    ADD CONSTRAINT databases_tier CHECK ((tier_id IS NOT NULL) = (status <> 'deleted')),
    ADD CONSTRAINT databases_profile CHECK (jsonb_typeof(profile) = 'object');

CREATE INDEX databases_of_tier ON databases (tier_id) WHERE tier_id IS NOT NULL;

-- How much all databases of a tier may have together; null is no limit.
CREATE TABLE tier_quotas (
    tier_id         uuid    PRIMARY KEY REFERENCES tiers (id) ON DELETE CASCADE,
    max_cpu_cores   numeric,
    max_memory_gib  numeric,
    max_storage_gib numeric,
    max_databases   integer,

    CONSTRAINT tier_quotas_limits CHECK (
        max_cpu_cores >= 0 AND max_memory_gib >= 0 AND max_storage_gib >= 0 AND max_databases >= 0)
);

-- How much they have: what the reservations sum up to, in one row, so that a reservation is one conditional update.
CREATE TABLE tier_usage (
    tier_id       uuid   PRIMARY KEY REFERENCES tiers (id) ON DELETE CASCADE,
    cpu_millis    bigint NOT NULL DEFAULT 0,
    memory_bytes  bigint NOT NULL DEFAULT 0,
    storage_bytes bigint NOT NULL DEFAULT 0,
    databases     bigint NOT NULL DEFAULT 0,

    CONSTRAINT tier_usage_counts CHECK (
        cpu_millis >= 0 AND memory_bytes >= 0 AND storage_bytes >= 0 AND databases >= 0)
);

-- What an operation has reserved for its database, until that is deleted.
CREATE TABLE reservations (
    operation_id  uuid   PRIMARY KEY REFERENCES operations (id),
    database_id   uuid   NOT NULL REFERENCES databases (id),
    tier_id       uuid   NOT NULL REFERENCES tiers (id),
    cpu_millis    bigint NOT NULL,
    memory_bytes  bigint NOT NULL,
    storage_bytes bigint NOT NULL
);

CREATE INDEX reservations_of_database ON reservations (database_id);

INSERT INTO reservations (operation_id, database_id, tier_id, cpu_millis, memory_bytes, storage_bytes)
SELECT DISTINCT ON (d.id) o.id, d.id, d.tier_id, 100, 536870912, 1073741824
FROM   databases d JOIN operations o ON o.database_id = d.id AND o.kind = 'provision_database'
WHERE  d.tier_id IS NOT NULL
ORDER  BY d.id, o.id;

INSERT INTO tier_usage (tier_id, cpu_millis, memory_bytes, storage_bytes, databases)
SELECT t.id, COALESCE(sum(r.cpu_millis), 0), COALESCE(sum(r.memory_bytes), 0), COALESCE(sum(r.storage_bytes), 0),
       count(r.operation_id)
FROM   tiers t LEFT JOIN reservations r ON r.tier_id = t.id
GROUP  BY t.id;
