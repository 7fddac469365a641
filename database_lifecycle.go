package daap

import (
	"fmt"
	"slices"
	"strings"
)

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

// action is what may be asked for of a database: an operation, of the statuses in which it may be.
type action struct {
	kind OperationKind
	from []DatabaseStatus
	// done finishes a sentence that begins with "Only a database that is ready can be".
	done string
}

// actions are all of them, in the order in which people are shown them. A delete may be asked for in any status but
// that in which it is under way, so that nothing is ever undeletable.
var actions = []action{
	{UpdateDatabase, []DatabaseStatus{DatabaseReady}, "given another tier"},
	{BackUpDatabase, []DatabaseStatus{DatabaseReady}, "backed up"},
	{ReconcileDatabase, []DatabaseStatus{DatabaseReady}, "reconciled"},
	{
		RestoreDatabase,
		[]DatabaseStatus{DatabaseReady, DatabaseUpdating, DatabaseFrozen, DatabaseArchived},
		"restored from",
	},
	{FreezeDatabase, []DatabaseStatus{DatabaseReady}, "frozen"},
	{UnfreezeDatabase, []DatabaseStatus{DatabaseFrozen}, "unfrozen"},
	{ArchiveDatabase, []DatabaseStatus{DatabaseReady}, "archived"},
	{
		DeleteDatabase, slices.DeleteFunc(DatabaseStatuses(), func(s DatabaseStatus) bool {
			return s == DatabaseDeleting || s == DatabaseDeleted
		}),
		"deleted for good",
	},
}

// Refuses says why no operation of the kind can be asked for of the database as it is: an Error of CodeWrongStatus or
// CodeDeletionProtected; nil where one can, unless another operation holds the database.
func (db Database) Refuses(kind OperationKind) error {
	at := slices.IndexFunc(actions, func(a action) bool { return a.kind == kind })
	if at < 0 {
		return WrongStatus(db.Status, "is there already")
	}
	a := actions[at]
	switch {
	case !slices.Contains(a.from, db.Status):
		return WrongStatus(db.Status, fmt.Sprintf("cannot be %s; only one that is %s can", a.done, either(a.from)))
	case kind.destroys() && db.DeletionProtection:
		return DeletionProtected()
	case needsBackups(kind) && !db.Profile.BackupEnabled:
		return WrongStatus(db.Status, fmt.Sprintf("cannot be %s: it has no backups; give it a tier that has", a.done))
	}
	return nil
}

// needsBackups says whether an operation of kind k is about the backups of its database, or its source.
func needsBackups(k OperationKind) bool {
	return k == BackUpDatabase || k == RestoreDatabase || k == ArchiveDatabase
}

func either(statuses []DatabaseStatus) string {
	all := make([]string, 0, len(statuses))
	for _, s := range statuses {
		all = append(all, string(s))
	}
	if len(all) == 1 {
		return all[0]
	}
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + " or " + all[last]
}

// Restriction is an operation that cannot be asked for, and why.
type Restriction struct {
	Operation OperationKind
	Reason    string
}

// Actions are the operations that can be asked for of the database as it is, and those that cannot.
func (db Database) Actions() (allowed []OperationKind, restricted []Restriction) {
	for _, a := range actions {
		err := AsError(db.Refuses(a.kind))
		if err == nil && db.OperationID != nil && a.kind != DeleteDatabase && a.kind != RestoreDatabase {
			err = &Error{Message: fmt.Sprintf("Operation %s works on the database.", *db.OperationID)}
		}
		if err != nil {
			restricted = append(restricted, Restriction{a.kind, err.Message})
			continue
		}
		allowed = append(allowed, a.kind)
	}
	return allowed, restricted
}
