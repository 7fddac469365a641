-- +goose Up

-- A database gets another tier by an operation that knows all of the tier, as it was when the operation was accepted.
ALTER TABLE databases
    DROP CONSTRAINT databases_status,
    ADD CONSTRAINT databases_status CHECK (
        status IN ('provisioning', 'ready', 'updating', 'deleting', 'deleted', 'error'));

ALTER TABLE operations
    ADD COLUMN tier jsonb,
    DROP CONSTRAINT operations_kind,
    ADD CONSTRAINT operations_kind CHECK (kind IN ('provision_database', 'update_database', 'delete_database')),
    ADD CONSTRAINT operations_tier CHECK (
        (tier IS NOT NULL) = (kind = 'update_database') AND jsonb_typeof(tier) = 'object');

-- An update reserves what its tier costs beside what the database has, until it is over; of the same tier only what is
-- more, and no other database.
ALTER TABLE reservations
    ADD COLUMN databases integer NOT NULL DEFAULT 1,
    ADD CONSTRAINT reservations_counts CHECK (
        cpu_millis >= 0 AND memory_bytes >= 0 AND storage_bytes >= 0 AND databases IN (0, 1));

-- The answer to a patch is a database with its operation, where there is one: so far it was the database alone.
UPDATE idempotency_keys SET answer = jsonb_build_object('Database', answer) WHERE answer ? 'Profile';
