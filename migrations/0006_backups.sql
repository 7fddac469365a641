-- +goose Up

-- How databases of a tier are backed up. The CHECKs repeat the rules of package daap.
ALTER TABLE tiers
    ADD COLUMN backup_frequency           text    NOT NULL DEFAULT '',
    ADD COLUMN backup_retention_days      integer NOT NULL DEFAULT 0,
    ADD COLUMN wal_archiving_enabled      boolean NOT NULL DEFAULT false,
    ADD COLUMN object_storage_destination text    NOT NULL DEFAULT '',
    ADD CONSTRAINT tiers_backups CHECK (
        CASE WHEN backup_enabled
             THEN wal_archiving_enabled AND backup_frequency <> '' AND backup_retention_days BETWEEN 1 AND 3650
                  AND object_storage_destination <> ''
             ELSE NOT wal_archiving_enabled AND backup_frequency = '' AND backup_retention_days = 0
                  AND object_storage_destination = '' END),
    ADD CONSTRAINT tiers_object_storage_destination CHECK (
        object_storage_destination ~
        '^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_-][A-Za-z0-9._-]{0,62}){0,4})?$');

-- Whether an operation has the steps for backups; those that are there have not.
ALTER TABLE operations ADD COLUMN backs_up boolean NOT NULL DEFAULT false;

-- A database that was restored knows from what, and to when.
ALTER TABLE databases
    ADD COLUMN source jsonb,
    DROP CONSTRAINT databases_status,
    ADD CONSTRAINT databases_status CHECK (
        status IN ('provisioning', 'restoring', 'ready', 'updating', 'deleting', 'deleted', 'error')),
    ADD CONSTRAINT databases_source CHECK (jsonb_typeof(source) = 'object');

ALTER TABLE operations
    DROP CONSTRAINT operations_kind,
    ADD CONSTRAINT operations_kind CHECK (
        kind IN ('provision_database', 'restore_database', 'update_database', 'back_up_database', 'delete_database'));

-- What was seen of the backups of a database when it was last looked at.
CREATE TABLE backup_states (
    database_id           uuid        PRIMARY KEY REFERENCES databases (id),
    observed_at           timestamptz NOT NULL,
    archiving             boolean     NOT NULL,
    archiving_message     text        NOT NULL,
    last_archived_at      timestamptz,
    unarchived_bytes      bigint      NOT NULL,
    last_success_at       timestamptz,
    last_failure_at       timestamptz,
    last_failure_message  text        NOT NULL,
    first_recoverable_at  timestamptz,
    gap                   text        NOT NULL,

    CONSTRAINT backup_states_unarchived CHECK (unarchived_bytes >= 0)
);

-- The base backups of a database. They outlive their Kubernetes objects.
CREATE TABLE backups (
    id          uuid        PRIMARY KEY,
    database_id uuid        NOT NULL REFERENCES databases (id),
    name        text        NOT NULL,
    server_name text        NOT NULL,
    backup_id   text        NOT NULL,
    status      text        NOT NULL,
    started_at  timestamptz,
    stopped_at  timestamptz,
    begin_wal   text        NOT NULL,
    end_wal     text        NOT NULL,
    size_bytes  bigint,
    error       text        NOT NULL,

    CONSTRAINT backups_status CHECK (status IN ('pending', 'running', 'completed', 'failed'))
);

CREATE INDEX backups_of_database ON backups (database_id, id);

CREATE INDEX databases_restored_from ON databases ((source ->> 'DatabaseID')) WHERE status = 'restoring';

CREATE INDEX databases_backed_up ON databases (id) WHERE status = 'ready' AND (profile ->> 'BackupEnabled')::boolean;
