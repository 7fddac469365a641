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

// Profile is what a database of a tier gets. It is kept with each database as it was when that was made: what
// becomes of the tier afterwards changes none.
type Profile struct {
	// Instances is how many PostgreSQL servers there are, the primary among them.
	Instances int
	// HAReplicas is how many of the others confirm each commit; less than Instances.
	HAReplicas int
	// CPU and Memory are each instance's own, StorageSize is that of its volume.
	CPU, Memory, StorageSize resource.Quantity
	// StorageClass is that of the volumes; empty is the platform's default.
	StorageClass string
	// PGVersion is the PostgreSQL major version, one that the platform offers.
	PGVersion string
	PoolMode  PoolMode
	// MaxConnections is how many connections PostgreSQL takes; clients of the pool share them.
	MaxConnections      int
	DestructionStrategy DestructionStrategy
	// DeletionProtection is whether databases are protected from deletion when they are made.
	DeletionProtection bool
	// PGAuditLog is what pgAudit writes to the log of PostgreSQL, ddl and role among it.
	PGAuditLog []PGAuditClass
	Backups
}

// PoolMode says for how long a client of the pool has a server connection to itself; in PgBouncer's words.
type PoolMode string

// The pool modes.
const (
	PoolSession     PoolMode = "session"
	PoolTransaction PoolMode = "transaction"
)

// PoolModes returns all pool modes.
func PoolModes() []PoolMode { return []PoolMode{PoolSession, PoolTransaction} }

// DestructionStrategy says what becomes of a database that is deleted.
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

// The bounds of what an instance gets: from what PostgreSQL needs to start to what nodes may have. The API's
// contract carries the same texts as x-rule.
var (
	cpuBound     = newBound("100m", "128", "must be cores from 100m to 128, such as 500m or 2", wholeMillis)
	memoryBound  = newBound("256Mi", "1Ti", "must be memory from 256Mi to 1Ti, such as 512Mi or 4Gi", wholeBytes)
	storageBound = newBound("1Gi", "64Ti", "must be storage from 1Gi to 64Ti, such as 10Gi", wholeBytes)
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

// Bounds of the numbers of a tier.
const (
	MaxInstances      = 9
	MinMaxConnections = 10
	MaxMaxConnections = 10_000
)

// TierSpec is a tier that somebody asks for.
type TierSpec struct {
	Name string
	// Fields are its other fields; one that is absent has its default.
	Fields TierPatch
}

// TierPatch is a JSON merge patch of a tier: values by the names of fields, in the form that JSON has. A field that is
// absent stays as it is.
type TierPatch map[string]any

// Catalog is the PostgreSQL major versions that the platform offers, each with its image.
type Catalog map[string]string

// Versions returns the versions, oldest first.
func (c Catalog) Versions() []string {
	return slices.SortedFunc(maps.Keys(c), compareVersions)
}

// compareVersions orders major versions, which are numbers without leading zeros: the oldest first.
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

// plainQuantity is what a quantity that could be within bounds looks like. Others are not even compared: the exponent
// of 1e99999999 alone takes Kubernetes' own arithmetic minutes and gigabytes.
var plainQuantity = regexp.MustCompile(`^[0-9]{0,18}\.?[0-9]{0,18}([numkKMGTPE]i?|[eE][0-9]{1,2})?$`)

// Guarantees is what a tier promises, in words for those who know nothing of Kubernetes.
type Guarantees struct {
	HighAvailability, Connections, Storage, Backups, Deletion string
}

// Guarantees returns what databases of the profile are promised.
func (p Profile) Guarantees() Guarantees {
	return Guarantees{
		HighAvailability: p.availability(),
		Connections:      p.connections(),
		Storage:          fmt.Sprintf("%s for your data.", p.StorageSize.String()),
		Backups:          p.promise(),
		Deletion: map[DestructionStrategy]string{
			StrategyFreeze:     "A database that is deleted is frozen: its data stay, and it can be brought back.",
			StrategyArchive:    "A database that is deleted is archived: it can be restored from its last backup for a while.",
			StrategyHardDelete: "A database that is deleted is gone for good, with all of its data.",
		}[p.DestructionStrategy],
	}
}

func (p Profile) availability() string {
	switch {
	case p.Instances == 1:
		return "One server: it is away while its machine is."
	case p.HAReplicas == 0:
		return fmt.Sprintf("%d servers: another takes over when one fails; the last moments may be lost.", p.Instances)
	default:
		return fmt.Sprintf("%d servers: another takes over when one fails, and nothing that was committed is lost.",
			p.Instances)
	}
}

func (p Profile) connections() string {
	if p.PoolMode == PoolTransaction {
		return fmt.Sprintf("%d connections at work at once, shared by many clients through the pool.", p.MaxConnections)
	}
	return fmt.Sprintf("%d connections at once; the pool keeps one for each client.", p.MaxConnections)
}

// TierFilter chooses tiers; the zero value chooses all.
type TierFilter struct{ Page Page }

// TierNotFound is the field error for a tier that is asked for and is not there.
func TierNotFound() *Error {
	return Invalid(Detail{Field: "tier", Message: "must be the name or id of a tier; GET /tiers lists them"})
}

// TierInUse is the error for a tier that cannot go while databases have it.
func TierInUse(databases int) *Error {
	return &Error{
		Code:    CodeTierInUse,
		Message: fmt.Sprintf("The tier has %d databases; move them to another tier or delete them first.", databases),
	}
}

// TierNameTaken is the error for a name that another tier has.
func TierNameTaken(name string) *Error {
	return &Error{
		Code:    CodeNameTaken,
		Message: fmt.Sprintf("There is a tier named %s already; choose another name.", name),
		Details: []Detail{{Field: "name", Message: "is taken"}},
	}
}
