-- +goose Up

-- A database that is deleted is frozen, archived or deleted for good, as its tier says. The CHECKs repeat the rules of
-- package daap.
ALTER TABLE tiers ADD COLUMN deletion_protection boolean NOT NULL DEFAULT false;

ALTER TABLE databases
    ADD COLUMN deletion_protection boolean NOT NULL DEFAULT false,
    ADD COLUMN archived_until      timestamptz,
    DROP CONSTRAINT databases_status,
    ADD CONSTRAINT databases_status CHECK (
        status IN ('provisioning', 'restoring', 'ready', 'updating', 'freezing', 'frozen', 'unfreezing', 'archiving',
                   'archived', 'deleting', 'deleted', 'error')),
    ADD CONSTRAINT databases_archived CHECK (status <> 'archived' OR archived_until IS NOT NULL);

ALTER TABLE operations
    ADD COLUMN receipt jsonb,
    DROP CONSTRAINT operations_kind,
    ADD CONSTRAINT operations_kind CHECK (
        kind IN ('provision_database', 'restore_database', 'update_database', 'back_up_database', 'freeze_database',
                 'unfreeze_database', 'archive_database', 'delete_database')),
    ADD CONSTRAINT operations_receipt CHECK (jsonb_typeof(receipt) = 'object');

-- When the last change was committed of a database that takes none any more.
ALTER TABLE backup_states ADD COLUMN closed_at timestamptz;

-- What was found in Kubernetes and in the object store that no database has.
CREATE TABLE orphans (
    id                   uuid        PRIMARY KEY,
    kind                 text        NOT NULL,
    name                 text        NOT NULL,
    database_id          uuid        NOT NULL,
    reason               text        NOT NULL,
    first_seen_at        timestamptz NOT NULL,
    last_seen_at         timestamptz NOT NULL,
    removal_requested_at timestamptz,
    removal_error        text        NOT NULL DEFAULT '',

    CONSTRAINT orphans_are_one UNIQUE (kind, name),
    CONSTRAINT orphans_kind CHECK (kind IN ('namespace', 'secret', 'persistent_volume', 'archive'))
);
