-- +goose Up

-- What was last seen of each database. health sums conditions up as of observed_at and has been so from health_since on;
-- it is stale after five minutes.
-- revision grows with each change, so that of two who saw the same change one records it.
CREATE TABLE database_health (
    database_id  uuid        PRIMARY KEY REFERENCES databases (id),
    health       text        NOT NULL CHECK (health IN ('healthy', 'degraded', 'unavailable', 'unknown')),
    health_since timestamptz NOT NULL DEFAULT now(),
    conditions   jsonb       NOT NULL,
    observed_at  timestamptz NOT NULL,
    revision     bigint      NOT NULL DEFAULT 1
) WITH (fillfactor = 70); -- each row is written each minute, where it is

CREATE INDEX database_health_by_health ON database_health (health, database_id);

-- What PostgreSQL itself told when it was last asked. attempted_at is of the last try, failure_reason why it failed and
-- empty where it did not. Extensions are those of listed_at, all else is of scanned_at.
CREATE TABLE database_scans (
    database_id     uuid        PRIMARY KEY REFERENCES databases (id),
    attempted_at    timestamptz NOT NULL,
    failure_reason  text        NOT NULL DEFAULT '',
    failure_message text        NOT NULL DEFAULT '',
    scanned_at      timestamptz,
    listed_at       timestamptz,
    used_bytes      bigint      NOT NULL DEFAULT 0,
    wal_bytes       bigint      NOT NULL DEFAULT 0,
    connections     integer     NOT NULL DEFAULT 0,
    max_connections integer     NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

-- The extensions of every PostgreSQL database within a database, as they were when that was last scanned.
CREATE TABLE database_extensions (
    database_id       uuid        NOT NULL REFERENCES databases (id),
    postgres_database text        NOT NULL,
    name              text        NOT NULL,
    version           text        NOT NULL,
    available_version text        NOT NULL, -- empty where the image has none any more
    last_checked_at   timestamptz NOT NULL,
    PRIMARY KEY (database_id, postgres_database, name)
) WITH (fillfactor = 70);

CREATE INDEX database_extensions_by_name ON database_extensions (name, version);

-- The incarnation that an operation makes of a database whose Cluster is gone; null where it makes none.
ALTER TABLE operations ADD COLUMN incarnation integer CHECK (incarnation > 1);

ALTER TABLE operations
    DROP CONSTRAINT operations_kind,
    ADD CONSTRAINT operations_kind CHECK (
        kind IN ('provision_database', 'restore_database', 'update_database', 'back_up_database', 'freeze_database',
                 'unfreeze_database', 'archive_database', 'delete_database', 'reconcile_database'));
