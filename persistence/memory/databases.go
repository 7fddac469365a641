package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// database is a row. The operation that holds the database, and its health, come from other tables.
type database struct {
	daap.Database
	ca daap.CABundle
}

// database returns the row as callers see it.
func (r *rows) database(id uuid.UUID) (db daap.Database, found bool) {
	row, found := r.databases[id]
	db = row.Database
	db.Labels = maps.Clone(db.Labels)
	db.OperationID, db.OperationKind, db.WaitingOn, db.LastHealth = nil, "", nil, nil
	for _, op := range r.operations {
		if op.DatabaseID != id || !op.State.Open() {
			continue
		}
		db.OperationID, db.OperationKind = new(op.ID), op.Kind
		if db.Status != daap.DatabaseError {
			db.WaitingOn = op.Cause
		}
	}
	if h, seen := r.health[id]; seen {
		db.LastHealth = &daap.HealthObservation{Health: h.health, Since: h.since, ObservedAt: h.observedAt}
	}
	return db, found
}

// databaseIn returns a database in scope. Errors: CodeNotFound.
func (r *rows) databaseIn(scope daap.Scope, id uuid.UUID) (daap.Database, error) {
	db, found := r.database(id)
	if !found || !scope.Covers(db.OwnerTeam) {
		return daap.Database{}, daap.NotFound("database")
	}
	return db, nil
}

// all returns every database as callers see it.
func (r *rows) all() map[uuid.UUID]daap.Database {
	all := make(map[uuid.UUID]daap.Database, len(r.databases))
	for id := range r.databases {
		all[id], _ = r.database(id)
	}
	return all
}

// updateDatabase replaces the row with a changed one.
func (r *rows) updateDatabase(id uuid.UUID, change func(*database)) {
	row := r.databases[id]
	change(&row)
	r.databases[id] = row
}

// Database returns the database. Errors: CodeNotFound, also for one out of scope.
func (s *Store) Database(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.Database, error) {
	return read(ctx, s, func(r *rows) (daap.Database, error) { return r.databaseIn(scope, id) })
}

// DescribeDatabase returns all that is known of the database. Errors: CodeNotFound, also for one out of scope.
func (s *Store) DescribeDatabase(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.DatabaseView, error) {
	return read(ctx, s, func(r *rows) (daap.DatabaseView, error) {
		db, err := r.databaseIn(scope, id)
		if err != nil {
			return daap.DatabaseView{}, err
		}
		h := r.health[id]
		view := daap.DatabaseView{Extensions: append([]daap.Extension{}, r.extensions[id]...)}
		view.Observed = daap.Observed{
			Database: db, Conditions: h.told(), Revision: h.revision, Backups: r.backupStates[id], Scan: r.scans[id],
		}
		return view, nil
	})
}

// Databases returns the databases in scope that the filter chooses, newest first.
func (s *Store) Databases(ctx context.Context, scope daap.Scope, f daap.DatabaseFilter) ([]daap.Database, error) {
	return read(ctx, s, func(r *rows) ([]daap.Database, error) {
		return newest(r.all(), f.Page, func(db daap.Database) bool {
			for key, value := range f.Labels {
				if has, found := db.Labels[key]; !found || has != value {
					return false
				}
			}
			if health, runs := db.HealthAt(r.now); f.Health != "" && (!runs || health.Health != f.Health) {
				return false
			}
			if f.Status == "" && db.Status == daap.DatabaseDeleted || f.Status != "" && db.Status != f.Status {
				return false
			}
			return scope.Covers(db.OwnerTeam) && (f.Team == "" || db.OwnerTeam == f.Team)
		}), nil
	})
}

// DatabasesByID returns the databases with the given IDs, including deleted ones.
func (s *Store) DatabasesByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]daap.Database, error) {
	return read(ctx, s, func(r *rows) (map[uuid.UUID]daap.Database, error) {
		all := r.all()
		maps.DeleteFunc(all, func(id uuid.UUID, _ daap.Database) bool { return !slices.Contains(ids, id) })
		return all, nil
	})
}

