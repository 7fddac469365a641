package daap

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Source is what a database was restored from: all that is needed of it, so that it may be gone.
type Source struct {
	DatabaseID uuid.UUID
	Name       string
	// ServerName and Destination are where its archive is.
	ServerName, Destination string
	// Target is the moment it was restored to; nil is the last one that was archived.
	Target *time.Time
}

// RestoreSpec is a restore that is asked for.
type RestoreSpec struct {
	// Name of the new database.
	Name string
	// Target is the moment to restore to; nil is the last one there is.
	Target *time.Time
	// Tier is the name or ID of the new database's tier; empty is the source's.
	Tier string
}

// Restore makes a new database of the source as it was at the target, owned by the same team. It needs of the source
// only what is recorded of it and what is in its archive; while that lives, what was written last is archived first.
// Errors: CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeWrongStatus where there is nothing to restore from,
// CodeValidationFailed also for a target out of what can be restored, and those of Create.
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

// RestoreFrom is what a database is to be restored from, as it was seen when that was asked for.
type RestoreFrom struct {
	Source Database
	State  BackupState
	// Target is the moment to restore to; nil is the last one there is.
	Target *time.Time
	// At is when it was asked for.
	At time.Time
}

// Check says why a database of the tier cannot be made of it, as an Error of CodeWrongStatus or CodeValidationFailed;
// nil where it can.
func (f RestoreFrom) Check(t Tier) error {
	if err := restorable(f.Source, f.State, f.Target, f.At); err != nil {
		return err
	}
	return f.Source.checkRestore(t)
}

// restorable says why the source cannot be restored to the target; nil where it can.
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

// checkRestore says why a database of the tier cannot be restored from this one; nil where it can.
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

// source is what the new database keeps of it.
func (f RestoreFrom) source() *Source {
	return &Source{
		DatabaseID: f.Source.ID, Name: f.Source.Name, ServerName: f.Source.ServerName(),
		Destination: f.Source.Destination(), Target: f.Target,
	}
}

// Destination is where all of the database's backups are: a prefix that no other database's begins with.
func (db Database) Destination() string {
	return strings.TrimSuffix(db.Profile.ObjectStorageDestination, "/") + "/" + db.ID.String()
}

// ServerName is what the archive of the database's incarnation is named in its destination; it is never used again.
func (db Database) ServerName() string { return serverName(db.Incarnation) }

func serverName(incarnation int) string { return fmt.Sprintf("pg-%d", incarnation) }

// Retired says whether the server name is that of an incarnation before the present one: nothing is archived under it
// any more.
func (db Database) Retired(server string) bool {
	var incarnation int
	_, err := fmt.Sscanf(server, "pg-%d", &incarnation)
	return err == nil && incarnation < db.Incarnation && server == serverName(incarnation)
}
