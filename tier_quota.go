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

// Quota is how much all databases of a tier may have together; nil is no limit.
type Quota struct {
	MaxCPUCores, MaxMemoryGiB, MaxStorageGiB *float64
	MaxDatabases                             *int
}

// Cost is what a database takes of its tier's quota, or what all of them take.
type Cost struct {
	CPUMillis, MemoryBytes, StorageBytes, Databases int64
}

// Cost is what one database of the profile takes: CPU and memory of each instance, and the storage that it is promised.
func (p Profile) Cost() Cost {
	n := int64(p.Instances)
	return Cost{
		CPUMillis: n * p.CPU.MilliValue(), MemoryBytes: n * p.Memory.Value(),
		StorageBytes: p.StorageSize.Value(), Databases: 1,
	}
}

// CostOf is what a database of the profile takes that is of the status: a frozen one its volumes alone, an archived one
// nothing but its place in the number of databases, and one that is deleted, or not there yet, nothing.
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

// Beyond is what the cost is more than another one, by dimension; nothing where it is less. Databases do not count:
// it is the same one.
func (c Cost) Beyond(than Cost) Cost {
	return Cost{
		CPUMillis: max(0, c.CPUMillis-than.CPUMillis), MemoryBytes: max(0, c.MemoryBytes-than.MemoryBytes),
		StorageBytes: max(0, c.StorageBytes-than.StorageBytes),
	}
}

// plus and minus are by dimension.
func (c Cost) plus(other Cost) Cost {
	return Cost{
		c.CPUMillis + other.CPUMillis, c.MemoryBytes + other.MemoryBytes, c.StorageBytes + other.StorageBytes,
		c.Databases + other.Databases,
	}
}

func (c Cost) minus(other Cost) Cost {
	return c.plus(Cost{-other.CPUMillis, -other.MemoryBytes, -other.StorageBytes, -other.Databases})
}

// CPUCores is the CPU in cores.
func (c Cost) CPUCores() float64 { return float64(c.CPUMillis) / 1000 }

// MemoryGiB is the memory in GiB.
func (c Cost) MemoryGiB() float64 { return float64(c.MemoryBytes) / (1 << 30) }

// StorageGiB is the storage in GiB.
func (c Cost) StorageGiB() float64 { return float64(c.StorageBytes) / (1 << 30) }

// QuotaUse is a quota and how much of it is taken.
type QuotaUse struct {
	Quota
	Used Cost
}

// dimension is one of the things that a quota limits.
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

// OverCommitted says whether more is taken than the quota allows, as after it was lowered.
func (u QuotaUse) OverCommitted() bool {
	for _, d := range u.dimensions() {
		if d.limit != nil && d.used > *d.limit {
			return true
		}
	}
	return false
}

// Left is what is left of a limit: nil where there is none, and nothing where more is taken than that.
func Left(limit *float64, used float64) *float64 {
	if limit == nil {
		return nil
	}
	left := math.Max(0, *limit-used)
	return &left
}

// DatabasesLeft is how many more databases there may be; nil where there is no limit.
func (u QuotaUse) DatabasesLeft() *int {
	if u.MaxDatabases == nil {
		return nil
	}
	left := max(0, *u.MaxDatabases-int(u.Used.Databases))
	return &left
}

// Exceeded is the error for a database that would take more than is left: it names each dimension with its limit,
// what is used and what is asked for.
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

// maxLimit is the most that a limit can be; who needs more sets none.
const maxLimit = 1_000_000

// Quota returns the tier's quota and how much of it is taken. Errors: CodeUnauthenticated, CodeNotFound.
func (t *Tiers) Quota(ctx context.Context, req Request, id uuid.UUID) (QuotaUse, error) {
	if _, err := req.authorize(MayGetTierQuota); err != nil {
		return QuotaUse{}, err
	}
	return t.store.TierQuota(ctx, id)
}

// SetQuota sets the tier's quota, also below what is taken: that stays, and nothing is added. Errors:
// CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeValidationFailed, and those of once.
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

// QuotaCheck looks, again and again, whether the counters of tiers agree with the reservations and with the databases.
// Every API process runs one, and its health tells what was found.
type QuotaCheck struct {
	store  quotaChecker
	report func(error)
	mu     sync.Mutex
	found  error
}

type quotaChecker interface {
	// CheckQuotas is an ErrQuotaDrift that names the tiers at fault, where there are any.
	CheckQuotas(ctx context.Context) error
}

// ErrQuotaDrift says that the counters of tiers, the reservations and the databases do not agree.
var ErrQuotaDrift = errors.New("the recorded use of quotas does not match the databases")

// quotaCheckInterval is seldom: only a fault of the service makes quotas drift.
const quotaCheckInterval = 10 * time.Minute

// NewQuotaCheck returns a check that gives drift, and what keeps it from looking, to report.
func NewQuotaCheck(store quotaChecker, report func(error)) *QuotaCheck {
	return &QuotaCheck{store: store, report: report}
}

// Run checks at once, and from then on until ctx is done.
func (c *QuotaCheck) Run(ctx context.Context) {
	if err := c.Look(ctx); err != nil && ctx.Err() == nil {
		c.report(err)
	}
	Every(ctx, quotaCheckInterval, c.Look, c.report)
}

// Look checks once, and returns what it found or what kept it from looking.
func (c *QuotaCheck) Look(ctx context.Context) error {
	err := c.store.CheckQuotas(ctx)
	if err == nil || errors.Is(err, ErrQuotaDrift) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.found = err
	}
	return err
}

// Probe returns the drift that was last found; nil before the first look.
func (c *QuotaCheck) Probe(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.found
}
