package daap

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Source describes the archive that a database was restored from. It is complete: the source database itself may be
// gone.
type Source struct {
	DatabaseID uuid.UUID
	Name       string
	// ServerName and Destination locate the archive.
	ServerName, Destination string
	// Target is the time to which it was restored; nil means the latest archived change.
	Target *time.Time
}

// RestoreSpec describes a requested restore.
type RestoreSpec struct {
	// Name is the name of the new database.
	Name string
	// Target is the time to restore to; nil means the latest.
	Target *time.Time
	// Tier is the name or ID of the new database's tier; empty means the source's.
	Tier string
}

// Restore creates a new database from the source at the target time, owned by the same team. It uses the source's
// record and archive only; if the source is running, its latest changes are archived first. Errors:
// CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeWrongStatus if there is nothing to restore from,
// CodeValidationFailed also for a target outside of the recoverable range, and those of Create.
func (d *Databases) Restore(
	ctx context.Context, req Request, id uuid.UUID, spec RestoreSpec,
) (Database, Operation, error) {
	by, err := req.authorize(MayRestoreDatabase)
	if err != nil {
		return Database{}, Operation{}, err
	}
	source, err := d.store.Database(ctx, by.Scope, id)
	if err != nil {
		return Database{}, Operation{}, err
	}
	state, err := d.store.BackupState(ctx, by.Scope, id)
	if err != nil {
		return Database{}, Operation{}, fmt.Errorf("read the recoverable range of database %s: %w", id, err)
	}
	if spec.Tier == "" && source.TierID != nil {
		spec.Tier = source.TierID.String()
	}
	db, op, err := d.make(ctx, by, RestoreDatabase, DatabaseSpec{
		Name: spec.Name, OwnerTeam: source.OwnerTeam, Tier: spec.Tier,
		Description: source.Description, Labels: source.Labels,
	}, &RestoreFrom{Source: source, State: state, Target: spec.Target, At: time.Now()})
	if err == nil {
		d.start(ctx, op)
	}
	return db, op, err
}

// RestoreFrom is the source of a restore, as observed when the restore was requested.
type RestoreFrom struct {
	Source Database
	State  BackupState
	// Target is the time to restore to; nil means the latest.
	Target *time.Time
	// At is when the restore was requested.
	At time.Time
}

// Check explains why a database of the tier cannot be restored from it, as an Error of CodeWrongStatus or
// CodeValidationFailed; nil if it can.
func (f RestoreFrom) Check(t Tier) error {
	if err := restorable(f.Source, f.State, f.Target, f.At); err != nil {
		return err
	}
	return f.Source.checkRestore(t)
}

// restorable explains why the source cannot be restored to the target; nil if it can.
func restorable(source Database, state BackupState, target *time.Time, now time.Time) error {
	if err := source.Refuses(RestoreDatabase); err != nil {
		return err
	}
	if state.FirstRecoverableAt == nil {
		return WrongStatus(source.Status, "has no known base backup yet; try again in a minute")
	}
	first, last, which := *state.FirstRecoverableAt, now, "now"
	if state.ClosedAt != nil {
		last, which = *state.ClosedAt, "the latest"
	}
	if target != nil && (target.Before(first) || target.After(last)) {
		return Invalid(Detail{Field: "target_time", Message: fmt.Sprintf("must be from %s, the earliest time that can "+
			"be restored, to %s, %s", first.UTC().Format(time.RFC3339), which, last.UTC().Format(time.RFC3339))})
	}
	return nil
}

// checkRestore explains why a database of the tier cannot be restored from this one; nil if it can.
func (db Database) checkRestore(t Tier) error {
	var c checks
	if t.StorageSize.Cmp(db.Profile.StorageSize) < 0 {
		c.fail("tier", "has %s of storage, less than the source's %s",
			t.StorageSize.String(), db.Profile.StorageSize.String())
	}
	if t.PGVersion != db.Profile.PGVersion {
		c.fail("tier", "has PostgreSQL %s, but the source has %s; a restore requires the same version",
			t.PGVersion, db.Profile.PGVersion)
	}
	return c.err()
}

// source returns the part that is stored with the new database.
func (f RestoreFrom) source() *Source {
	return &Source{
		DatabaseID: f.Source.ID, Name: f.Source.Name, ServerName: f.Source.ServerName(),
		Destination: f.Source.Destination(), Target: f.Target,
	}
}

// Destination returns the location of the database's backups: a prefix that is not a prefix of another database's.
func (db Database) Destination() string {
	return strings.TrimSuffix(db.Profile.ObjectStorageDestination, "/") + "/" + db.ID.String()
}

// ServerName returns the name of the incarnation's archive in the destination; it is never reused.
func (db Database) ServerName() string { return serverName(db.Incarnation) }

func serverName(incarnation int) string { return fmt.Sprintf("pg-%d", incarnation) }

// Retired reports whether the server name belongs to an earlier incarnation, which archives nothing any more.
func (db Database) Retired(server string) bool {
	var incarnation int
	_, err := fmt.Sscanf(server, "pg-%d", &incarnation)
	return err == nil && incarnation < db.Incarnation && server == serverName(incarnation)
}
