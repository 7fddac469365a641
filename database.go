package daap

import (
	"slices"
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

// DatabaseStatus says where a database is in its life.
type DatabaseStatus string

// The statuses of a database. DatabaseError means that its operation needs attention.
const (
	DatabaseProvisioning DatabaseStatus = "provisioning"
	DatabaseRestoring    DatabaseStatus = "restoring"
	DatabaseReady        DatabaseStatus = "ready"
	DatabaseUpdating     DatabaseStatus = "updating"
	DatabaseFreezing     DatabaseStatus = "freezing"
	DatabaseFrozen       DatabaseStatus = "frozen"
	DatabaseUnfreezing   DatabaseStatus = "unfreezing"
	DatabaseArchiving    DatabaseStatus = "archiving"
	DatabaseArchived     DatabaseStatus = "archived"
	DatabaseDeleting     DatabaseStatus = "deleting"
	DatabaseDeleted      DatabaseStatus = "deleted"
	DatabaseError        DatabaseStatus = "error"
)

// moves are the legal changes of a database's status, in the order of its life.
var moves = []struct {
	from DatabaseStatus
	to   []DatabaseStatus
}{
	{DatabaseProvisioning, []DatabaseStatus{DatabaseReady, DatabaseDeleting, DatabaseError}},
	{DatabaseRestoring, []DatabaseStatus{DatabaseReady, DatabaseDeleting, DatabaseError}},
	// A base backup is taken of a database that stays ready, and may need attention.
	{DatabaseReady, []DatabaseStatus{
		DatabaseReady, DatabaseUpdating, DatabaseFreezing, DatabaseArchiving, DatabaseDeleting, DatabaseError,
	}},
	{DatabaseUpdating, []DatabaseStatus{DatabaseReady, DatabaseDeleting, DatabaseError}},
	{DatabaseFreezing, []DatabaseStatus{DatabaseFrozen, DatabaseReady, DatabaseDeleting, DatabaseError}},
	{DatabaseFrozen, []DatabaseStatus{DatabaseUnfreezing, DatabaseDeleting}},
	{DatabaseUnfreezing, []DatabaseStatus{DatabaseReady, DatabaseFrozen, DatabaseDeleting, DatabaseError}},
	{DatabaseArchiving, []DatabaseStatus{DatabaseArchived, DatabaseReady, DatabaseDeleting, DatabaseError}},
	{DatabaseArchived, []DatabaseStatus{DatabaseDeleting}},
	// A deletion that is given up before it removes anything leaves the database as it was.
	{DatabaseDeleting, []DatabaseStatus{
		DatabaseReady, DatabaseFrozen, DatabaseArchived, DatabaseDeleted, DatabaseError,
	}},
	{DatabaseDeleted, nil},
	{DatabaseError, []DatabaseStatus{
		DatabaseProvisioning, DatabaseRestoring, DatabaseReady, DatabaseUpdating, DatabaseFreezing, DatabaseUnfreezing,
		DatabaseArchiving, DatabaseDeleting,
	}},
}

// DatabaseStatuses returns every status, in the order of a database's life.
func DatabaseStatuses() []DatabaseStatus {
	all := make([]DatabaseStatus, 0, len(moves))
	for _, m := range moves {
		all = append(all, m.from)
	}
	return all
}

// StatusesBefore returns the statuses from which a database may move to the given one.
func StatusesBefore(to DatabaseStatus) []DatabaseStatus {
	var from []DatabaseStatus
	for _, m := range moves {
		if slices.Contains(m.to, to) {
			from = append(from, m.from)
		}
	}
	return from
}

// connectable says whether a database of the status may take connections.
func (s DatabaseStatus) connectable() bool {
	return slices.Contains([]DatabaseStatus{DatabaseProvisioning, DatabaseRestoring, DatabaseReady, DatabaseUpdating}, s)
}

// CanMoveTo says whether a database of status s may get status to.
func (s DatabaseStatus) CanMoveTo(to DatabaseStatus) bool {
	return slices.Contains(StatusesBefore(to), s)
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
