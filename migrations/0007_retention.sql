-- +goose Up

-- Up to when all that was written is known to be archived.
ALTER TABLE backup_states ADD COLUMN archived_until timestamptz;
UPDATE backup_states SET archived_until = CASE WHEN unarchived_bytes = 0 THEN observed_at ELSE last_archived_at END;

-- When a base backup was begun last.
ALTER TABLE backup_states ADD COLUMN last_begun_at timestamptz;

-- Backups of databases that are being updated are looked at, too.
DROP INDEX databases_backed_up;
CREATE INDEX databases_backed_up ON databases (id)
    WHERE status IN ('ready', 'updating') AND (profile ->> 'BackupEnabled')::boolean;