// CreateDatabase records the database and the operation that holds it, or nothing. Errors: CodeNameTaken,
// CodeQuotaExceeded, CodeValidationFailed and CodeWrongStatus where there is no such tier or source, and those of once.
func (s *Store) CreateDatabase(
	ctx context.Context, by daap.Grant, db daap.Database, from *daap.RestoreFrom, op daap.Operation,
) (daap.Database, daap.Operation, error) {
	if !by.Scope.Covers(db.OwnerTeam) {
		return daap.Database{}, daap.Operation{}, fmt.Errorf("create database: team %s is out of scope", db.OwnerTeam)
	}
	made, err := once(ctx, s, by, func(r *rows) (accepted, error) {
		tier, err := r.chooseTier(db.Tier)
		if err != nil {
			return accepted{}, err
		}
		if from != nil {
			if err := r.checkSource(*from, tier); err != nil {
				return accepted{}, err
			}
		}
		db, op.BacksUp = db.With(tier), tier.BackupEnabled
		db.DeletionProtection = tier.DeletionProtection
		if err := r.insertDatabase(&db); err != nil {
			return accepted{}, err
		}
		begun := r.insertOperation(op)
		if err := r.reserve(tier, op, tier.Cost()); err != nil {
			return accepted{}, err
		}
		db.OperationID, db.OperationKind = &op.ID, op.Kind
		r.log(by.Changed(theDatabase(db.ID), nil, fields{
			"name": db.Name, "owner_team": db.OwnerTeam, "tier": db.Tier,
			"description": db.Description, "labels": db.Labels, "operation_id": op.ID, "source": db.Source,
		}))
		return accepted{db, &begun}, nil
	})
	return made.both(err)
}

// insertDatabase adds the database and sets its times. Errors: CodeNameTaken.
func (r *rows) insertDatabase(db *daap.Database) error {
	for _, other := range r.databases {
		if other.Name == db.Name && other.OwnerTeam == db.OwnerTeam && other.Status != daap.DatabaseDeleted {
			return daap.NameTaken(db.OwnerTeam, db.Name)
		}
	}
	if db.Labels = maps.Clone(db.Labels); db.Labels == nil {
		db.Labels = map[string]string{}
	}
	db.CreatedAt, db.UpdatedAt = r.now, r.now
	r.databases[db.ID] = database{Database: *db}
	return nil
}

// checkSource checks that a database of the tier can be restored from the source. Errors: CodeValidationFailed,
// CodeWrongStatus.
func (r *rows) checkSource(from daap.RestoreFrom, tier daap.Tier) error {
	if err := from.Check(tier); err != nil {
		return err
	}
	source, found := r.databases[from.Source.ID]
	switch {
	case !found:
		return fmt.Errorf("source %s does not exist", from.Source.ID)
	case source.Status != from.Source.Status:
		return daap.WrongStatus(source.Status, "can no longer be restored from")
	}
	return nil
}

