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

// apiKeyStore keeps keys, each change in one transaction with its entry in the audit log. A key that does not
// exist is NotFound. Changes say whether they were made now: a request that was carried out before is given its
// answer again and changes nothing.
type apiKeyStore interface {
	CreateAPIKey(ctx context.Context, by Grant, key StoredKey) (made APIKey, isNew bool, err error)
	// RotateAPIKey gives the key another secret; the one before stays valid for overlap. NotActive when the key
	// is revoked or has expired.
	RotateAPIKey(
		ctx context.Context, by Grant, id uuid.UUID, hash string, overlap time.Duration,
	) (rotated APIKey, isNew bool, err error)
	// RevokeAPIKey ends the key; one that is revoked already stays as it is.
	RevokeAPIKey(ctx context.Context, by Grant, id uuid.UUID) (APIKey, error)
	APIKeys(ctx context.Context, filter APIKeyFilter) ([]APIKey, error)
}

// secretHasher turns a secret into what may be kept of it.
type secretHasher interface {
	Hash(ctx context.Context, secret Secret) (string, error)
}

// NewAPIKeys returns the use cases on the given store.
func NewAPIKeys(store apiKeyStore, hasher secretHasher) *APIKeys {
	return &APIKeys{store: store, hasher: hasher}
}

// IssuedKey is a key with the credential that was made for it, which is shown this once. A request that is sent
// again gets the key without it.
type IssuedKey struct {
	APIKey
	Credential *Credential
}

// Create makes a key. Errors: CodeUnauthenticated, CodeForbidden, CodeValidationFailed, and those of once.
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

// The overlap of a rotation: long enough to bring the new secret to wherever the old one is used.
const (
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 30 * 24 * time.Hour
)

// Rotate gives a key another secret; the one before stays valid for overlap, from 0 to MaxOverlap. Errors:
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

// Revoke ends a key, within a second everywhere and never later than ten. Safe to repeat. Errors:
// CodeUnauthenticated, CodeForbidden, CodeNotFound, and those of once.
func (k *APIKeys) Revoke(ctx context.Context, req Request, id uuid.UUID) (APIKey, error) {
	by, err := req.authorize(MayRevokeAPIKey)
	if err != nil {
		return APIKey{}, err
	}
	return k.store.RevokeAPIKey(ctx, by, id)
}

// List returns one page of keys, newest first, those that are no longer valid too, and the cursor of the next
// page: empty on the last. Errors: CodeUnauthenticated, CodeForbidden.
func (k *APIKeys) List(ctx context.Context, req Request, filter APIKeyFilter) ([]APIKey, string, error) {
	if _, err := req.authorize(MayListAPIKeys); err != nil {
		return nil, "", err
	}
	return onePage("list API keys", &filter.Page, func() ([]APIKey, error) { return k.store.APIKeys(ctx, filter) },
		func(key APIKey) uuid.UUID { return key.ID })
}
