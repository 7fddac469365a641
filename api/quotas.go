package api

import (
	"context"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// GetTierQuota returns a tier's quota and its use. GET /tiers/{id}/quota
func (h *Handler) GetTierQuota(ctx context.Context, params oas.GetTierQuotaParams) (*oas.TierQuotaResponse, error) {
	use, err := h.tiers.Quota(ctx, h.requestOf(ctx), params.ID)
	return quotaResponse(ctx, use, err)
}

// SetTierQuota sets a tier's quota. PUT /tiers/{id}/quota
func (h *Handler) SetTierQuota(
	ctx context.Context, req *oas.SetTierQuotaRequest, params oas.SetTierQuotaParams,
) (*oas.TierQuotaResponse, error) {
	use, err := h.tiers.SetQuota(ctx, h.requestOf(ctx), params.ID, daap.Quota{
		MaxCPUCores:   floatOf(req.MaxCPUCores),
		MaxMemoryGiB:  floatOf(req.MaxMemoryGib),
		MaxStorageGiB: floatOf(req.MaxStorageGib),
		MaxDatabases:  given(req.MaxDatabases.Value, req.MaxDatabases.Set && !req.MaxDatabases.Null),
	})
	return quotaResponse(ctx, use, err)
}

func quotaResponse(ctx context.Context, use daap.QuotaUse, err error) (*oas.TierQuotaResponse, error) {
	if err != nil {
		return nil, err
	}
	return &oas.TierQuotaResponse{Data: quotaToOAS(use), Error: noError, Meta: meta(ctx)}, nil
}

func quotaToOAS(u daap.QuotaUse) oas.TierQuota {
	return oas.TierQuota{
		Limits: oas.QuotaLimits{
			CPUCores: nilFloat(u.MaxCPUCores), MemoryGib: nilFloat(u.MaxMemoryGiB), StorageGib: nilFloat(u.MaxStorageGiB),
			Databases: nilInt(u.MaxDatabases),
		},
		Used: oas.QuotaUsed{
			CPUCores: u.Used.CPUCores(), MemoryGib: u.Used.MemoryGiB(), StorageGib: u.Used.StorageGiB(),
			Databases: int(u.Used.Databases),
		},
		Left: oas.QuotaLimits{
			CPUCores:   nilFloat(daap.Left(u.MaxCPUCores, u.Used.CPUCores())),
			MemoryGib:  nilFloat(daap.Left(u.MaxMemoryGiB, u.Used.MemoryGiB())),
			StorageGib: nilFloat(daap.Left(u.MaxStorageGiB, u.Used.StorageGiB())),
			Databases:  nilInt(u.DatabasesLeft()),
		},
		OverCommitted: u.OverCommitted(),
	}
}

func floatOf(f oas.OptNilFloat64) *float64 { return given(f.Value, f.Set && !f.Null) }

func nilFloat(f *float64) oas.NilFloat64 {
	if f == nil {
		return oas.NilFloat64{Null: true}
	}
	return oas.NewNilFloat64(*f)
}

func nilInt(n *int) oas.NilInt {
	if n == nil {
		return oas.NilInt{Null: true}
	}
	return oas.NewNilInt(*n)
}
