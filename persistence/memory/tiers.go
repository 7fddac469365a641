package memory

import (
	"context"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// tier returns the tier. Errors: CodeNotFound.
func (r *rows) tier(id uuid.UUID) (daap.Tier, error) {
	tier, found := r.tiers[id]
	if !found {
		return tier, daap.NotFound("tier")
	}
	return tier, nil
}

// chooseTier finds the tier by its ID or its name. Errors: CodeValidationFailed where there is none.
func (r *rows) chooseTier(named string) (daap.Tier, error) {
	id, _ := uuid.Parse(named)
	for _, tier := range r.tiers {
		if tier.Name == named || tier.ID == id {
			return tier, nil
		}
	}
	return daap.Tier{}, daap.TierNotFound()
}

// Tier returns the tier. Errors: CodeNotFound.
func (s *Store) Tier(ctx context.Context, id uuid.UUID) (daap.Tier, error) {
	return read(ctx, s, func(r *rows) (daap.Tier, error) { return r.tier(id) })
}

// Tiers returns the tiers that the filter chooses, newest first.
func (s *Store) Tiers(ctx context.Context, f daap.TierFilter) ([]daap.Tier, error) {
	return read(ctx, s, func(r *rows) ([]daap.Tier, error) {
		return newest(r.tiers, f.Page, func(daap.Tier) bool { return true }), nil
	})
}

// CreateTier records the tier. Errors: CodeNameTaken and those of once.
func (s *Store) CreateTier(ctx context.Context, by daap.Grant, t daap.Tier) (daap.Tier, error) {
	return once(ctx, s, by, func(r *rows) (daap.Tier, error) {
		for _, other := range r.tiers {
			if other.Name == t.Name {
				return daap.Tier{}, daap.TierNameTaken(t.Name)
			}
		}
		t.CreatedAt, t.UpdatedAt = r.now, r.now
		r.tiers[t.ID] = t
		r.log(by.Changed(theTier(t.ID), nil, tierFields(t)))
		return t, nil
	})
}

// PatchTier applies the patch. Errors: CodeNotFound, CodeValidationFailed, those of once.
func (s *Store) PatchTier(
	ctx context.Context, by daap.Grant, id uuid.UUID, patch daap.TierPatch, catalog daap.Catalog,
) (daap.Tier, error) {
	return once(ctx, s, by, func(r *rows) (daap.Tier, error) {
		was, err := r.tier(id)
		if err != nil {
			return was, err
		}
		t, err := patch.Apply(was, catalog)
		if err != nil {
			return t, err
		}
		t.UpdatedAt = r.now
		r.tiers[id] = t
		before, after := changed(tierFields(was), tierFields(t))
		r.log(by.Changed(theTier(id), before, after))
		return t, nil
	})
}

// DeleteTier removes the tier. Errors: CodeNotFound, CodeTierInUse, those of once.
func (s *Store) DeleteTier(ctx context.Context, by daap.Grant, id uuid.UUID) (daap.Tier, error) {
	return once(ctx, s, by, func(r *rows) (daap.Tier, error) {
		t, err := r.tier(id)
		if err != nil {
			return t, err
		}
		using := map[uuid.UUID]bool{}
		for _, db := range r.databases {
			if db.TierID != nil && *db.TierID == id {
				using[db.ID] = true
			}
		}
		for _, reserved := range r.reservations {
			if reserved.tier == id {
				using[reserved.database] = true
			}
		}
		if len(using) > 0 {
			return t, daap.TierInUse(len(using))
		}
		delete(r.tiers, id)
		delete(r.quotas, id)
		r.log(by.Changed(theTier(id), tierFields(t), nil))
		return t, nil
	})
}

// Destinations returns every place to which backups go or went, in alphabetical order.
func (s *Store) Destinations(ctx context.Context) ([]string, error) {
	return read(ctx, s, func(r *rows) ([]string, error) {
		all := map[string]bool{}
		for _, t := range r.tiers {
			all[t.ObjectStorageDestination] = all[t.ObjectStorageDestination] || t.BackupEnabled
		}
		for _, db := range r.databases {
			at := db.Profile.ObjectStorageDestination
			all[at] = all[at] || db.Profile.BackupEnabled
		}
		return sortedKeys(all), nil
	})
}

func theTier(id uuid.UUID) daap.Resource { return daap.Resource{Kind: daap.ResourceTier, ID: id} }

// tierFields are the fields of a tier as the audit log names them.
func tierFields(t daap.Tier) fields {
	all := t.Values()
	all["name"], all["description"] = t.Name, t.Description
	return all
}
