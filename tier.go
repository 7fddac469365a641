package daap

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Tier is a kind of database that the platform team offers: product teams pick one by its name.
type Tier struct {
	// ID is a UUIDv7, so that order by ID is order of creation.
	ID          uuid.UUID
	Name        string
	Description string
	Profile
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Profile is the configuration that a database gets from its tier. Each database keeps its own copy: later changes of
// the tier do not affect it.
type Profile struct {
	// Instances is the number of PostgreSQL servers, including the primary.
	Instances int
	// HAReplicas is the number of standbys that confirm each commit; less than Instances.
	HAReplicas int
	// CPU, Memory and StorageSize are per instance.
	CPU, Memory, StorageSize resource.Quantity
	// StorageClass is the storage class of the volumes; empty means the platform's default.
	StorageClass string
	// PGVersion is a PostgreSQL major version that the platform offers.
	PGVersion string
	PoolMode  PoolMode
	// MaxConnections is the maximum number of PostgreSQL connections; clients of the pool share them.
	MaxConnections      int
	DestructionStrategy DestructionStrategy
	// DeletionProtection is the initial deletion protection of new databases.
	DeletionProtection bool
	// PGAuditLog lists the statement classes that pgAudit logs, including ddl and role.
	PGAuditLog []PGAuditClass
	Backups
}

// PoolMode is PgBouncer's pool mode: how long a client keeps a server connection.
type PoolMode string

// The pool modes.
const (
	PoolSession     PoolMode = "session"
	PoolTransaction PoolMode = "transaction"
)

// PoolModes returns all pool modes.
func PoolModes() []PoolMode { return []PoolMode{PoolSession, PoolTransaction} }

// DestructionStrategy determines how a database is deleted.
type DestructionStrategy string

// The destruction strategies.
const (
	StrategyFreeze     DestructionStrategy = "freeze"
	StrategyArchive    DestructionStrategy = "archive"
	StrategyHardDelete DestructionStrategy = "hard_delete"
)

// DestructionStrategies returns all destruction strategies.
func DestructionStrategies() []DestructionStrategy {
	return []DestructionStrategy{StrategyFreeze, StrategyArchive, StrategyHardDelete}
}

// bound is the inclusive range of a quantity; text is the rule for people.
type bound struct {
	min, max resource.Quantity
	text     string
}

// The bounds of an instance: from the minimum that PostgreSQL needs to the maximum of a node. The API's contract
// carries the same texts as x-rule.
var (
	cpuBound     = newBound("100m", "128", "must be a number of CPU cores from 100m to 128, such as 500m or 2")
	memoryBound  = newBound("256Mi", "1Ti", "must be a memory size from 256Mi to 1Ti, such as 512Mi or 4Gi")
	storageBound = newBound("1Gi", "64Ti", "must be a storage size from 1Gi to 64Ti, such as 10Gi")
)

func newBound(from, to, text string) bound {
	return bound{resource.MustParse(from), resource.MustParse(to), text}
}

// The bounds of a tier's numbers.
const (
	MaxInstances      = 9
	MinMaxConnections = 10
	MaxMaxConnections = 10_000
)

// TierSpec describes a requested tier, with quantities as in Kubernetes.
type TierSpec struct {
	Name        string
	Description string
	CPU, Memory, StorageSize,
	StorageClass, PGVersion string
	Instances, HAReplicas, MaxConnections int
	PoolMode                              PoolMode
	DestructionStrategy                   DestructionStrategy
	DeletionProtection                    bool
	// PGAuditLog lists the classes that pgAudit logs; empty means the classes that are always logged.
	PGAuditLog []PGAuditClass
	Backups
}

// Catalog maps the PostgreSQL major versions that the platform offers to their images.
type Catalog map[string]string

// Versions returns the versions, oldest first.
func (c Catalog) Versions() []string {
	return slices.SortedFunc(maps.Keys(c), compareVersions)
}

// compareVersions orders major versions, which are numbers without leading zeros, oldest first.
func compareVersions(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// tier returns the tier that the spec describes, or an Error of CodeValidationFailed that names every field at fault.
func (s TierSpec) tier(catalog Catalog) (Tier, error) {
	var c checks
	t := Tier{Name: s.Name, Description: s.Description, Profile: Profile{
		Instances: s.Instances, HAReplicas: s.HAReplicas, StorageClass: s.StorageClass, PGVersion: s.PGVersion,
		PoolMode: s.PoolMode, MaxConnections: s.MaxConnections, DestructionStrategy: s.DestructionStrategy,
		DeletionProtection: s.DeletionProtection, Backups: s.Backups,
	}}
	c.name("name", s.Name, NameRule)
	c.text("description", s.Description, maxDescription)
	// The stored form: millicores and bytes, rounded up like Kubernetes, in canonical notation.
	cpu := c.quantity("cpu", s.CPU, cpuBound)
	memory := c.quantity("memory", s.Memory, memoryBound)
	storage := c.quantity("storage_size", s.StorageSize, storageBound)
	t.CPU = *resource.NewMilliQuantity(cpu.MilliValue(), resource.DecimalSI)
	t.Memory = *resource.NewQuantity(memory.Value(), resource.BinarySI)
	t.StorageSize = *resource.NewQuantity(storage.Value(), resource.BinarySI)
	t.PGAuditLog = c.pgAudit(s.PGAuditLog)
	c.profile(t.Profile, catalog)
	return t, c.err()
}

// profile checks the fields that are not quantities.
func (c *checks) profile(p Profile, catalog Catalog) {
	if p.Instances < 1 || p.Instances > MaxInstances {
		c.fail("instances", "must be a whole number from 1 to %d", MaxInstances)
	}
	if p.HAReplicas < 0 || p.HAReplicas >= max(1, p.Instances) {
		c.fail("ha_replicas", "must be a whole number from 0 to one less than instances")
	}
	if p.StorageClass != "" && (len(p.StorageClass) > maxDNSName || !dnsName.MatchString(p.StorageClass)) {
		c.fail("storage_class", "must be the name of a Kubernetes storage class, or empty for the platform's default")
	}
	if _, offered := catalog[p.PGVersion]; !offered {
		c.fail("pg_version", "must be a version that the platform offers: %s", strings.Join(catalog.Versions(), ", "))
	}
	if !slices.Contains(PoolModes(), p.PoolMode) {
		c.fail("pool_mode", "must be session or transaction")
	}
	if p.MaxConnections < MinMaxConnections || p.MaxConnections > MaxMaxConnections {
		c.fail("max_connections", "must be a whole number from %d to %d", MinMaxConnections, MaxMaxConnections)
	}
	if !slices.Contains(DestructionStrategies(), p.DestructionStrategy) {
		c.fail("destruction_strategy", "must be freeze, archive or hard_delete")
	}
	if p.DestructionStrategy == StrategyArchive && !p.BackupEnabled {
		c.fail("destruction_strategy", "must not be archive if backup_enabled is false: there would be no archive")
	}
	c.backups(p.Backups)
}

// plainQuantity matches the quantities that can be within bounds. Others are not even compared: for the exponent in
// 1e99999999 alone, Kubernetes' arithmetic takes minutes and gigabytes.
var plainQuantity = regexp.MustCompile(`^[0-9]{0,18}\.?[0-9]{0,18}([numkKMGTPE]i?|[eE][0-9]{1,2})?$`)

// quantity parses a quantity of Kubernetes; the zero quantity if it is invalid or out of bounds.
func (c *checks) quantity(field, text string, b bound) resource.Quantity {
	if plainQuantity.MatchString(text) {
		if q, err := resource.ParseQuantity(text); err == nil && q.Cmp(b.min) >= 0 && q.Cmp(b.max) <= 0 {
			return q
		}
	}
	c.fail(field, "%s", b.text)
	return resource.Quantity{}
}

// TierPatch is a JSON merge patch of a tier: nil fields stay.
type TierPatch struct {
	Description, CPU, Memory, StorageSize, StorageClass, PGVersion *string
	Instances, HAReplicas, MaxConnections                          *int
	PoolMode                                                       *PoolMode
	DestructionStrategy                                            *DestructionStrategy
	DeletionProtection                                             *bool
	PGAuditLog                                                     *[]PGAuditClass
	BackupsPatch
}

// Apply returns the tier with the patch applied, or an Error of CodeValidationFailed and the tier unchanged.
func (p TierPatch) Apply(t Tier, catalog Catalog) (Tier, error) {
	s := t.Spec()
	set(&s.Description, p.Description)
	set(&s.CPU, p.CPU)
	set(&s.Memory, p.Memory)
	set(&s.StorageSize, p.StorageSize)
	set(&s.StorageClass, p.StorageClass)
	set(&s.PGVersion, p.PGVersion)
	set(&s.Instances, p.Instances)
	set(&s.HAReplicas, p.HAReplicas)
	set(&s.MaxConnections, p.MaxConnections)
	set(&s.PoolMode, p.PoolMode)
	set(&s.DestructionStrategy, p.DestructionStrategy)
	set(&s.DeletionProtection, p.DeletionProtection)
	set(&s.PGAuditLog, p.PGAuditLog)
	p.apply(&s.Backups)
	patched, err := s.tier(catalog)
	if err != nil {
		return t, err
	}
	patched.ID, patched.CreatedAt, patched.UpdatedAt = t.ID, t.CreatedAt, t.UpdatedAt
	return patched, nil
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// Spec returns the spec of the tier.
func (t Tier) Spec() TierSpec {
	return TierSpec{
		Name: t.Name, Description: t.Description,
		CPU: t.CPU.String(), Memory: t.Memory.String(), StorageSize: t.StorageSize.String(),
		StorageClass: t.StorageClass, PGVersion: t.PGVersion,
		Instances: t.Instances, HAReplicas: t.HAReplicas, MaxConnections: t.MaxConnections,
		PoolMode: t.PoolMode, DestructionStrategy: t.DestructionStrategy,
		DeletionProtection: t.DeletionProtection, PGAuditLog: t.PGAuditLog, Backups: t.Backups,
	}
}

// Guarantees describes a tier in words, for readers who do not know Kubernetes.
type Guarantees struct {
	HighAvailability, Connections, Storage, Backups, Deletion string
}

// Guarantees returns the guarantees to databases with the profile.
func (p Profile) Guarantees() Guarantees {
	return Guarantees{
		HighAvailability: p.availability(),
		Connections:      p.connections(),
		Storage:          fmt.Sprintf("%s for your data.", p.StorageSize.String()),
		Backups:          p.promise(),
		Deletion: map[DestructionStrategy]string{
			StrategyFreeze: "A deleted database is frozen: its data is kept, and it can be unfrozen.",
			StrategyArchive: "A deleted database is archived: it can be restored from its backups for as long as they " +
				"are kept.",
			StrategyHardDelete: "A deleted database is removed permanently, with all its data.",
		}[p.DestructionStrategy],
	}
}

func (p Profile) availability() string {
	switch {
	case p.Instances == 1:
		return "One server: the database is unavailable while its node is down."
	case p.HAReplicas == 0:
		return fmt.Sprintf("%d servers: a standby takes over if the primary fails; the most recent changes may be lost.",
			p.Instances)
	default:
		return fmt.Sprintf("%d servers: a standby takes over if the primary fails, and no committed change is lost.",
			p.Instances)
	}
}

func (p Profile) connections() string {
	if p.PoolMode == PoolTransaction {
		return fmt.Sprintf("Up to %d active connections, shared by many clients through the pool.", p.MaxConnections)
	}
	return fmt.Sprintf("Up to %d connections; the pool keeps one for each client.", p.MaxConnections)
}

// TierFilter selects tiers; the zero value selects all.
type TierFilter struct{ Page Page }

// TierNotFound is the field error for a requested tier that does not exist.
func TierNotFound() *Error {
	return Invalid(Detail{Field: "tier", Message: "must be the name or ID of a tier; GET /tiers lists them"})
}

// TierInUse is the error for deleting a tier that databases have.
func TierInUse(databases int) *Error {
	return &Error{
		Code:    CodeTierInUse,
		Message: fmt.Sprintf("%d databases have this tier; move them to another tier or delete them first.", databases),
	}
}

// TierNameTaken is the error for a name that another tier already has.
func TierNameTaken(name string) *Error {
	return &Error{
		Code:    CodeNameTaken,
		Message: fmt.Sprintf("A tier named %s already exists; choose another name.", name),
		Details: []Detail{{Field: "name", Message: "is already in use"}},
	}
}
