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
	// Tier is the name of the database's tier, and TierID its ID; nil once the database is deleted.
	Tier   string
	TierID *uuid.UUID
	// Profile is a copy of the tier from when the database got it.
	Profile Profile
	Status  DatabaseStatus
	// Source is what the database was restored from; nil if it was not restored.
	Source *Source
	// DeletionProtection refuses all operations that would take the database away from its team.
	DeletionProtection bool
	// ArchivedUntil is until when an archived database can be restored; nil unless it is archived.
	ArchivedUntil *time.Time
	// CAExpiresAt is when the CA certificate of connections expires; nil until it is known.
	CAExpiresAt *time.Time
	// Incarnation counts the database's CNPG Clusters from 1; names of earlier ones are never reused.
	Incarnation int
	// Cause explains why the operation that holds the database needs attention; nil unless Status is DatabaseError.
	Cause *Cause
	// WaitingOn is the known cause that blocks the operation while it continues without intervention; nil otherwise.
	WaitingOn *Cause
	// OperationID is the operation that holds the database; nil if none does.
	OperationID *uuid.UUID
	// OperationKind is the kind of that operation; empty if there is none.
	OperationKind OperationKind
	// LastHealth is the most recent observation of the health, of any age; nil until the first.
	LastHealth *HealthObservation
	CreatedAt  time.Time
	UpdatedAt  time.Time
	DeletedAt  *time.Time
}

// DatabaseSpec describes a requested database.
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

// DatabasePatch is a JSON merge patch of a database: absent fields stay.
type DatabasePatch struct {
	// Tier is the name or the ID of the new tier; nil keeps the current one.
	Tier *string
	// Description replaces the description; nil keeps it.
	Description *string
	// ClearLabels removes all labels before Labels are applied.
	ClearLabels bool
	// DeletionProtection turns the protection on or off; nil keeps it.
	DeletionProtection *bool
	// Labels are set by key; a nil value removes the key.
	Labels map[string]*string
}

// Apply returns db with the patch applied, or an Error of CodeValidationFailed and db unchanged. It does not change the
// tier, which takes an operation.
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

// DatabaseFilter selects databases; the zero value selects all that are not deleted.
type DatabaseFilter struct {
	// Team selects the team's databases.
	Team string
	// Status selects databases with this status; empty selects all except DatabaseDeleted.
	Status DatabaseStatus
	// Labels selects databases with all of these labels.
	Labels map[string]string
	// Health selects running databases with this health now; empty selects all databases.
	Health DatabaseHealth
	Page   Page
}
