-- +goose Up

-- Who may use the API. Of a secret there is nothing but its argon2id hash.
CREATE TABLE api_keys (
    id               uuid        PRIMARY KEY,
    name             text        NOT NULL,
    team             text        NOT NULL,
    role             text        NOT NULL,
    hash             text        NOT NULL,
    old_hash         text,
    old_secret_until timestamptz,
    created_by       text        NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    expires_at       timestamptz,
    revoked_at       timestamptz,
    rotated_at       timestamptz,
    last_used_at     timestamptz,

    CONSTRAINT api_keys_name CHECK (length(name) BETWEEN 3 AND 40 AND name ~ '^[a-z](-?[a-z0-9])*$'),
    CONSTRAINT api_keys_team CHECK (length(team) BETWEEN 2 AND 40 AND team ~ '^[a-z](-?[a-z0-9])*$'),
    CONSTRAINT api_keys_role CHECK (role IN ('platform-team', 'product-team')),
    CONSTRAINT api_keys_hash CHECK (hash LIKE '$argon2id$%'),
    CONSTRAINT api_keys_old_hash CHECK (old_hash LIKE '$argon2id$%'),
    CONSTRAINT api_keys_old_secret CHECK ((old_hash IS NULL) = (old_secret_until IS NULL)),
    CONSTRAINT api_keys_created_by CHECK (created_by <> ''),
    CONSTRAINT api_keys_expires_at CHECK (expires_at > created_at),
    CONSTRAINT api_keys_rotated CHECK (old_hash IS NULL OR rotated_at IS NOT NULL)
);

CREATE INDEX api_keys_of_team ON api_keys (team, id);

-- Who asked for the operation, from where: what its workflow changes is in the audit log under that name.
ALTER TABLE operations ADD COLUMN origin jsonb;

-- Each team has its own keys for its requests.
ALTER TABLE idempotency_keys
    ADD COLUMN team text NOT NULL DEFAULT '',
    DROP CONSTRAINT idempotency_keys_pkey,
    ADD PRIMARY KEY (team, key);

-- Who did what. The ids are in order of time, so that lists and bounds of time go by them.
CREATE TABLE audit_log (
    id            uuid        PRIMARY KEY,
    at            timestamptz NOT NULL,
    actor         text,
    key_id        uuid,
    team          text,
    role          text,
    request_id    text,
    address       text,
    action        text        NOT NULL,
    resource_kind text,
    resource_id   uuid,
    outcome       text        NOT NULL,
    status        integer     NOT NULL DEFAULT 0,
    before        jsonb,
    after         jsonb,

    -- What the sealer cannot read would keep it from sealing all that follows.
    CONSTRAINT audit_log_at CHECK (isfinite(at)),
    CONSTRAINT audit_log_fields CHECK (jsonb_typeof(before) = 'object' AND jsonb_typeof(after) = 'object'),
    CONSTRAINT audit_log_action CHECK (action ~ '^[A-Za-z_.]+$'),
    CONSTRAINT audit_log_resource CHECK (resource_id IS NULL OR resource_kind IS NOT NULL),
    CONSTRAINT audit_log_outcome CHECK (outcome IN ('succeeded', 'replayed', 'refused', 'failed')),
    CONSTRAINT audit_log_status CHECK (status = 0 OR status BETWEEN 100 AND 599)
);

CREATE INDEX audit_log_by_team     ON audit_log (team, id);
CREATE INDEX audit_log_by_key      ON audit_log (key_id, id);
CREATE INDEX audit_log_by_action   ON audit_log (action, id);
CREATE INDEX audit_log_by_resource ON audit_log (resource_id, id);
CREATE INDEX audit_log_by_outcome  ON audit_log (outcome, id);

-- The entries that are not in the chain yet: a trigger notes each, so that no writer can forget to.
CREATE TABLE audit_unsealed (
    entry_id uuid PRIMARY KEY
);

-- The chain over the entries: each hash is over the one before and its entry.
CREATE TABLE audit_chain (
    position bigint PRIMARY KEY,
    entry_id uuid   NOT NULL UNIQUE,
    hash     bytea  NOT NULL,

    CONSTRAINT audit_chain_position CHECK (position >= 1),
    CONSTRAINT audit_chain_hash CHECK (length(hash) = 32)
);

-- +goose StatementBegin
CREATE FUNCTION audit_note_unsealed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_unsealed (entry_id) VALUES (NEW.id);
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER audit_log_unsealed AFTER INSERT ON audit_log
    FOR EACH ROW EXECUTE FUNCTION audit_note_unsealed();

-- +goose StatementBegin
CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'entries of % are only ever added', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
-- +goose StatementEnd

CREATE TRIGGER audit_log_stays BEFORE UPDATE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_chain_stays BEFORE UPDATE OR TRUNCATE ON audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();

-- How long entries are kept; for the owner alone to change.
CREATE TABLE audit_retention (
    only_row boolean  PRIMARY KEY DEFAULT true,
    keep     interval NOT NULL,

    CONSTRAINT audit_retention_only_row CHECK (only_row),
    CONSTRAINT audit_retention_keep CHECK (keep >= interval '1 day')
);
INSERT INTO audit_retention (keep) VALUES (interval '365 days');

-- Lets go of the oldest entries that were kept for their time, at most batch of them, and says how many. The seal of
-- the last that went stays as the beginning of the chain. It belongs to the owner, as the service's role may remove
-- nothing. The lock is the sealer's: one at a time. Only the first seal may be without its entry; another one is where
-- the chain was broken, and it and all after it stay to tell so.
-- +goose StatementBegin
CREATE FUNCTION audit_forget(batch integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    cutoff timestamptz := now() - (SELECT keep FROM audit_retention);
    upto   bigint;
    gone   integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock(1684107380) THEN
        RETURN 0;
    END IF;
    -- Only the prefix: an entry that is younger keeps all after it.
    SELECT max(position) INTO upto FROM (
        SELECT c.position, bool_and(COALESCE(l.at < cutoff, c.first)) OVER (ORDER BY c.position) AS old
        FROM  (SELECT position, entry_id, row_number() OVER (ORDER BY position) = 1 AS first
               FROM   audit_chain ORDER BY position LIMIT batch) c
        LEFT   JOIN audit_log l ON l.id = c.entry_id) prefix
    WHERE old;
    DELETE FROM audit_log WHERE id IN (SELECT entry_id FROM audit_chain WHERE position <= upto);
    GET DIAGNOSTICS gone = ROW_COUNT;
    DELETE FROM audit_chain WHERE position < upto;
    RETURN gone;
END $$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION audit_forget(integer) FROM PUBLIC;
