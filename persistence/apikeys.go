package persistence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// keyChanges is the channel on which PostgreSQL notifies about rotated and revoked keys, by ID.
const keyChanges = "daap_api_keys"

// selectAPIKeys has the old secret only while its time is not over.
//
//nolint:gosec // it names columns of hashes; there is no secret in it
const selectAPIKeys = `
	SELECT k.id, k.name, k.team, k.role, k.created_by, k.created_at, k.expires_at, k.revoked_at, k.rotated_at,
	       CASE WHEN k.old_secret_until > now() THEN k.old_secret_until END, k.last_used_at,
	       k.hash, CASE WHEN k.old_secret_until > now() THEN k.old_hash ELSE '' END
	FROM   api_keys k`

// CreateAPIKey records the key. A repeated request gets its first answer, and isNew is false. Errors:
// CodeValidationFailed if it would already have expired, those of answerOnce.
func (s *Store) CreateAPIKey(
	ctx context.Context, by daap.Grant, key daap.StoredKey,
) (made daap.APIKey, isNew bool, err error) {
	made, err = answerOnce(ctx, s, by, func(tx pgx.Tx) (daap.APIKey, error) {
		isNew = true
		made := key.APIKey
		err := tx.QueryRow(ctx, `
			INSERT INTO api_keys (id, name, team, role, hash, created_by, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7)
			RETURNING created_at, expires_at`,
			key.ID, key.Name, key.Team, key.Role, key.Hash, storable(key.CreatedBy), key.ExpiresAt,
		).Scan(&made.CreatedAt, &made.ExpiresAt)
		if err != nil {
			return made, err
		}
		return made, addAudit(ctx, tx, by.Changed(theKey(made.ID), nil, fields{
			"name": made.Name, "team": made.Team, "role": made.Role, "expires_at": made.ExpiresAt,
		}))
	})
	if violates(err, expiryOfKey) { // time may have passed since the check
		err = daap.Invalid(daap.Detail{Field: "expires_at", Message: "must be in the future"})
	}
	return made, isNew, because(err, "create API key")
}

// RotateAPIKey gives the key a new secret; the previous one stays valid for overlap. A repeated request gets its first
// answer, and isNew is false. Errors: CodeNotFound, CodeKeyNotActive, those of answerOnce.
func (s *Store) RotateAPIKey(
	ctx context.Context, by daap.Grant, id uuid.UUID, hash string, overlap time.Duration,
) (rotated daap.APIKey, isNew bool, err error) {
	rotated, err = answerOnce(ctx, s, by, func(tx pgx.Tx) (daap.APIKey, error) {
		isNew = true
		key, err := lockAPIKey(ctx, tx, id)
		if err != nil {
			return key, err
		}
		if why := key.Refusal(time.Now()); why != "" {
			return key, daap.KeyNotActive(why)
		}
		until := key.OldSecretUntil
		err = tx.QueryRow(ctx, `
			UPDATE api_keys
			SET    old_hash = CASE WHEN $3 > interval '0' THEN hash END,
			       old_secret_until = CASE WHEN $3 > interval '0' THEN now() + $3 END,
			       hash = $2, rotated_at = now()
			WHERE  id = $1
			RETURNING rotated_at, old_secret_until`, id, hash, overlap).Scan(&key.RotatedAt, &key.OldSecretUntil)
		if err != nil {
			return key, err
		}
		return key, tellOfKey(ctx, tx, id, by.Changed(theKey(id),
			fields{"old_secret_until": until}, fields{"old_secret_until": key.OldSecretUntil}))
	})
	return rotated, isNew, because(err, "rotate API key")
}

// RevokeAPIKey revokes the key; a revoked key does not change. Errors: CodeNotFound, those of answerOnce.
func (s *Store) RevokeAPIKey(ctx context.Context, by daap.Grant, id uuid.UUID) (daap.APIKey, error) {
	key, err := answerOnce(ctx, s, by, func(tx pgx.Tx) (daap.APIKey, error) {
		key, err := lockAPIKey(ctx, tx, id)
		if err != nil {
			return key, err
		}
		was := key.RevokedAt
		err = tx.QueryRow(ctx, `
			UPDATE api_keys SET revoked_at = COALESCE(revoked_at, now()), old_hash = NULL, old_secret_until = NULL
			WHERE  id = $1
			RETURNING revoked_at`, id).Scan(&key.RevokedAt)
		if err != nil {
			return key, err
		}
		key.OldSecretUntil = nil
		return key, tellOfKey(ctx, tx, id, by.Changed(theKey(id),
			fields{"revoked_at": was}, fields{"revoked_at": key.RevokedAt}))
	})
	return key, because(err, "revoke API key")
}

