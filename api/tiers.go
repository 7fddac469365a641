package api

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// ListTiers returns one page of tiers as visible to the caller. GET /tiers
func (h *Handler) ListTiers(ctx context.Context, params oas.ListTiersParams) (*oas.TierListResponse, error) {
	page, err := daap.ParsePage(params.Limit.Value, params.Cursor.Value)
	if err != nil {
		return nil, err
	}
	tiers, next, err := h.tiers.List(ctx, h.requestOf(ctx), daap.TierFilter{Page: page})
	if err != nil {
		return nil, err
	}
	data := make([]oas.TierView, len(tiers))
	for i, tier := range tiers {
		if data[i], err = tierToOAS(tier); err != nil {
			return nil, err
		}
	}
	return &oas.TierListResponse{Data: data, Error: noError, Meta: pageMeta(ctx, next)}, nil
}

// CreateTier creates a tier. POST /tiers
func (h *Handler) CreateTier(
	ctx context.Context, req *oas.CreateTierRequest, _ oas.CreateTierParams,
) (*oas.TierResponse, error) {
	spec, err := tierSpecFromOAS(req)
	if err != nil {
		return nil, err
	}
	tier, err := h.tiers.Create(ctx, h.requestOf(ctx), spec)
	return tierResponse(ctx, tier, err)
}

// GetTier returns one tier as visible to the caller. GET /tiers/{id}
func (h *Handler) GetTier(ctx context.Context, params oas.GetTierParams) (*oas.TierResponse, error) {
	tier, err := h.tiers.Get(ctx, h.requestOf(ctx), params.ID)
	return tierResponse(ctx, tier, err)
}

// UpdateTier applies a merge patch. PATCH /tiers/{id}
func (h *Handler) UpdateTier(
	ctx context.Context, req oas.UpdateTierReq, params oas.UpdateTierParams,
) (*oas.TierResponse, error) {
	patch, err := tierPatchFromOAS(req)
	if err != nil {
		return nil, err
	}
	tier, err := h.tiers.Update(ctx, h.requestOf(ctx), params.ID, patch)
	return tierResponse(ctx, tier, err)
}

// DeleteTier deletes a tier. DELETE /tiers/{id}
func (h *Handler) DeleteTier(ctx context.Context, params oas.DeleteTierParams) (*oas.TierResponse, error) {
	tier, err := h.tiers.Delete(ctx, h.requestOf(ctx), params.ID)
	return tierResponse(ctx, tier, err)
}

func tierResponse(ctx context.Context, tier daap.TierView, err error) (*oas.TierResponse, error) {
	if err != nil {
		return nil, err
	}
	data, err := tierToOAS(tier)
	if err != nil {
		return nil, err
	}
	return &oas.TierResponse{Data: data, Error: noError, Meta: meta(ctx)}, nil
}

// tierSpecFromOAS and tierPatchFromOAS hand the body on as it is: its fields are those of daap.TierFields, and the
// domain reads them by that list.
func tierSpecFromOAS(req *oas.CreateTierRequest) (daap.TierSpec, error) {
	fields, err := tierFieldsFromOAS(req)
	delete(fields, "name")
	return daap.TierSpec{Name: req.Name, Fields: fields}, err
}

func tierPatchFromOAS(req oas.UpdateTierReq) (daap.TierPatch, error) {
	var body oas.UpdateTierRequest
	switch req := req.(type) {
	case *oas.UpdateTierApplicationJSON:
		body = oas.UpdateTierRequest(*req)
	case *oas.UpdateTierApplicationMergePatchJSON:
		body = oas.UpdateTierRequest(*req)
	}
	return tierFieldsFromOAS(&body)
}

func tierFieldsFromOAS(body json.Marshaler) (daap.TierPatch, error) {
	raw, err := body.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encode the fields of a tier: %w", err)
	}
	var fields daap.TierPatch
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("decode the fields of a tier: %w", err)
	}
	return fields, nil
}

func tierToOAS(v daap.TierView) (oas.TierView, error) {
	promised := oas.Guarantees(v.Guarantees())
	if !v.Full {
		return oas.NewTierOfferTierView(oas.TierOffer{
			ID: v.ID, Name: v.Name, Description: v.Description, Guarantees: promised,
		}), nil
	}
	next := nilTime(v.NextBackup(time.Now()))
	all := v.Values()
	maps.Copy(all, map[string]any{
		"id": v.ID, "name": v.Name, "description": v.Description, "guarantees": &promised, "next_backup_at": &next,
		"created_at": v.CreatedAt.UTC(), "updated_at": v.UpdatedAt.UTC(),
	})
	raw, err := json.Marshal(all)
	if err != nil {
		return oas.TierView{}, fmt.Errorf("encode tier %s: %w", v.ID, err)
	}
	var tier oas.Tier
	if err := tier.UnmarshalJSON(raw); err != nil {
		return oas.TierView{}, fmt.Errorf("decode tier %s: %w", v.ID, err)
	}
	return oas.NewTierTierView(tier), nil
}
