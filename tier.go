package daap

import (
	"cmp"
	"encoding/json"
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

// bound is the range of a quantity, both ends included. text says it to people; whole rounds a quantity up to the unit
// that is stored.
type bound struct {
	min, max resource.Quantity
	text     string
	whole    func(resource.Quantity) resource.Quantity
}

// The bounds of an instance: from the minimum that PostgreSQL needs to the maximum of a node. The API's contract
// carries the same texts as x-rule.
var (
	cpuBound = newBound("100m", "128",
		"must be a number of CPU cores from 100m to 128, such as 500m or 2", wholeMillis)
	memoryBound  = newBound("256Mi", "1Ti", "must be a memory size from 256Mi to 1Ti, such as 512Mi or 4Gi", wholeBytes)
	storageBound = newBound("1Gi", "64Ti", "must be a storage size from 1Gi to 64Ti, such as 10Gi", wholeBytes)
)

func newBound(from, to, text string, whole func(resource.Quantity) resource.Quantity) bound {
	return bound{resource.MustParse(from), resource.MustParse(to), text, whole}
}

func wholeMillis(q resource.Quantity) resource.Quantity {
	return *resource.NewMilliQuantity(q.MilliValue(), resource.DecimalSI)
}

func wholeBytes(q resource.Quantity) resource.Quantity {
	return *resource.NewQuantity(q.Value(), resource.BinarySI)
}

// The bounds of a tier's numbers.
const (
	MaxInstances      = 9
	MinMaxConnections = 10
	MaxMaxConnections = 10_000
)

// TierSpec describes a requested tier.
type TierSpec struct {
	Name string
	// Fields are its other fields; one that is absent has its default.
	Fields TierPatch
}

// TierPatch is a JSON merge patch of a tier: values by the names of fields, in the form that JSON has. A field that is
// absent stays as it is.
type TierPatch map[string]any

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
	t := Tier{Name: s.Name, Profile: Profile{PoolMode: PoolTransaction}}
	c.name("name", s.Name, NameRule)
	s.Fields.apply(&c, &t, catalog)
	return t, c.err()
}

// Apply returns the tier with the patch applied, or an Error of CodeValidationFailed and the tier unchanged.
func (p TierPatch) Apply(t Tier, catalog Catalog) (Tier, error) {
	var c checks
	patched := t
	p.apply(&c, &patched, catalog)
	if err := c.err(); err != nil {
		return t, err
	}
	return patched, nil
}

func (p TierPatch) apply(c *checks, t *Tier, catalog Catalog) {
	p.switchBackups(&t.Profile)
	known, refused := map[string]bool{fieldDescription: true}, map[string]bool{}
	if value, given := p[fieldDescription]; given {
		t.Description, _ = value.(string)
	}
	c.text(fieldDescription, t.Description, maxDescription)
	for _, f := range tierFields {
		known[f.name] = true
		value, given := p[f.name]
		if !given {
			continue
		}
		raw, err := json.Marshal(value)
		if err == nil {
			err = f.set(&t.Profile, raw)
		}
		if err != nil {
			refused[f.name] = true
			c.fail(f.name, "%s", err)
		}
	}
	for _, f := range tierFields {
		if f.check == nil || refused[f.name] {
			continue
		}
		if wrong := f.check(&t.Profile, catalog); wrong != "" {
			c.fail(f.name, "%s", wrong)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if !known[name] {
			c.fail(name, "is not a field of a tier")
		}
	}
}

// switchBackups prepares the profile for a patch that switches backups on or off. Off leaves no setting of backups; on
// archives WAL, unless the patch says otherwise.
func (p TierPatch) switchBackups(of *Profile) {
	if on, given := p[fieldBackupEnabled].(bool); given && on != of.BackupEnabled {
		of.Backups = Backups{BackupEnabled: on, WALArchivingEnabled: on}
	}
}

// plainQuantity matches the quantities that can be within bounds. Others are not even compared: for the exponent in
// 1e99999999 alone, Kubernetes' arithmetic takes minutes and gigabytes.
var plainQuantity = regexp.MustCompile(`^[0-9]{0,18}\.?[0-9]{0,18}([numkKMGTPE]i?|[eE][0-9]{1,2})?$`)

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
