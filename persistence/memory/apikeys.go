package memory

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// key returns the key, with its old secret only while that is valid.
func (r *rows) key(id uuid.UUID) (key daap.StoredKey, found bool) {
	key, found = r.keys[id]
	if key.OldSecretUntil != nil && !key.OldSecretUntil.After(r.now) {
		key.OldSecretUntil, key.OldHash = nil, ""
	}
	return key, found
}

// CreateAPIKey records the key. isNew is false for a repeated request. Errors: CodeValidationFailed where it has
// expired already, those of once.
func (s *Store) CreateAPIKey(
	ctx context.Context, by daap.Grant, key daap.StoredKey,
) (made daap.APIKey, isNew bool, err error) {
	made, err = once(ctx, s, by, func(r *rows) (daap.APIKey, error) {
		isNew = true
		key.CreatedAt, key.ExpiresAt, key.CreatedBy = r.now, precise(key.ExpiresAt), storable(key.CreatedBy)
		if key.ExpiresAt != nil && !key.ExpiresAt.After(r.now) {
			return made, daap.Invalid(daap.Detail{Field: "expires_at", Message: "must be in the future"})
		}
		r.keys[key.ID] = key
		r.log(by.Changed(theKey(key.ID), nil, fields{
			"name": key.Name, "team": key.Team, "role": key.Role, "expires_at": key.ExpiresAt,
		}))
		return key.APIKey, nil
	})
	return made, isNew, err
}

// RotateAPIKey gives the key another secret; the one before stays valid for overlap. isNew is false for a repeated
// request. Errors: CodeNotFound, CodeKeyNotActive, those of once.
func (s *Store) RotateAPIKey(
	ctx context.Context, by daap.Grant, id uuid.UUID, hash string, overlap time.Duration,
) (rotated daap.APIKey, isNew bool, err error) {
	rotated, err = once(ctx, s, by, func(r *rows) (daap.APIKey, error) {
		isNew = true
		key, found := r.key(id)
		if !found {
			return daap.APIKey{}, daap.NotFound("API key")
		}
		if why := key.Refusal(r.now); why != "" {
			return daap.APIKey{}, daap.KeyNotActive(why)
		}
		before := key.OldSecretUntil
		key.OldHash, key.OldSecretUntil = "", nil
		if overlap > 0 {
			key.OldHash, key.OldSecretUntil = key.Hash, new(r.now.Add(overlap))
		}
		key.Hash, key.RotatedAt = hash, new(r.now)
		r.keys[id] = key
		r.log(by.Changed(theKey(id),
			fields{"old_secret_until": before}, fields{"old_secret_until": key.OldSecretUntil}))
		return key.APIKey, nil
	})
	return rotated, isNew, err
}

// RevokeAPIKey ends the key; a revoked one stays as it is. Errors: CodeNotFound, those of once.
func (s *Store) RevokeAPIKey(ctx context.Context, by daap.Grant, id uuid.UUID) (daap.APIKey, error) {
	return once(ctx, s, by, func(r *rows) (daap.APIKey, error) {
		key, found := r.key(id)
		if !found {
			return daap.APIKey{}, daap.NotFound("API key")
		}
		before := key.RevokedAt
		if key.RevokedAt == nil {
			key.RevokedAt = new(r.now)
		}
		key.OldHash, key.OldSecretUntil = "", nil
		r.keys[id] = key
		r.log(by.Changed(theKey(id), fields{"revoked_at": before}, fields{"revoked_at": key.RevokedAt}))
		return key.APIKey, nil
	})
}

// APIKeys returns the keys that the filter chooses, newest first.
func (s *Store) APIKeys(ctx context.Context, f daap.APIKeyFilter) ([]daap.APIKey, error) {
	return read(ctx, s, func(r *rows) ([]daap.APIKey, error) {
		all := make(map[uuid.UUID]daap.APIKey, len(r.keys))
		for id := range r.keys {
			key, _ := r.key(id)
			all[id] = key.APIKey
		}
		return newest(all, f.Page, func(key daap.APIKey) bool { return f.Team == "" || key.Team == f.Team }), nil
	})
}

// StoredKey returns the key with its hashes, and whether there is one.
func (s *Store) StoredKey(ctx context.Context, id uuid.UUID) (key daap.StoredKey, found bool, err error) {
	key, err = read(ctx, s, func(r *rows) (k daap.StoredKey, err error) {
		k, found = r.key(id)
		return k, nil
	})
	return key, found, err
}

// TouchAPIKey records that the key was used now, at most once a minute.
func (s *Store) TouchAPIKey(ctx context.Context, id uuid.UUID) error {
	return s.change(ctx, func(r *rows) error {
		key, found := r.keys[id]
		if found && (key.LastUsedAt == nil || key.LastUsedAt.Before(r.now.Add(-time.Minute))) {
			key.LastUsedAt = new(r.now)
			r.keys[id] = key
		}
		return nil
	})
}

// RehashAPIKey replaces one of the hashes of the key where it is still the one before.
func (s *Store) RehashAPIKey(ctx context.Context, id uuid.UUID, before, after string) error {
	return s.change(ctx, func(r *rows) error {
		key, found := r.keys[id]
		if !found {
			return nil
		}
		if key.Hash == before {
			key.Hash = after
		}
		if key.OldHash == before {
			key.OldHash = after
		}
		r.keys[id] = key
		return nil
	})
}

func theKey(id uuid.UUID) daap.Resource { return daap.Resource{Kind: daap.ResourceAPIKey, ID: id} }
