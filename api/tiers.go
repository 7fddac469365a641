package api

import (
	"context"
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
	return &oas.TierListResponse{Data: each(tiers, tierToOAS), Error: noError, Meta: pageMeta(ctx, next)}, nil
}

// CreateTier creates a tier. POST /tiers
func (h *Handler) CreateTier(
	ctx context.Context, req *oas.CreateTierRequest, _ oas.CreateTierParams,
) (*oas.TierResponse, error) {
	tier, err := h.tiers.Create(ctx, h.requestOf(ctx), tierSpecFromOAS(req))
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
	tier, err := h.tiers.Update(ctx, h.requestOf(ctx), params.ID, tierPatchFromOAS(req))
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
	return &oas.TierResponse{Data: tierToOAS(tier), Error: noError, Meta: meta(ctx)}, nil
}

func tierSpecFromOAS(req *oas.CreateTierRequest) daap.TierSpec {
	return daap.TierSpec{
		Name:                req.Name,
		Description:         req.Description.Value,
		CPU:                 req.CPU,
		Memory:              req.Memory,
		StorageSize:         req.StorageSize,
		StorageClass:        req.StorageClass.Value,
		PGVersion:           req.PgVersion,
		Instances:           req.Instances.Value,
		HAReplicas:          req.HaReplicas.Value,
		MaxConnections:      req.MaxConnections.Value,
		PoolMode:            daap.PoolMode(req.PoolMode.Or(oas.PoolModeTransaction)),
		DestructionStrategy: daap.DestructionStrategy(req.DestructionStrategy),
		DeletionProtection:  req.DeletionProtection.Value,
		PGAuditLog:          each(req.PgauditLog, pgAuditClassFromOAS),
		Backups: daap.Backups{
			BackupEnabled:            req.BackupEnabled.Value,
			BackupFrequency:          req.BackupFrequency.Value,
			BackupRetentionDays:      req.BackupRetentionDays.Value,
			WALArchivingEnabled:      req.WalArchivingEnabled.Or(req.BackupEnabled.Value),
			ObjectStorageDestination: req.ObjectStorageDestination.Value,
		},
	}
}

func pgAuditClassToOAS(c daap.PGAuditClass) oas.PGAuditClass { return oas.PGAuditClass(c) }

func pgAuditClassFromOAS(c oas.PGAuditClass) daap.PGAuditClass { return daap.PGAuditClass(c) }

func tierPatchFromOAS(req oas.UpdateTierReq) daap.TierPatch {
	var body oas.UpdateTierRequest
	switch req := req.(type) {
	case *oas.UpdateTierApplicationJSON:
		body = oas.UpdateTierRequest(*req)
	case *oas.UpdateTierApplicationMergePatchJSON:
		body = oas.UpdateTierRequest(*req)
	}
	return daap.TierPatch{
		Description:         given(body.Description.Value, body.Description.Set),
		CPU:                 given(body.CPU.Value, body.CPU.Set),
		Memory:              given(body.Memory.Value, body.Memory.Set),
		StorageSize:         given(body.StorageSize.Value, body.StorageSize.Set),
		StorageClass:        given(body.StorageClass.Value, body.StorageClass.Set),
		PGVersion:           given(body.PgVersion.Value, body.PgVersion.Set),
		Instances:           given(body.Instances.Value, body.Instances.Set),
		HAReplicas:          given(body.HaReplicas.Value, body.HaReplicas.Set),
		MaxConnections:      given(body.MaxConnections.Value, body.MaxConnections.Set),
		PoolMode:            given(daap.PoolMode(body.PoolMode.Value), body.PoolMode.Set),
		DestructionStrategy: given(daap.DestructionStrategy(body.DestructionStrategy.Value), body.DestructionStrategy.Set),
		DeletionProtection:  given(body.DeletionProtection.Value, body.DeletionProtection.Set),
		PGAuditLog:          given(each(body.PgauditLog, pgAuditClassFromOAS), body.PgauditLog != nil),
		BackupsPatch: daap.BackupsPatch{
			BackupEnabled:            given(body.BackupEnabled.Value, body.BackupEnabled.Set),
			BackupFrequency:          given(body.BackupFrequency.Value, body.BackupFrequency.Set),
			BackupRetentionDays:      given(body.BackupRetentionDays.Value, body.BackupRetentionDays.Set),
			WALArchivingEnabled:      given(body.WalArchivingEnabled.Value, body.WalArchivingEnabled.Set),
			ObjectStorageDestination: given(body.ObjectStorageDestination.Value, body.ObjectStorageDestination.Set),
		},
	}
}

func tierToOAS(v daap.TierView) oas.TierView {
	promised := oas.Guarantees(v.Guarantees())
	if !v.Full {
		return oas.NewTierOfferTierView(oas.TierOffer{
			ID: v.ID, Name: v.Name, Description: v.Description, Guarantees: promised,
		})
	}
	s := v.Spec()
	return oas.NewTierTierView(oas.Tier{
		ID:                       v.ID,
		Name:                     s.Name,
		Description:              s.Description,
		Instances:                s.Instances,
		HaReplicas:               s.HAReplicas,
		CPU:                      s.CPU,
		Memory:                   s.Memory,
		StorageSize:              s.StorageSize,
		StorageClass:             s.StorageClass,
		PgVersion:                s.PGVersion,
		PoolMode:                 oas.PoolMode(s.PoolMode),
		MaxConnections:           s.MaxConnections,
		DestructionStrategy:      oas.DestructionStrategy(s.DestructionStrategy),
		DeletionProtection:       s.DeletionProtection,
		PgauditLog:               each(s.PGAuditLog, pgAuditClassToOAS),
		BackupEnabled:            s.BackupEnabled,
		BackupFrequency:          s.BackupFrequency,
		BackupRetentionDays:      s.BackupRetentionDays,
		WalArchivingEnabled:      s.WALArchivingEnabled,
		ObjectStorageDestination: s.ObjectStorageDestination,
		NextBackupAt:             nilTime(v.NextBackup(time.Now())),
		Guarantees:               promised,
		CreatedAt:                v.CreatedAt.UTC(),
		UpdatedAt:                v.UpdatedAt.UTC(),
	})
}
