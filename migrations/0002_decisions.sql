-- +goose Up

-- What keeps an operation is told as soon as it is known, with what to do about it; so a cause may stand while
-- the operation runs. Processes of the version before write causes without a remedy.
ALTER TABLE operations
    ADD COLUMN step          text,
    ADD COLUMN cause_remedy  text,
    ADD COLUMN status_before text,
    ADD COLUMN cancelled_by  text,
    ADD COLUMN restarts      integer     NOT NULL DEFAULT 0,
    ADD COLUMN next_look_at  timestamptz NOT NULL DEFAULT now() + interval '1 minute',
    DROP CONSTRAINT operations_state,
    DROP CONSTRAINT operations_cause,
    DROP CONSTRAINT operations_started_at,
    ADD CONSTRAINT operations_state CHECK (
        state IN ('pending', 'running', 'needs_attention', 'cancelling', 'succeeded', 'cancelled')),
    ADD CONSTRAINT operations_cause CHECK (
        (cause_code IS NULL) = (cause_message IS NULL)
        AND (state <> 'needs_attention' OR cause_code IS NOT NULL)
        AND (state IN ('running', 'needs_attention', 'cancelling') OR cause_code IS NULL)),
    -- One that is started anew is pending again, and keeps when it was first started.
    ADD CONSTRAINT operations_started_at CHECK (state IN ('pending', 'cancelled') OR started_at IS NOT NULL),
    ADD CONSTRAINT operations_step CHECK (step ~ '^[a-z][a-z_]*$'),
    ADD CONSTRAINT operations_status_before CHECK (status_before ~ '^[a-z]+$'),
    ADD CONSTRAINT operations_cancelled_by CHECK (
        cancelled_by <> '' AND (state <> 'cancelling' OR cancelled_by IS NOT NULL)),
    ADD CONSTRAINT operations_restarts CHECK (restarts >= 0);

-- The lock on a database, over the open states that there are now.
CREATE UNIQUE INDEX operations_open_on_database ON operations (database_id)
    WHERE state IN ('pending', 'running', 'needs_attention', 'cancelling');
DROP INDEX operations_holding_database;

-- The search for operations whose workflow is lost.
CREATE INDEX operations_to_look_at ON operations (next_look_at)
    WHERE state IN ('pending', 'running', 'needs_attention', 'cancelling');

CREATE INDEX operations_by_cause ON operations (cause_code, id) WHERE state = 'needs_attention';

ALTER TABLE databases ADD COLUMN cause_remedy text;

ALTER TABLE operation_steps
    DROP CONSTRAINT operation_steps_state,
    DROP CONSTRAINT operation_steps_started_at,
    DROP CONSTRAINT operation_steps_finished_at,
    ADD CONSTRAINT operation_steps_state CHECK (
        state IN ('pending', 'running', 'done', 'failed', 'skipped', 'undoing', 'undone')),
    ADD CONSTRAINT operation_steps_started_at CHECK (state IN ('pending', 'skipped') OR started_at IS NOT NULL),
    ADD CONSTRAINT operation_steps_finished_at CHECK (
        (finished_at IS NOT NULL) = (state IN ('done', 'skipped', 'undone')));

-- The timeline of each database. Rows are only ever added. database_id refers to databases by way of the
-- operation: a reference of its own would lock the row of the database after that of the operation.
CREATE TABLE events (
    id           uuid        PRIMARY KEY,
    database_id  uuid        NOT NULL,
    operation_id uuid        NOT NULL REFERENCES operations (id),
    kind         text        NOT NULL,
    step         text,
    cause_code   text,
    actor        text,
    message      text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT events_kind CHECK (kind ~ '^[a-z][a-z_]*$'),
    CONSTRAINT events_step CHECK (step ~ '^[a-z][a-z_]*$'),
    CONSTRAINT events_cause_code CHECK (cause_code ~ '^[A-Z][A-Z0-9_]*$'),
    CONSTRAINT events_actor CHECK (actor <> '')
);

CREATE INDEX events_of_database ON events (database_id, id);

-- The answers to requests that named an Idempotency-Key, kept for a day.
CREATE TABLE idempotency_keys (
    key        text        PRIMARY KEY,
    request    bytea       NOT NULL,
    answer     jsonb       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT idempotency_keys_key CHECK (length(key) BETWEEN 1 AND 255),
    CONSTRAINT idempotency_keys_request CHECK (length(request) = 32)
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
