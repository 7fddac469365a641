package memory

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// reservation is what an operation has reserved in the quota of a tier.
type reservation struct {
	database, tier uuid.UUID
	cost           daap.Cost
}

// use returns the quota of the tier and the sum of its reservations.
func (r *rows) use(tier uuid.UUID) daap.QuotaUse {
	return daap.QuotaUse{Quota: r.quotas[tier], Used: r.sum(func(of reservation) bool { return of.tier == tier })}
}

// sum adds up the reservations that match.
func (r *rows) sum(match func(reservation) bool) (sum daap.Cost) {
	for _, one := range r.reservations {
		if match(one) {
			sum.CPUMillis += one.cost.CPUMillis
			sum.MemoryBytes += one.cost.MemoryBytes
			sum.StorageBytes += one.cost.StorageBytes
			sum.Databases += one.cost.Databases
		}
	}
	return sum
}

// TierQuota returns the quota of the tier and its use. Errors: CodeNotFound.
func (s *Store) TierQuota(ctx context.Context, id uuid.UUID) (daap.QuotaUse, error) {
	return read(ctx, s, func(r *rows) (daap.QuotaUse, error) {
		if _, err := r.tier(id); err != nil {
			return daap.QuotaUse{}, err
		}
		return r.use(id), nil
	})
}

// SetTierQuota sets the quota of the tier. Errors: CodeNotFound, those of once.
func (s *Store) SetTierQuota(
	ctx context.Context, by daap.Grant, id uuid.UUID, quota daap.Quota,
) (daap.QuotaUse, error) {
	return once(ctx, s, by, func(r *rows) (daap.QuotaUse, error) {
		if _, err := r.tier(id); err != nil {
			return daap.QuotaUse{}, err
		}
		before, after := changed(quotaFields(r.quotas[id]), quotaFields(quota))
		r.quotas[id] = quota
		r.log(by.Changed(theTier(id), before, after))
		return r.use(id), nil
	})
}

func quotaFields(q daap.Quota) fields {
	return fields{
		"max_cpu_cores": q.MaxCPUCores, "max_memory_gib": q.MaxMemoryGiB, "max_storage_gib": q.MaxStorageGiB,
		"max_databases": q.MaxDatabases,
	}
}

// reserve takes the cost from the quota of the tier. A dimension that is not asked for always has room. Errors:
// CodeQuotaExceeded.
func (r *rows) reserve(tier daap.Tier, op daap.Operation, asked daap.Cost) error {
	use := r.use(tier.ID)
	var databases *float64
	if use.MaxDatabases != nil {
		databases = new(float64(*use.MaxDatabases))
	}
	const gib = 1 << 30
	if exceeds(use.Used.CPUMillis, asked.CPUMillis, use.MaxCPUCores, 1000) ||
		exceeds(use.Used.MemoryBytes, asked.MemoryBytes, use.MaxMemoryGiB, gib) ||
		exceeds(use.Used.StorageBytes, asked.StorageBytes, use.MaxStorageGiB, gib) ||
		exceeds(use.Used.Databases, asked.Databases, databases, 1) {
		return use.Exceeded(tier.Name, asked)
	}
	r.reservations[op.ID] = reservation{op.DatabaseID, tier.ID, asked}
	return nil
}

// exceeds compares exactly, as PostgreSQL's numeric does: a limit is the decimal number that people wrote.
func exceeds(used, asked int64, limit *float64, unit int64) bool {
	if limit == nil || asked == 0 {
		return false
	}
	allowed, _ := new(big.Rat).SetString(strconv.FormatFloat(*limit, 'f', -1, 64))
	return new(big.Rat).SetInt64(used+asked).Cmp(allowed.Mul(allowed, new(big.Rat).SetInt64(unit))) > 0
}

// reserveMore takes what the database costs more after the operation than before it. Errors: CodeQuotaExceeded.
func (r *rows) reserveMore(db daap.Database, op daap.Operation) error {
	before, after := op.Cost(db.Profile)
	more := after.ExcessOver(before)
	if more == (daap.Cost{}) {
		return nil
	}
	return r.reserve(daap.Tier{ID: *db.TierID, Name: db.Tier}, op, more)
}

// keepAfter records the quota use after an operation that changes it, regardless of the limits.
func (r *rows) keepAfter(op daap.Operation) {
	db := r.databases[op.DatabaseID]
	before, after := op.Cost(db.Profile)
	if op.Kind.Makes() || after == before || after == (daap.Cost{}) {
		return
	}
	r.releaseDatabase(op.DatabaseID)
	r.reservations[op.ID] = reservation{op.DatabaseID, *db.TierID, after}
}

// releaseDatabase gives back all reservations of the database.
func (r *rows) releaseDatabase(id uuid.UUID) {
	for op, reserved := range r.reservations {
		if reserved.database == id {
			delete(r.reservations, op)
		}
	}
}

// CheckQuotas compares the reservations with the databases, including those on their way to another tier. Its
// ErrQuotaDrift names the tiers at fault.
func (s *Store) CheckQuotas(ctx context.Context) error {
	_, err := read(ctx, s, func(r *rows) (any, error) {
		has := map[uuid.UUID]int64{}
		for _, db := range r.databases {
			if db.TierID != nil {
				has[*db.TierID]++
			}
		}
		for _, op := range r.operations {
			if tier := r.databases[op.DatabaseID].TierID; op.Tier != nil && op.State.Open() && *tier != op.Tier.ID {
				has[op.Tier.ID]++
			}
		}
		var drifted []string
		for id, tier := range r.tiers {
			if r.use(id).Used.Databases != has[id] {
				drifted = append(drifted, tier.Name)
			}
		}
		if len(drifted) > 0 {
			slices.Sort(drifted)
			return nil, fmt.Errorf("%w: those of tiers %v", daap.ErrQuotaDrift, drifted)
		}
		return nil, nil
	})
	return err
}
