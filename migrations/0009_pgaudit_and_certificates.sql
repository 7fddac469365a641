-- +goose Up

-- What pgAudit writes to the log of PostgreSQL. The CHECKs repeat the rules of package daap.
ALTER TABLE tiers
    ADD COLUMN pgaudit_log text[] NOT NULL DEFAULT '{ddl,role}',
    ADD CONSTRAINT tiers_pgaudit_log CHECK (
        pgaudit_log <@ ARRAY['ddl', 'role', 'read', 'write', 'function', 'misc', 'misc_set', 'all']),
    ADD CONSTRAINT tiers_pgaudit_log_always CHECK (pgaudit_log @> '{ddl,role}');

-- When the CA certificate ends that connections to a database are verified by; that in use comes first in
-- ca_certificate. Null until it is looked at.
ALTER TABLE databases ADD COLUMN ca_expires_at timestamptz;

-- Some things happen to a database that no operation did.
ALTER TABLE events ALTER COLUMN operation_id DROP NOT NULL;