// PatchDatabase applies the patch. Where the database gets a tier that it does not have all of, op gets that tier and
// holds the database, and is returned; else nil. Errors: CodeNotFound, CodeValidationFailed, CodeQuotaExceeded,
// CodeDatabaseBusy, CodeWrongStatus, and those of once.
func (s *Store) PatchDatabase(
	ctx context.Context, by daap.Grant, id uuid.UUID, patch daap.DatabasePatch, op daap.Operation,
) (daap.Database, *daap.Operation, error) {
	patched, err := once(ctx, s, by, func(r *rows) (accepted, error) {
		was, err := r.databaseIn(by.Scope, id)
		if err != nil {
			return accepted{}, err
		}
		if was.Status == daap.DatabaseDeleted {
			return accepted{}, daap.WrongStatus(was.Status, "can no longer be changed")
		}
		is, err := patch.Apply(was)
		if err != nil {
			return accepted{}, err
		}
		r.updateDatabase(id, func(db *database) {
			db.Description, db.Labels, db.DeletionProtection = is.Description, is.Labels, is.DeletionProtection
			db.UpdatedAt = r.now
		})
		before, after := changed(databaseFields(was), databaseFields(is))
		begun, err := r.beginUpdate(was, patch.Tier, op)
		if err != nil {
			return accepted{}, err
		}
		if begun != nil {
			by = by.AsAccepted()
			before["tier"], before["status"] = was.Tier, was.Status
			after["tier"], after["status"], after["operation_id"] = begun.Tier.Name, begun.Kind.During(), begun.ID
		}
		r.log(by.Changed(theDatabase(id), before, after))
		db, err := r.databaseIn(by.Scope, id)
		return accepted{db, begun}, err
	})
	return patched.db, patched.op, err
}

// beginUpdate gives the database to op for the tier of that name or ID; nil where none is named, or where the database
// has all of it and is not held.
func (r *rows) beginUpdate(db daap.Database, named *string, op daap.Operation) (*daap.Operation, error) {
	if named == nil {
		return nil, nil
	}
	tier, err := r.chooseTier(*named)
	if err != nil || db.Has(tier) && db.OperationID == nil {
		return nil, err
	}
	op.Tier, op.BacksUp = &tier, tier.BackupEnabled
	begun, err := r.hold(db, op)
	if err != nil {
		return nil, err
	}
	if err := db.CheckTier(tier); err != nil {
		return nil, err
	}
	asked := tier.Cost()
	if *db.TierID == tier.ID {
		asked = asked.ExcessOver(db.Profile.Cost())
	}
	return &begun, r.reserve(tier, op, asked)
}

// move gives the database a status that it may move to, with the cause of that status.
func (r *rows) move(id uuid.UUID, to daap.DatabaseStatus, cause *daap.Cause) error {
	if is := r.databases[id].Status; !slices.Contains(daap.StatusesBefore(to), is) {
		return fmt.Errorf("database %s may not move from %s to %s", id, is, to)
	}
	r.updateDatabase(id, func(db *database) {
		db.Status, db.Cause, db.UpdatedAt, db.DeletedAt = to, cause, r.now, nil
		if to == daap.DatabaseArchived && db.ArchivedUntil == nil {
			db.ArchivedUntil = new(r.now.AddDate(0, 0, db.Profile.BackupRetentionDays))
		}
		if to == daap.DatabaseDeleted {
			db.DeletedAt, db.TierID = new(r.now), nil
		}
	})
	if to == daap.DatabaseDeleted {
		r.releaseDatabase(id)
	}
	return nil
}

// ExpiredArchives returns at most limit archived databases whose time is over and that no operation holds.
func (s *Store) ExpiredArchives(ctx context.Context, limit int) ([]daap.Database, error) {
	return read(ctx, s, func(r *rows) ([]daap.Database, error) {
		expired := slices.Collect(maps.Values(r.all()))
		expired = slices.DeleteFunc(expired, func(db daap.Database) bool {
			return db.Status != daap.DatabaseArchived || !db.ArchivedUntil.Before(r.now) || db.DeletionProtection ||
				db.OperationID != nil
		})
		slices.SortFunc(expired, func(a, b daap.Database) int { return a.ArchivedUntil.Compare(*b.ArchivedUntil) })
		return expired[:min(len(expired), limit)], nil
	})
}

// databaseFields are the fields that a patch may change, as the audit log names them.
func databaseFields(db daap.Database) fields {
	return fields{
		"description": db.Description, "labels": db.Labels, "deletion_protection": db.DeletionProtection,
	}
}

func theDatabase(id uuid.UUID) daap.Resource {
	return daap.Resource{Kind: daap.ResourceDatabase, ID: id}
}
