package daap

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Quota limits the total resources of a tier's databases; nil means no limit.
type Quota struct {
	MaxCPUCores, MaxMemoryGiB, MaxStorageGiB *float64
	MaxDatabases                             *int
}

// Cost is the quota use of one database or of all databases.
type Cost struct {
	CPUMillis, MemoryBytes, StorageBytes, Databases int64
}

// Cost returns the quota use of one database with the profile: CPU and memory of each instance, and the promised
// storage.
func (p Profile) Cost() Cost {
	n := int64(p.Instances)
	return Cost{
		CPUMillis: n * p.CPU.MilliValue(), MemoryBytes: n * p.Memory.Value(),
		StorageBytes: p.StorageSize.Value(), Databases: 1,
	}
}

// CostOf returns the quota use of a database with the profile and status: a frozen database counts with its storage
// alone, an archived one only in the number of databases, and one that is deleted or does not exist yet not at all.
func (p Profile) CostOf(status DatabaseStatus) Cost {
	switch cost := p.Cost(); status {
	case "", DatabaseDeleted:
		return Cost{}
	case DatabaseFrozen:
		return Cost{StorageBytes: cost.StorageBytes, Databases: cost.Databases}
	case DatabaseArchived:
		return Cost{Databases: cost.Databases}
	default:
		return cost
	}
}

// ExcessOver returns by how much the cost exceeds another, per dimension; zero where it does not. The number of
// databases does not count: both are the same database.
func (c Cost) ExcessOver(than Cost) Cost {
	return Cost{
		CPUMillis: max(0, c.CPUMillis-than.CPUMillis), MemoryBytes: max(0, c.MemoryBytes-than.MemoryBytes),
		StorageBytes: max(0, c.StorageBytes-than.StorageBytes),
	}
}

// plus and minus work per dimension.
func (c Cost) plus(other Cost) Cost {
	return Cost{
		c.CPUMillis + other.CPUMillis, c.MemoryBytes + other.MemoryBytes, c.StorageBytes + other.StorageBytes,
		c.Databases + other.Databases,
	}
}

func (c Cost) minus(other Cost) Cost {
	return c.plus(Cost{-other.CPUMillis, -other.MemoryBytes, -other.StorageBytes, -other.Databases})
}

// CPUCores returns the CPU in cores.
func (c Cost) CPUCores() float64 { return float64(c.CPUMillis) / 1000 }

// MemoryGiB returns the memory in GiB.
func (c Cost) MemoryGiB() float64 { return float64(c.MemoryBytes) / (1 << 30) }

// StorageGiB returns the storage in GiB.
func (c Cost) StorageGiB() float64 { return float64(c.StorageBytes) / (1 << 30) }

// QuotaUse is a quota and its use.
type QuotaUse struct {
	Quota
	Used Cost
}

// dimension is one of the limited resources.
type dimension struct {
	name, unit string
	limit      *float64
	used       float64
}

func (u QuotaUse) dimensions() []dimension {
	var databases *float64
	if u.MaxDatabases != nil {
		n := float64(*u.MaxDatabases)
		databases = &n
	}
	return []dimension{
		{"cpu", "cores", u.MaxCPUCores, u.Used.CPUCores()},
		{"memory", "GiB", u.MaxMemoryGiB, u.Used.MemoryGiB()},
		{"storage", "GiB", u.MaxStorageGiB, u.Used.StorageGiB()},
		{"databases", "databases", databases, float64(u.Used.Databases)},
	}
}

// OverCommitted reports whether the use exceeds the quota, for example after it was lowered.
func (u QuotaUse) OverCommitted() bool {
	for _, d := range u.dimensions() {
		if d.limit != nil && d.used > *d.limit {
			return true
		}
	}
	return false
}

// Left returns the unused part of a limit: nil if there is no limit, and 0 if the use exceeds it.
func Left(limit *float64, used float64) *float64 {
	if limit == nil {
		return nil
	}
	left := math.Max(0, *limit-used)
	return &left
}

// DatabasesLeft returns how many databases can be added; nil if there is no limit.
func (u QuotaUse) DatabasesLeft() *int {
	if u.MaxDatabases == nil {
		return nil
	}
	left := max(0, *u.MaxDatabases-int(u.Used.Databases))
	return &left
}

