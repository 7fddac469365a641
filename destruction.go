package daap

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Operation is the kind of operation that destroys a database so.
func (s DestructionStrategy) Operation() OperationKind {
	return map[DestructionStrategy]OperationKind{
		StrategyFreeze: FreezeDatabase, StrategyArchive: ArchiveDatabase, StrategyHardDelete: DeleteDatabase,
	}[s]
}

// destroys says whether an operation of kind k takes a database away from its team, for a while or for good.
func (k OperationKind) destroys() bool {
	return slices.ContainsFunc(DestructionStrategies(), func(s DestructionStrategy) bool { return s.Operation() == k })
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

// strategy is how the database is destroyed for the one who asks: as its tier says, or as a platform team chooses.
// Errors: CodeForbidden, CodeValidationFailed.
func (db Database) strategy(by Grant, chosen DestructionStrategy) (DestructionStrategy, error) {
	if chosen == "" || chosen == db.Profile.DestructionStrategy {
		return db.Profile.DestructionStrategy, nil
	}
	if _, limited := by.Scope.Team(); limited {
		return "", Forbidden(fmt.Sprintf("Databases of tier %s are destroyed by %s; only the platform team may choose "+
			"another strategy.", db.Tier, db.Profile.DestructionStrategy))
	}
	return chosen, nil
}

// Delete records the operation that destroys the database, as its tier says or as chosen, and starts that as Create
// does: it is frozen, archived or deleted for good with everything made for it. The last takes over from what works on
// the database. Errors: CodeUnauthenticated, CodeForbidden also for a product team that chooses another strategy than
// the tier's, CodeNotFound, CodeDatabaseBusy, CodeWrongStatus, CodeDeletionProtected, CodeUnavailable above the
// backlog, and those of once.
func (d *Databases) Delete(
	ctx context.Context, req Request, id uuid.UUID, chosen DestructionStrategy,
) (Database, Operation, error) {
	by, err := req.authorize(MayDeleteDatabase)
	if err != nil {
		return Database{}, Operation{}, err
	}
	db, err := d.store.Database(ctx, by.Scope, id)
	if err != nil {
		return Database{}, Operation{}, err
	}
	strategy, err := db.strategy(by, chosen)
	if err != nil {
		return Database{}, Operation{}, err
	}
	return d.accept(ctx, by, strategy.Operation(), id)
}

// Unfreeze records the operation that brings a frozen database back, and starts that as Create does. Errors:
// CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeDatabaseBusy, CodeWrongStatus unless it is frozen,
// CodeQuotaExceeded where the tier has no CPU or memory left for it, CodeUnavailable above the backlog, and those of
// once.
func (d *Databases) Unfreeze(ctx context.Context, req Request, id uuid.UUID) (Database, Operation, error) {
	by, err := req.authorize(MayUnfreezeDatabase)
	if err != nil {
		return Database{}, Operation{}, err
	}
	return d.accept(ctx, by, UnfreezeDatabase, id)
}

// DeletePreview is what a deletion would do to a database.
type DeletePreview struct {
	Strategy  DestructionStrategy
	Operation OperationKind
	// Refusal is why it could not be asked for now; empty where it could.
	Refusal string
	// Goes and Stays are what would, in sentences.
	Goes, Stays []string
	// StaysUntil is until when; nil for as long as nobody deletes it.
	StaysUntil *time.Time
	// FirstRecoverableAt and LatestRecoverableAt are what could be restored before.
	FirstRecoverableAt, LatestRecoverableAt *time.Time
	// Undo is how it would be undone; empty where it could not be.
	Undo string
}

// PreviewDelete says what Delete would do, and changes nothing. Errors: CodeUnauthenticated, CodeForbidden also for a
// product team that chooses another strategy than the tier's, CodeNotFound.
func (d *Databases) PreviewDelete(
	ctx context.Context, req Request, id uuid.UUID, chosen DestructionStrategy,
) (DeletePreview, error) {
	by, err := req.authorize(MayPreviewDelete)
	if err != nil {
		return DeletePreview{}, err
	}
	db, err := d.store.Database(ctx, by.Scope, id)
	if err != nil {
		return DeletePreview{}, err
	}
	strategy, err := db.strategy(by, chosen)
	if err != nil {
		return DeletePreview{}, err
	}
	state, err := d.store.BackupState(ctx, by.Scope, id)
	if err != nil {
		return DeletePreview{}, fmt.Errorf("read what can be restored of database %s: %w", id, err)
	}
	return db.previewDelete(strategy, state, time.Now()), nil
}

func (db Database) previewDelete(s DestructionStrategy, state BackupState, now time.Time) DeletePreview {
	p := DeletePreview{
		Strategy: s, Operation: s.Operation(),
		FirstRecoverableAt: state.FirstRecoverableAt, LatestRecoverableAt: state.LatestRecoverable(),
	}
	if refusal := AsError(db.Refuses(p.Operation)); refusal != nil {
		p.Refusal = refusal.Message
	}
	connections := "All connections: clients are cut off, and no new ones are let in."
	switch s {
	case StrategyFreeze:
		p.Goes = []string{connections, "Its CPU and memory, also in the quota of its tier."}
		p.Stays = []string{"All data, in its volumes.", "Its name, its password and its labels."}
		if db.Profile.BackupEnabled {
			p.Stays = append(p.Stays, "Its backups; none is taken while it is frozen.")
		}
		p.Undo = fmt.Sprintf("POST /databases/%s/unfreeze brings it back as it was.", db.ID)
	case StrategyArchive:
		until := now.AddDate(0, 0, db.Profile.BackupRetentionDays)
		p.StaysUntil = &until
		p.Goes = []string{connections, "Its PostgreSQL and its volumes, once the archive is verified.", "Its password."}
		p.Stays = []string{"Its archive, from which every moment of it can be restored.", "Its name and its labels."}
		p.Undo = fmt.Sprintf("POST /databases/%s/restore makes a new database of it.", db.ID)
	case StrategyHardDelete:
		p.Goes = []string{connections, "All data, with its volumes."}
		if db.Profile.BackupEnabled {
			p.Goes = append(p.Goes, "All backups, to the last version.")
		}
		p.Goes = append(p.Goes, "Its password.")
		p.Stays = []string{"Its record, its timeline and its entries in the audit log. Its name is free again."}
	}
	return p
}
