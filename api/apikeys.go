package api

import (
	"context"
	"time"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// ListAPIKeys returns one page of API keys without their secrets. GET /api-keys
func (h *Handler) ListAPIKeys(ctx context.Context, params oas.ListAPIKeysParams) (*oas.APIKeyListResponse, error) {
	page, err := daap.ParsePage(params.Limit.Value, params.Cursor.Value)
	if err != nil {
		return nil, err
	}
	filter := daap.APIKeyFilter{Team: string(params.Team.Value), Page: page}
	keys, next, err := h.apiKeys.List(ctx, h.requestOf(ctx), filter)
	if err != nil {
		return nil, err
	}
	return &oas.APIKeyListResponse{Data: each(keys, apiKeyToOAS), Error: noError, Meta: pageMeta(ctx, next)}, nil
}

// CreateAPIKey creates a key and returns its secret once. POST /api-keys
func (h *Handler) CreateAPIKey(
	ctx context.Context, req *oas.CreateAPIKeyRequest, _ oas.CreateAPIKeyParams,
) (*oas.IssuedAPIKeyResponse, error) {
	issued, err := h.apiKeys.Create(ctx, h.requestOf(ctx), apiKeySpecFromOAS(req))
	if err != nil {
		return nil, err
	}
	return &oas.IssuedAPIKeyResponse{Data: issuedToOAS(issued), Error: noError, Meta: meta(ctx)}, nil
}

// RevokeAPIKey revokes a key. DELETE /api-keys/{id}
func (h *Handler) RevokeAPIKey(ctx context.Context, params oas.RevokeAPIKeyParams) (*oas.APIKeyResponse, error) {
	key, err := h.apiKeys.Revoke(ctx, h.requestOf(ctx), params.ID)
	if err != nil {
		return nil, err
	}
	return &oas.APIKeyResponse{Data: apiKeyToOAS(key), Error: noError, Meta: meta(ctx)}, nil
}

// RotateAPIKey gives a key a new secret and returns it once. POST /api-keys/{id}/rotate
func (h *Handler) RotateAPIKey(
	ctx context.Context, req *oas.RotateAPIKeyRequest, params oas.RotateAPIKeyParams,
) (*oas.IssuedAPIKeyResponse, error) {
	overlap := daap.DefaultOverlap
	if seconds, given := req.OverlapSeconds.Get(); given {
		overlap = time.Duration(seconds) * time.Second
	}
	issued, err := h.apiKeys.Rotate(ctx, h.requestOf(ctx), params.ID, overlap)
	if err != nil {
		return nil, err
	}
	return &oas.IssuedAPIKeyResponse{Data: issuedToOAS(issued), Error: noError, Meta: meta(ctx)}, nil
}

func apiKeySpecFromOAS(req *oas.CreateAPIKeyRequest) daap.APIKeySpec {
	spec := daap.APIKeySpec{Name: req.Name, Team: string(req.Team), Role: daap.Role(req.Role)}
	if at, given := req.ExpiresAt.Get(); given {
		spec.ExpiresAt = &at
	}
	return spec
}

func apiKeyToOAS(k daap.APIKey) oas.APIKey {
	return oas.APIKey{
		ID:             k.ID,
		Prefix:         k.Prefix(),
		Name:           k.Name,
		Team:           k.Team,
		Role:           oas.Role(k.Role),
		Status:         apiKeyStatus(k, time.Now()),
		CreatedBy:      k.CreatedBy,
		CreatedAt:      k.CreatedAt.UTC(),
		ExpiresAt:      nilTime(k.ExpiresAt),
		RevokedAt:      nilTime(k.RevokedAt),
		RotatedAt:      nilTime(k.RotatedAt),
		OldSecretUntil: nilTime(k.OldSecretUntil),
		LastUsedAt:     nilTime(k.LastUsedAt),
	}
}

func apiKeyStatus(k daap.APIKey, now time.Time) oas.APIKeyStatus {
	switch {
	case k.RevokedAt != nil:
		return oas.APIKeyStatusRevoked
	case k.Refusal(now) != "":
		return oas.APIKeyStatusExpired
	}
	return oas.APIKeyStatusActive
}

func issuedToOAS(issued daap.IssuedKey) oas.IssuedAPIKey {
	shown := oas.NilString{Null: true}
	if issued.Credential != nil {
		shown = oas.NewNilString(issued.Credential.Reveal())
	}
	return oas.IssuedAPIKey{Key: shown, APIKey: apiKeyToOAS(issued.APIKey)}
}
