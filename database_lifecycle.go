package daap

import (
	"fmt"
	"slices"
	"strings"
)

// DatabaseStatus is a phase in a database's life.
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

// moves lists the legal status changes of a database, in the order of its life.
var moves = []struct {
	from DatabaseStatus
	to   []DatabaseStatus
}{
	{DatabaseProvisioning, []DatabaseStatus{DatabaseReady, DatabaseDeleting, DatabaseError}},
	{DatabaseRestoring, []DatabaseStatus{DatabaseReady, DatabaseDeleting, DatabaseError}},
	// A base backup runs on a database that stays ready, and can need attention.
	{DatabaseReady, []DatabaseStatus{
		DatabaseReady, DatabaseUpdating, DatabaseFreezing, DatabaseArchiving, DatabaseDeleting, DatabaseError,
	}},
	{DatabaseUpdating, []DatabaseStatus{DatabaseReady, DatabaseDeleting, DatabaseError}},
	{DatabaseFreezing, []DatabaseStatus{DatabaseFrozen, DatabaseReady, DatabaseDeleting, DatabaseError}},
	{DatabaseFrozen, []DatabaseStatus{DatabaseUnfreezing, DatabaseDeleting}},
	{DatabaseUnfreezing, []DatabaseStatus{DatabaseReady, DatabaseFrozen, DatabaseDeleting, DatabaseError}},
	{DatabaseArchiving, []DatabaseStatus{DatabaseArchived, DatabaseReady, DatabaseDeleting, DatabaseError}},
	{DatabaseArchived, []DatabaseStatus{DatabaseDeleting}},
	// A deletion that is cancelled before it removes anything leaves the database as it was.
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

// StatusesBefore returns the statuses from which a database may move to the given status.
func StatusesBefore(to DatabaseStatus) []DatabaseStatus {
	var from []DatabaseStatus
	for _, m := range moves {
		if slices.Contains(m.to, to) {
			from = append(from, m.from)
		}
	}
	return from
}

// connectable reports whether a database with this status may accept connections.
func (s DatabaseStatus) connectable() bool {
	return slices.Contains([]DatabaseStatus{DatabaseProvisioning, DatabaseRestoring, DatabaseReady, DatabaseUpdating}, s)
}

// canMoveTo reports whether a database of status s may get status to.
func (s DatabaseStatus) canMoveTo(to DatabaseStatus) bool {
	return slices.Contains(StatusesBefore(to), s)
}

// undeleted lists the statuses except deleted and deleting. A delete may be requested in each of them, so that every
// database can be deleted.
func undeleted() []DatabaseStatus {
	return slices.DeleteFunc(DatabaseStatuses(), func(s DatabaseStatus) bool {
		return s == DatabaseDeleting || s == DatabaseDeleted
	})
}

// runs reports whether a database with the status serves its clients.
func (s DatabaseStatus) runs() bool { return slices.Contains(RunningStatuses(), s) }

// RunningStatuses returns the statuses in which a database serves its clients.
func RunningStatuses() []DatabaseStatus { return []DatabaseStatus{DatabaseReady, DatabaseUpdating} }

// Refuses explains why an operation of the kind is not allowed for the database: an Error of CodeWrongStatus or
// CodeDeletionProtected; nil if it is allowed, unless another operation holds the database.
func (db Database) Refuses(kind OperationKind) error {
	k := kind.fixed()
	switch {
	case len(k.from) == 0:
		return &Error{Code: CodeWrongStatus, Message: "The database already exists."}
	case !slices.Contains(k.from, db.Status):
		return WrongStatus(db.Status, fmt.Sprintf("cannot be %s; it must be %s", k.done, either(k.from)))
	case k.destroys != "" && db.DeletionProtection:
		return DeletionProtected()
	case k.needsBackups && !db.Profile.BackupEnabled:
		return WrongStatus(db.Status, fmt.Sprintf("cannot be %s: it has no backups; change it to a tier with backups "+
			"first", k.done))
	}
	return nil
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

// Restriction is an operation that is not allowed, and the reason.
type Restriction struct {
	Operation OperationKind
	Reason    string
}

// Actions returns the operations that are allowed for the database, and those that are not.
func (db Database) Actions() (allowed []OperationKind, restricted []Restriction) {
	for _, k := range kinds {
		if len(k.from) == 0 {
			continue
		}
		err := AsError(db.Refuses(k.name))
		if err == nil && db.OperationID != nil && !k.takesOver && !k.makes {
			err = &Error{Message: fmt.Sprintf("Operation %s is in progress on the database.", *db.OperationID)}
		}
		if err != nil {
			restricted = append(restricted, Restriction{k.name, err.Message})
			continue
		}
		allowed = append(allowed, k.name)
	}
	return allowed, restricted
}
