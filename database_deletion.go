package daap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Operation returns the kind of operation that carries out the strategy.
func (s DestructionStrategy) Operation() OperationKind {
	for _, k := range kinds {
		if s != "" && k.destroys == s {
			return k.name
		}
	}
	return ""
}

// strategy returns the deletion strategy for the caller: the tier's, or the one that a platform team chooses. Errors:
// CodeForbidden, CodeValidationFailed.
func (db Database) strategy(by Grant, chosen DestructionStrategy) (DestructionStrategy, error) {
	if chosen == "" || chosen == db.Profile.DestructionStrategy {
		return db.Profile.DestructionStrategy, nil
	}
	if _, limited := by.Scope.Team(); limited {
		return "", Forbidden(fmt.Sprintf("Databases of tier %s are deleted with strategy %s; only the platform team may "+
			"choose another strategy.", db.Tier, db.Profile.DestructionStrategy))
	}
	return chosen, nil
}

// Delete records the operation that deletes the database with the tier's or the chosen strategy, and starts it like
// Create. The database is frozen, archived, or removed permanently; the latter takes over from the operation in
// progress. Errors: CodeUnauthenticated, CodeForbidden also if a product team chooses another strategy than the tier's,
// CodeNotFound, CodeDatabaseBusy, CodeWrongStatus, CodeDeletionProtected, CodeUnavailable above the backlog, and those
// of once.
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

// Unfreeze records the operation that unfreezes a database, and starts it like Create. Errors: CodeUnauthenticated,
// CodeForbidden, CodeNotFound, CodeDatabaseBusy, CodeWrongStatus unless it is frozen, CodeQuotaExceeded if the tier has
// no CPU or memory left, CodeUnavailable above the backlog, and those of once.
func (d *Databases) Unfreeze(ctx context.Context, req Request, id uuid.UUID) (Database, Operation, error) {
	by, err := req.authorize(MayUnfreezeDatabase)
	if err != nil {
		return Database{}, Operation{}, err
	}
	return d.accept(ctx, by, UnfreezeDatabase, id)
}

// DeletePreview is the effect that a deletion would have.
type DeletePreview struct {
	Strategy  DestructionStrategy
	Operation OperationKind
	// Refusal explains why the deletion is not allowed now; empty if it is.
	Refusal string
	// Goes and Stays describe what would be removed and kept, in sentences.
	Goes, Stays []string
	// StaysUntil is until when it would be kept; nil if it is kept until it is deleted.
	StaysUntil *time.Time
	// FirstRecoverableAt and LatestRecoverableAt are the range that can be restored before the deletion.
	FirstRecoverableAt, LatestRecoverableAt *time.Time
	// Undo says how to undo the deletion; empty if that is impossible.
	Undo string
}

// PreviewDelete returns the effect of Delete and changes nothing. Errors: CodeUnauthenticated, CodeForbidden also if a
// product team chooses another strategy than the tier's, CodeNotFound.
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
		return DeletePreview{}, fmt.Errorf("read the recoverable range of database %s: %w", id, err)
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
	connections := "All connections: clients are disconnected, and new connections are refused."
	switch s {
	case StrategyFreeze:
		p.Goes = []string{connections, "Its CPU and memory, which are also released from the tier's quota."}
		p.Stays = []string{"All data, on its volumes.", "Its name, its password and its labels."}
		if db.Profile.BackupEnabled {
			p.Stays = append(p.Stays, "Its backups; no backups are taken while it is frozen.")
		}
		p.Undo = fmt.Sprintf("POST /databases/%s/unfreeze brings the database back as it was.", db.ID)
	case StrategyArchive:
		until := now.AddDate(0, 0, db.Profile.BackupRetentionDays)
		p.StaysUntil = &until
		p.Goes = []string{connections, "PostgreSQL and its volumes, once the archive is verified.", "Its password."}
		p.Stays = []string{"Its archive, from which any point in its history can be restored.", "Its name and its labels."}
		p.Undo = fmt.Sprintf("POST /databases/%s/restore creates a new database from its archive.", db.ID)
	case StrategyHardDelete:
		p.Goes = []string{connections, "All data, and its volumes."}
		if db.Profile.BackupEnabled {
			p.Goes = append(p.Goes, "All backups, including all object versions.")
		}
		p.Goes = append(p.Goes, "Its password.")
		p.Stays = []string{"Its record, its timeline and its audit log entries. Its name becomes available again."}
	}
	return p
}

// Receipt is what a deletion or archiving removes, counted before the removal.
type Receipt struct {
	// Kubernetes is the number of objects by kind.
	Kubernetes map[string]int
	// Objects and Bytes count the object store, including versions, delete markers and unfinished uploads.
	Objects, Bytes int64
	// RelistedAt is when the object store was listed again and was empty; nil until then.
	RelistedAt *time.Time
}

// With merges a later count into the receipt. Later counts miss removed objects, so the largest count of each kind is
// the total.
func (r Receipt) With(counted Receipt) Receipt {
	merged := Receipt{
		Kubernetes: map[string]int{},
		Objects:    max(r.Objects, counted.Objects), Bytes: max(r.Bytes, counted.Bytes), RelistedAt: r.RelistedAt,
	}
	for _, kinds := range []map[string]int{r.Kubernetes, counted.Kubernetes} {
		for kind, n := range kinds {
			merged.Kubernetes[kind] = max(merged.Kubernetes[kind], n)
		}
	}
	if counted.RelistedAt != nil {
		merged.RelistedAt = counted.RelistedAt
	}
	return merged
}

// Expiry deletes archived databases permanently when their tier's retention is over.
type Expiry struct {
	store     expiredArchives
	databases *Databases
}

type expiredArchives interface {
	// ExpiredArchives returns at most limit expired archives that no operation holds.
	ExpiredArchives(ctx context.Context, limit int) ([]Database, error)
}

// NewExpiry returns the use case on the given store.
func NewExpiry(store expiredArchives, databases *Databases) *Expiry {
	return &Expiry{store: store, databases: databases}
}

// expiredAtOnce is the number of deletions in one run; the next run continues.
const expiredAtOnce = 100

// retention is the actor of these deletions in the audit log.
var retention = Request{Caller: Caller{Team: "daap", KeyName: "retention", Role: RolePlatformTeam}}

// Run requests the deletion of expired archives and returns their number. A database that cannot be deleted now is left
// for the next run. Safe to repeat.
func (e *Expiry) Run(ctx context.Context) (int, error) {
	dbs, err := e.store.ExpiredArchives(ctx, expiredAtOnce)
	if err != nil {
		return 0, fmt.Errorf("read expired archives: %w", err)
	}
	begun := 0
	var failed error
	for _, db := range dbs {
		_, _, err := e.databases.Delete(ctx, retention, db.ID, StrategyHardDelete)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		begun++
	}
	return begun, failed
}
