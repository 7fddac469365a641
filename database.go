package daap

import (
	"time"

	"github.com/google/uuid"
)

// Database is a PostgreSQL database that a team owns.
type Database struct {
	// ID is a UUIDv7, so that order by ID is order of creation.
	ID          uuid.UUID
	Name        string
	OwnerTeam   string
	Description string
	Labels      map[string]string
	// Tier is the name of its tier, and TierID the tier; nil once the database is deleted.
	Tier   string
	TierID *uuid.UUID
	// Profile is all of the tier, as it was when the database got it.
	Profile Profile
	Status  DatabaseStatus
	// Source is what it was restored from; nil where it was not.
	Source *Source
	// DeletionProtection refuses everything that would take the database away from its team.
	DeletionProtection bool
	// ArchivedUntil is until when it can be restored from its archive; nil unless it is archived.
	ArchivedUntil *time.Time
	// CAExpiresAt is when the CA certificate ends that connections are verified by; nil until it is known.
	CAExpiresAt *time.Time
	// Incarnation counts the CNPG Clusters the database has had, from 1; names of an earlier one are never reused.
	Incarnation int
	// Cause says why the operation that holds the database needs attention; nil unless Status is DatabaseError.
	Cause *Cause
	// WaitingOn is what keeps the operation that holds the database, where that is known and no person is
	// needed yet.
	WaitingOn *Cause
	// OperationID is the operation that holds the database now; nil when none does.
	OperationID *uuid.UUID
	// OperationKind is what that operation does; empty when none does.
	OperationKind OperationKind
	// LastHealth is the health that was last seen, however long ago; nil where nobody has looked yet.
	LastHealth *HealthSeen
	CreatedAt  time.Time
	UpdatedAt  time.Time
	DeletedAt  *time.Time
}

// DatabaseSpec is what a team asks for.
type DatabaseSpec struct {
	Name      string
	OwnerTeam string
	// Tier is the name or the ID of a tier.
	Tier        string
	Description string
	Labels      map[string]string
}

// Validate returns an Error of CodeValidationFailed that names every field at fault, or nil.
func (s DatabaseSpec) Validate() error {
	var c checks
	c.name("name", s.Name, NameRule)
	c.name("owner_team", s.OwnerTeam, TeamRule)
	c.text("description", s.Description, maxDescription)
	c.labels(s.Labels)
	return c.err()
}

// DatabasePatch is a JSON merge patch of a database: what is absent stays.
type DatabasePatch struct {
	// Tier is the name or the ID of the tier that the database is to get; nil leaves it the one it has.
	Tier *string
	// Description replaces the description; nil leaves it.
	Description *string
	// ClearLabels removes all labels before Labels are applied.
	ClearLabels bool
	// DeletionProtection is switched on or off; nil leaves it.
	DeletionProtection *bool
	// Labels are set by key; a nil value removes the key.
	Labels map[string]*string
}

// Apply returns db with the patch applied, or an Error of CodeValidationFailed and db unchanged. The tier is not
// changed: that takes an operation.
func (p DatabasePatch) Apply(db Database) (Database, error) {
	patched := db
	set(&patched.Description, p.Description)
	set(&patched.DeletionProtection, p.DeletionProtection)
	patched.Labels = make(map[string]string, len(db.Labels)+len(p.Labels))
	if !p.ClearLabels {
		for k, v := range db.Labels {
			patched.Labels[k] = v
		}
	}
	for k, v := range p.Labels {
		if v == nil {
			delete(patched.Labels, k)
			continue
		}
		patched.Labels[k] = *v
	}
	var c checks
	c.text("description", patched.Description, maxDescription)
	c.labels(patched.Labels)
	if err := c.err(); err != nil {
		return db, err
	}
	return patched, nil
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// DatabaseFilter chooses databases; the zero value chooses all that are not deleted.
type DatabaseFilter struct {
	// Team chooses those the team owns.
	Team string
	// Status chooses those of one status; empty chooses all but DatabaseDeleted.
	Status DatabaseStatus
	// Labels chooses those that have all of these labels.
	Labels map[string]string
	// Health chooses those that run and are of that health now; empty chooses all.
	Health DatabaseHealth
	Page   Page
}
