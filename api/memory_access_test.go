package api_test

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// keyring knows who the bearers of a few keys are.
type keyring map[string]daap.Caller

// The keys that the tests send; the platform team's where they say nothing.
const (
	platformKey = "platform-key"
	shopKey     = "shop-key"
	billingKey  = "billing-key"
	eagerKey    = "eager-key"
)

var callers = keyring{
	platformKey: {KeyID: uuid.New(), KeyName: "alice", Team: "platform", Role: daap.RolePlatformTeam},
	shopKey:     {KeyID: uuid.New(), KeyName: "bob", Team: "shop", Role: daap.RoleProductTeam},
	billingKey:  {KeyID: uuid.New(), KeyName: "carol", Team: "billing", Role: daap.RoleProductTeam},
}

func (k keyring) Authenticate(_ context.Context, presented, _ string) (daap.Caller, error) {
	if presented == eagerKey {
		return daap.Caller{}, daap.RateLimited("Too many requests.", 1500*time.Millisecond)
	}
	if caller, known := k[presented]; known {
		return caller, nil
	}
	return daap.Caller{}, daap.Unauthenticated("The API key is not valid.")
}

// fixedHash stands for argon2.
type fixedHash struct{}

func (fixedHash) Hash(context.Context, daap.Secret) (string, error) { return "$argon2id$", nil }

func theKey(id uuid.UUID) daap.Resource { return daap.Resource{Kind: daap.ResourceAPIKey, ID: id} }

func (m *memory) CreateAPIKey(
	ctx context.Context, by daap.Grant, key daap.StoredKey,
) (made daap.APIKey, isNew bool, err error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return made, false, err
	}
	made, err = answerOnce(m, by, theKey(key.ID), func() (daap.APIKey, error) {
		isNew = true
		key.CreatedAt = time.Now()
		m.keys[key.ID] = key
		return key.APIKey, nil
	})
	return made, isNew, err
}

func (m *memory) RotateAPIKey(
	ctx context.Context, by daap.Grant, id uuid.UUID, hash string, overlap time.Duration,
) (rotated daap.APIKey, isNew bool, err error) {
	rotated, err = m.changeKey(ctx, by, id, func(key *daap.StoredKey) error {
		isNew = true
		if why := key.Refusal(time.Now()); why != "" {
			return daap.KeyNotActive(why)
		}
		now := time.Now()
		until := now.Add(overlap)
		key.RotatedAt, key.OldSecretUntil, key.Hash = &now, &until, hash
		return nil
	})
	return rotated, isNew, err
}

func (m *memory) RevokeAPIKey(ctx context.Context, by daap.Grant, id uuid.UUID) (daap.APIKey, error) {
	return m.changeKey(ctx, by, id, func(key *daap.StoredKey) error {
		now := time.Now()
		key.RevokedAt = &now
		return nil
	})
}

func (m *memory) changeKey(
	ctx context.Context, by daap.Grant, id uuid.UUID, change func(*daap.StoredKey) error,
) (daap.APIKey, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return daap.APIKey{}, err
	}
	return answerOnce(m, by, theKey(id), func() (daap.APIKey, error) {
		key, known := m.keys[id]
		if !known {
			return key.APIKey, daap.NotFound("API key")
		}
		err := change(&key)
		m.keys[id] = key
		return key.APIKey, err
	})
}

func (m *memory) APIKeys(ctx context.Context, filter daap.APIKeyFilter) ([]daap.APIKey, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	var keys []daap.APIKey
	for _, key := range pageOf(m.keys, filter.Page, func(k daap.StoredKey) bool {
		return filter.Team == "" || k.Team == filter.Team
	}) {
		keys = append(keys, key.APIKey)
	}
	return keys, nil
}

// Add takes the entry of a request that changed nothing.
func (m *memory) Add(e daap.AuditEntry) {
	defer m.mu.Unlock()
	m.mu.Lock()
	m.log = append(m.log, e)
}

// logged returns the audit log and begins a new one.
func (m *memory) logged() []daap.AuditEntry {
	defer m.mu.Unlock()
	m.mu.Lock()
	log := m.log
	m.log = nil
	return log
}

func (m *memory) AuditEntries(ctx context.Context, filter daap.AuditFilter) ([]daap.AuditEntry, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	if m.failAfter--; m.failAfter == 0 {
		return nil, errors.New("lost on its way")
	}
	entries := make(map[uuid.UUID]daap.AuditEntry, len(m.log))
	for i, e := range slices.Clone(m.log) {
		e.ID[0], e.ID[14], e.ID[15] = 1, byte(i>>8), byte(i) // in order, as those of PostgreSQL are
		entries[e.ID] = e
	}
	return pageOf(entries, filter.Page, func(e daap.AuditEntry) bool {
		return filter.Action == "" || e.Action == filter.Action
	}), nil
}
