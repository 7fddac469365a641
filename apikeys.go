package daap

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// APIKeys are the use cases of API keys.
type APIKeys struct {
	store  apiKeyStore
	hasher secretHasher
}

// apiKeyStore stores keys. Each change and its audit log entry share one transaction. A missing key is NotFound.
// Changes report whether they happened now: a repeated request gets its first answer and changes nothing.
type apiKeyStore interface {
	CreateAPIKey(ctx context.Context, by Grant, key StoredKey) (made APIKey, isNew bool, err error)
	// RotateAPIKey gives the key a new secret; the previous one stays valid for overlap. NotActive if the key is revoked
	// or has expired.
	RotateAPIKey(
		ctx context.Context, by Grant, id uuid.UUID, hash string, overlap time.Duration,
	) (rotated APIKey, isNew bool, err error)
	// RevokeAPIKey revokes the key; a revoked key does not change.
	RevokeAPIKey(ctx context.Context, by Grant, id uuid.UUID) (APIKey, error)
	APIKeys(ctx context.Context, filter APIKeyFilter) ([]APIKey, error)
}

// secretHasher computes the stored hash of a secret.
type secretHasher interface {
	Hash(ctx context.Context, secret Secret) (string, error)
}

// NewAPIKeys returns the use cases on the given store.
func NewAPIKeys(store apiKeyStore, hasher secretHasher) *APIKeys {
	return &APIKeys{store: store, hasher: hasher}
}

// IssuedKey is a key with its new credential, which is returned only once. A repeated request gets the key without it.
type IssuedKey struct {
	APIKey
	Credential *Credential
}

// Create creates a key. Errors: CodeUnauthenticated, CodeForbidden, CodeValidationFailed, and those of once.
func (k *APIKeys) Create(ctx context.Context, req Request, spec APIKeySpec) (IssuedKey, error) {
	by, err := req.authorize(MayCreateAPIKey)
	if err != nil {
		return IssuedKey{}, err
	}
	if err := spec.Validate(time.Now()); err != nil {
		return IssuedKey{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return IssuedKey{}, fmt.Errorf("create an API key ID: %w", err)
	}
	credential := Credential{KeyID: id, Secret: NewSecret()}
	hash, err := k.hasher.Hash(ctx, credential.Secret)
	if err != nil {
		return IssuedKey{}, fmt.Errorf("hash a secret: %w", err)
	}
	key := APIKey{
		ID: id, Name: spec.Name, Team: spec.Team, Role: spec.Role, ExpiresAt: spec.ExpiresAt, CreatedBy: by.Caller.String(),
	}
	made, isNew, err := k.store.CreateAPIKey(ctx, by, StoredKey{APIKey: key, Hash: hash})
	return issued(made, credential, isNew, err, "create")
}

// The overlap of a rotation, in which clients switch to the new secret.
const (
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 30 * 24 * time.Hour
)

// Rotate gives a key a new secret; the previous one stays valid for overlap, from 0 to MaxOverlap. Errors:
// CodeUnauthenticated, CodeForbidden, CodeValidationFailed, CodeNotFound, CodeKeyNotActive, and those of once.
func (k *APIKeys) Rotate(ctx context.Context, req Request, id uuid.UUID, overlap time.Duration) (IssuedKey, error) {
	by, err := req.authorize(MayRotateAPIKey)
	if err != nil {
		return IssuedKey{}, err
	}
	if overlap < 0 || overlap > MaxOverlap {
		return IssuedKey{}, Invalid(Detail{Field: "overlap_seconds", Message: "must be a whole number from 0 to 2592000"})
	}
	credential := Credential{KeyID: id, Secret: NewSecret()}
	hash, err := k.hasher.Hash(ctx, credential.Secret)
	if err != nil {
		return IssuedKey{}, fmt.Errorf("hash a secret: %w", err)
	}
	made, isNew, err := k.store.RotateAPIKey(ctx, by, id, hash, overlap)
	return issued(made, credential, isNew, err, "rotate")
}

func issued(key APIKey, credential Credential, isNew bool, err error, doing string) (IssuedKey, error) {
	if err != nil {
		return IssuedKey{}, fmt.Errorf("%s API key %s: %w", doing, credential.KeyID, err)
	}
	if !isNew {
		return IssuedKey{APIKey: key}, nil
	}
	return IssuedKey{APIKey: key, Credential: &credential}, nil
}

// Revoke revokes a key everywhere, typically within a second and at most after ten. Safe to repeat. Errors:
// CodeUnauthenticated, CodeForbidden, CodeNotFound, and those of once.
func (k *APIKeys) Revoke(ctx context.Context, req Request, id uuid.UUID) (APIKey, error) {
	by, err := req.authorize(MayRevokeAPIKey)
	if err != nil {
		return APIKey{}, err
	}
	return k.store.RevokeAPIKey(ctx, by, id)
}

// List returns one page of keys, newest first, including revoked and expired ones, and the cursor of the next page:
// empty on the last. Errors: CodeUnauthenticated, CodeForbidden.
func (k *APIKeys) List(ctx context.Context, req Request, filter APIKeyFilter) ([]APIKey, string, error) {
	if _, err := req.authorize(MayListAPIKeys); err != nil {
		return nil, "", err
	}
	return onePage("list API keys", &filter.Page, func() ([]APIKey, error) { return k.store.APIKeys(ctx, filter) },
		func(key APIKey) uuid.UUID { return key.ID })
}