// Exceeded is the error for a database that does not fit: it lists each exceeded dimension with its limit, use and the
// requested amount.
func (u QuotaUse) Exceeded(tier string, asked Cost) *Error {
	e := &Error{
		Code: CodeQuotaExceeded,
		Message: fmt.Sprintf("The quota of tier %s has no room for this; choose another tier, delete a database, or ask "+
			"the platform team for a larger quota.", tier),
	}
	wanted := QuotaUse{Used: asked}.dimensions()
	for i, d := range u.dimensions() {
		if d.limit != nil && wanted[i].used > 0 && d.used+wanted[i].used > *d.limit {
			e.Details = append(e.Details, Detail{Field: d.name, Message: fmt.Sprintf(
				"has a limit of %s %s; %s are in use, and the request needs %s",
				number(*d.limit), d.unit, number(d.used), number(wanted[i].used))})
		}
	}
	return e
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// Validate returns an Error of CodeValidationFailed that names every field at fault, or nil.
func (q Quota) Validate() error {
	var c checks
	for field, limit := range map[string]*float64{
		"max_cpu_cores": q.MaxCPUCores, "max_memory_gib": q.MaxMemoryGiB, "max_storage_gib": q.MaxStorageGiB,
	} {
		if limit != nil && (*limit < 0 || *limit > maxLimit || math.IsNaN(*limit)) {
			c.fail(field, "must be a number from 0 to %d, or null for no limit", maxLimit)
		}
	}
	if n := q.MaxDatabases; n != nil && (*n < 0 || *n > maxLimit) {
		c.fail("max_databases", "must be a whole number from 0 to %d, or null for no limit", maxLimit)
	}
	return c.err()
}

// maxLimit is the maximum of a limit; set none for more.
const maxLimit = 1_000_000

// Quota returns the tier's quota and its use. Errors: CodeUnauthenticated, CodeNotFound.
func (t *Tiers) Quota(ctx context.Context, req Request, id uuid.UUID) (QuotaUse, error) {
	if _, err := req.authorize(MayGetTierQuota); err != nil {
		return QuotaUse{}, err
	}
	return t.store.TierQuota(ctx, id)
}

// SetQuota sets the tier's quota. A limit below the use is accepted: existing databases stay, and none can be added.
// Errors: CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeValidationFailed, and those of once.
func (t *Tiers) SetQuota(ctx context.Context, req Request, id uuid.UUID, q Quota) (QuotaUse, error) {
	by, err := req.authorize(MaySetTierQuota)
	if err != nil {
		return QuotaUse{}, err
	}
	if err := q.Validate(); err != nil {
		return QuotaUse{}, err
	}
	return t.store.SetTierQuota(ctx, by, id, q)
}

// QuotaCheck periodically checks that the tiers' counters match the reservations and the databases. Every API process
// runs one and reports the result in its health.
type QuotaCheck struct {
	store  quotaChecker
	report func(error)
	mu     sync.Mutex
	found  error
}

type quotaChecker interface {
	// CheckQuotas returns an ErrQuotaDrift that names the tiers at fault, if there are any.
	CheckQuotas(ctx context.Context) error
}

// ErrQuotaDrift means that the tiers' counters, the reservations and the databases do not match.
var ErrQuotaDrift = errors.New("the recorded use of quotas does not match the databases")

// quotaCheckInterval is long: only a fault of the service makes quotas drift.
const quotaCheckInterval = 10 * time.Minute

// NewQuotaCheck returns a check that passes drift and its own failures to report.
func NewQuotaCheck(store quotaChecker, report func(error)) *QuotaCheck {
	return &QuotaCheck{store: store, report: report}
}

// Run checks immediately and then periodically until ctx is done.
func (c *QuotaCheck) Run(ctx context.Context) {
	if err := c.Check(ctx); err != nil && ctx.Err() == nil {
		c.report(err)
	}
	Every(ctx, quotaCheckInterval, c.Check, c.report)
}

// Check checks once and returns the drift, or why the check failed.
func (c *QuotaCheck) Check(ctx context.Context) error {
	err := c.store.CheckQuotas(ctx)
	if err == nil || errors.Is(err, ErrQuotaDrift) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.found = err
	}
	return err
}

// Probe returns the drift that was last found; nil before the first check.
func (c *QuotaCheck) Probe(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.found
}