// tellOfKey adds an audit log entry and, with the commit, notifies every process that the key changed.
func tellOfKey(ctx context.Context, tx pgx.Tx, id uuid.UUID, e daap.AuditEntry) error {
	if _, err := tx.Exec(ctx, `SELECT pg_notify($1, $2)`, keyChanges, id.String()); err != nil {
		return fmt.Errorf("notify of the change: %w", err)
	}
	return addAudit(ctx, tx, e)
}

// theKey identifies a key in the audit log.
func theKey(id uuid.UUID) daap.Resource { return daap.Resource{Kind: daap.ResourceAPIKey, ID: id} }

func lockAPIKey(ctx context.Context, tx pgx.Tx, id uuid.UUID) (daap.APIKey, error) {
	rows, _ := tx.Query(ctx, selectAPIKeys+` WHERE k.id = $1 FOR UPDATE`, id) // Collect returns its error
	key, err := pgx.CollectExactlyOneRow(rows, scanStoredKey)
	if err != nil {
		return daap.APIKey{}, missing(err, "lock API key", "API key")
	}
	return key.APIKey, nil
}

// APIKeys returns the keys that the filter selects, newest first, at most one page.
func (s *Store) APIKeys(ctx context.Context, f daap.APIKeyFilter) ([]daap.APIKey, error) {
	var w filter
	if f.Team != "" {
		w.andWith(`k.team = $`, f.Team)
	}
	if f.Page.After != uuid.Nil {
		w.andWith(`k.id < $`, f.Page.After)
	}
	sql := selectAPIKeys + w.where() + ` ORDER BY k.id DESC LIMIT ` + w.placeholder(f.Page.Limit)
	rows, _ := s.pool.Query(ctx, sql, w.args...) // Collect returns its error
	keys, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (daap.APIKey, error) {
		key, err := scanStoredKey(row)
		return key.APIKey, err
	})
	if err != nil {
		return nil, because(err, "read API keys")
	}
	return keys, nil
}

// StoredKey returns the key with its hashes, and whether it exists; the old secret's hash only while it is valid.
func (s *Store) StoredKey(ctx context.Context, id uuid.UUID) (daap.StoredKey, bool, error) {
	rows, _ := s.pool.Query(ctx, selectAPIKeys+` WHERE k.id = $1`, id) // Collect returns its error
	key, err := pgx.CollectExactlyOneRow(rows, scanStoredKey)
	if errors.Is(err, pgx.ErrNoRows) {
		return daap.StoredKey{}, false, nil
	}
	return key, err == nil, because(err, "read API key")
}

// TouchAPIKey records the use of the key, at most once a minute.
func (s *Store) TouchAPIKey(ctx context.Context, id uuid.UUID) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE api_keys SET last_used_at = now()
		WHERE  id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')`, id)
	return because(err, "record the use of an API key")
}

// RehashAPIKey replaces one of the key's hashes if it is unchanged.
func (s *Store) RehashAPIKey(ctx context.Context, id uuid.UUID, before, after string) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE api_keys
		SET    hash = CASE WHEN hash = $2 THEN $3 ELSE hash END,
		       old_hash = CASE WHEN old_hash = $2 THEN $3 ELSE old_hash END
		WHERE  id = $1 AND $2 IN (hash, old_hash)`, id, before, after)
	return because(err, "replace the hash of an API key")
}

func scanStoredKey(row pgx.CollectableRow) (daap.StoredKey, error) {
	var k daap.StoredKey
	err := row.Scan(&k.ID, &k.Name, &k.Team, &k.Role, &k.CreatedBy, &k.CreatedAt, &k.ExpiresAt, &k.RevokedAt,
		&k.RotatedAt, &k.OldSecretUntil, &k.LastUsedAt, &k.Hash, &k.OldHash)
	return k, err
}
