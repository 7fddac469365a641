package daap

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// Tiers are the use cases of tiers.
type Tiers struct {
	store        tierStore
	catalog      Catalog
	destinations destinations
}

// destinations checks locations for backups.
type destinations interface {
	// Probe returns nil if DAAP can write, list and delete there. CodeValidationFailed explains why it cannot;
	// CodeUnavailable means that the check could not run. It must bound its own time.
	Probe(ctx context.Context, destination string) error
}

// tierStore stores tiers. Each change and its audit log entry share one transaction. A missing tier is NotFound.
type tierStore interface {
	Tier(ctx context.Context, id uuid.UUID) (Tier, error)
	Tiers(ctx context.Context, filter TierFilter) ([]Tier, error)
	// CreateTier records the tier. NameTaken if another tier has its name.
	CreateTier(ctx context.Context, by Grant, t Tier) (Tier, error)
	// PatchTier applies the patch to the locked tier.
	PatchTier(ctx context.Context, by Grant, id uuid.UUID, patch TierPatch, catalog Catalog) (Tier, error)
	// DeleteTier removes the tier. TierInUse while databases have it.
	DeleteTier(ctx context.Context, by Grant, id uuid.UUID) (Tier, error)
	quotaStore
}

// quotaStore stores the quotas of tiers.
type quotaStore interface {
	TierQuota(ctx context.Context, id uuid.UUID) (QuotaUse, error)
	SetTierQuota(ctx context.Context, by Grant, id uuid.UUID, q Quota) (QuotaUse, error)
}

// NewTiers returns the use cases on the given store, for a platform that offers the catalog and stores backups at the
// destinations.
func NewTiers(store tierStore, catalog Catalog, destinations destinations) *Tiers {
	return &Tiers{store: store, catalog: catalog, destinations: destinations}
}

// TierView is a tier as visible to the caller. Full means that all fields are visible; a product team sees only the
// guarantees.
type TierView struct {
	Tier
	Full bool
}

func viewOf(by Grant) func(Tier) TierView {
	_, limited := by.Scope.Team()
	return func(t Tier) TierView { return TierView{Tier: t, Full: !limited} }
}

// Create creates a tier. For a tier with backups it checks their destination first. Errors: CodeUnauthenticated,
// CodeForbidden, CodeValidationFailed, CodeNameTaken, CodeUnavailable, and those of once.
func (t *Tiers) Create(ctx context.Context, req Request, spec TierSpec) (TierView, error) {
	by, err := req.authorize(MayCreateTier)
	if err != nil {
		return TierView{}, err
	}
	tier, err := spec.tier(t.catalog)
	if err != nil {
		return TierView{}, err
	}
	if tier.BackupEnabled {
		if err := t.destinations.Probe(ctx, tier.ObjectStorageDestination); err != nil {
			return TierView{}, err
		}
	}
	if tier.ID, err = uuid.NewV7(); err != nil {
		return TierView{}, fmt.Errorf("create a tier ID: %w", err)
	}
	made, err := t.store.CreateTier(ctx, by, tier)
	if err != nil {
		return TierView{}, fmt.Errorf("create tier %s: %w", spec.Name, err)
	}
	return viewOf(by)(made), nil
}

// Get returns one tier as visible to the caller. Errors: CodeUnauthenticated, CodeNotFound.
func (t *Tiers) Get(ctx context.Context, req Request, id uuid.UUID) (TierView, error) {
	by, err := req.authorize(MayGetTier)
	if err != nil {
		return TierView{}, err
	}
	tier, err := t.store.Tier(ctx, id)
	if err != nil {
		return TierView{}, err
	}
	return viewOf(by)(tier), nil
}

// List returns one page of tiers as visible to the caller, newest first, and the cursor of the next page: empty on the
// last. Errors: CodeUnauthenticated.
func (t *Tiers) List(ctx context.Context, req Request, filter TierFilter) ([]TierView, string, error) {
	by, err := req.authorize(MayListTiers)
	if err != nil {
		return nil, "", err
	}
	return onePage("list tiers", &filter.Page, func() ([]TierView, error) {
		tiers, err := t.store.Tiers(ctx, filter)
		views := make([]TierView, len(tiers))
		for i, tier := range tiers {
			views[i] = viewOf(by)(tier)
		}
		return views, err
	}, func(v TierView) uuid.UUID { return v.ID })
}

// Update applies a merge patch. Existing databases of the tier do not change. Errors: CodeUnauthenticated,
// CodeForbidden, CodeNotFound, CodeValidationFailed, CodeUnavailable, and those of once.
func (t *Tiers) Update(ctx context.Context, req Request, id uuid.UUID, patch TierPatch) (TierView, error) {
	by, err := req.authorize(MayUpdateTier)
	if err != nil {
		return TierView{}, err
	}
	if _, moves := patch[fieldDestination]; moves {
		if err := t.probe(ctx, id, patch); err != nil {
			return TierView{}, err
		}
	}
	tier, err := t.store.PatchTier(ctx, by, id, patch, t.catalog)
	if err != nil {
		return TierView{}, err
	}
	return viewOf(by)(tier), nil
}

// probe checks the backup destination that the tier has after the patch. All other checks of the patch come first,
// because a probe creates the bucket.
func (t *Tiers) probe(ctx context.Context, id uuid.UUID, patch TierPatch) error {
	tier, err := t.store.Tier(ctx, id)
	if err != nil {
		return err
	}
	if tier, err = patch.Apply(tier, t.catalog); err != nil || !tier.BackupEnabled {
		return err
	}
	return t.destinations.Probe(ctx, tier.ObjectStorageDestination)
}

// Delete removes a tier that no database has, and returns it. Errors: CodeUnauthenticated, CodeForbidden, CodeNotFound,
// CodeTierInUse, and those of once.
func (t *Tiers) Delete(ctx context.Context, req Request, id uuid.UUID) (TierView, error) {
	by, err := req.authorize(MayDeleteTier)
	if err != nil {
		return TierView{}, err
	}
	tier, err := t.store.DeleteTier(ctx, by, id)
	if err != nil {
		return TierView{}, err
	}
	return viewOf(by)(tier), nil
}
