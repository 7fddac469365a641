-- +goose Up

-- The CHECKs repeat the rules of package daap, so that no path into a table gets around them.

CREATE TABLE databases (
    id             uuid        PRIMARY KEY,
    name           text        NOT NULL,
    owner_team     text        NOT NULL,
    description    text        NOT NULL DEFAULT '',
    labels         jsonb       NOT NULL DEFAULT '{}',
    status         text        NOT NULL,
    incarnation    integer     NOT NULL,
    cause_code     text,
    cause_message  text,
    ca_certificate text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    deleted_at     timestamptz,

    CONSTRAINT databases_name CHECK (
        length(name) BETWEEN 3 AND 40 AND name ~ '^[a-z](-?[a-z0-9])*$'),
    CONSTRAINT databases_owner_team CHECK (
        length(owner_team) BETWEEN 2 AND 40 AND owner_team ~ '^[a-z](-?[a-z0-9])*$'),
    CONSTRAINT databases_description CHECK (
        length(description) <= 500
        AND description !~ '[\u0001-\u0008\u000b-\u001f\u007f-\u009f\ufffd]'),
    CONSTRAINT databases_labels_object CHECK (jsonb_typeof(labels) = 'object'),
    CONSTRAINT databases_labels_count CHECK (
        jsonb_array_length(jsonb_path_query_array(labels, '$.keyvalue()', '{}', true)) <= 32),
    CONSTRAINT databases_labels_keys CHECK (
        NOT labels @? 'strict $.keyvalue() ? (!(@.key like_regex "^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$"))'),
    CONSTRAINT databases_labels_values CHECK (
        NOT labels @? 'strict $.* ? (@.type() != "string" || !(@ like_regex "^.{0,128}$" flag "s")
                              || @ like_regex "[\\u0001-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\ufffd]")'),
    CONSTRAINT databases_status CHECK (
        status IN ('provisioning', 'ready', 'deleting', 'deleted', 'error')),
    CONSTRAINT databases_incarnation CHECK (incarnation >= 1),
    CONSTRAINT databases_cause CHECK (
        (cause_code IS NOT NULL) = (status = 'error')
        AND (cause_message IS NOT NULL) = (status = 'error')),
    CONSTRAINT databases_cause_code CHECK (cause_code ~ '^[A-Z][A-Z0-9_]*$'),
    CONSTRAINT databases_ca_certificate CHECK (ca_certificate <> ''),
    CONSTRAINT databases_deleted_at CHECK ((deleted_at IS NOT NULL) = (status = 'deleted'))
);

CREATE UNIQUE INDEX databases_name_of_team ON databases (owner_team, name) WHERE status <> 'deleted';

-- Lists run newest first by id; each has an index that yields its rows in that order.
CREATE INDEX databases_live         ON databases (id) WHERE status <> 'deleted';
CREATE INDEX databases_live_of_team ON databases (owner_team, id) WHERE status <> 'deleted';
CREATE INDEX databases_by_status    ON databases (status, id);
CREATE INDEX databases_by_team      ON databases (owner_team, status, id);
CREATE INDEX databases_by_labels    ON databases USING gin (labels jsonb_path_ops);

CREATE TABLE operations (
    id                uuid        PRIMARY KEY,
    database_id       uuid        NOT NULL REFERENCES databases (id),
    kind              text        NOT NULL,
    state             text        NOT NULL DEFAULT 'pending',
    cause_code        text,
    cause_message     text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    started_at        timestamptz,
    finished_at       timestamptz,
    dispatch_attempts integer     NOT NULL DEFAULT 0,
    next_dispatch_at  timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT operations_kind CHECK (kind IN ('provision_database', 'delete_database')),
    CONSTRAINT operations_state CHECK (
        state IN ('pending', 'running', 'needs_attention', 'succeeded', 'cancelled')),
    CONSTRAINT operations_cause CHECK (
        (cause_code IS NOT NULL) = (state = 'needs_attention')
        AND (cause_message IS NOT NULL) = (state = 'needs_attention')),
    CONSTRAINT operations_cause_code CHECK (cause_code ~ '^[A-Z][A-Z0-9_]*$'),
    -- An operation may be cancelled before it has begun; every other state tells whether it has.
    CONSTRAINT operations_started_at CHECK (
        state = 'cancelled' OR (started_at IS NOT NULL) = (state <> 'pending')),
    CONSTRAINT operations_finished_at CHECK (
        (finished_at IS NOT NULL) = (state IN ('succeeded', 'cancelled'))),
    CONSTRAINT operations_dispatch_attempts CHECK (dispatch_attempts >= 0)
);

-- The lock on a database: at most one open operation holds it.
CREATE UNIQUE INDEX operations_holding_database ON operations (database_id)
    WHERE state IN ('pending', 'running', 'needs_attention');

-- The outbox: operations whose start is due.
CREATE INDEX operations_to_dispatch ON operations (next_dispatch_at) WHERE state = 'pending';

CREATE INDEX operations_by_database ON operations (database_id, id);
CREATE INDEX operations_by_state    ON operations (state, id);
CREATE INDEX operations_by_kind     ON operations (kind, id);

CREATE TABLE operation_steps (
    operation_id uuid    NOT NULL REFERENCES operations (id),
    position     integer NOT NULL,
    name         text    NOT NULL,
    state        text    NOT NULL DEFAULT 'pending',
    attempts     integer NOT NULL DEFAULT 0,
    progress     text    NOT NULL DEFAULT '',
    last_error   text    NOT NULL DEFAULT '',
    started_at   timestamptz,
    finished_at  timestamptz,

    PRIMARY KEY (operation_id, position),
    CONSTRAINT operation_steps_name_of_operation UNIQUE (operation_id, name),
    CONSTRAINT operation_steps_position CHECK (position >= 1),
    CONSTRAINT operation_steps_name CHECK (name ~ '^[a-z][a-z_]*$'),
    CONSTRAINT operation_steps_state CHECK (state IN ('pending', 'running', 'done', 'failed')),
    CONSTRAINT operation_steps_attempts CHECK (attempts >= 0),
    CONSTRAINT operation_steps_started_at CHECK (state = 'pending' OR started_at IS NOT NULL),
    CONSTRAINT operation_steps_finished_at CHECK ((finished_at IS NOT NULL) = (state = 'done'))
);
