package memory

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// BackupState returns the last observation of the backups; the zero value before the first, and of a database that is
// out of scope.
func (s *Store) BackupState(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.BackupState, error) {
	return read(ctx, s, func(r *rows) (daap.BackupState, error) {
		if _, err := r.databaseIn(scope, id); err != nil {
			return daap.BackupState{}, nil //nolint:nilerr // nothing is known of a database that is out of scope
		}
		return r.backupStates[id], nil
	})
}

// Backups returns the base backups that the filter chooses, newest first; none of a database that is out of scope.
func (s *Store) Backups(ctx context.Context, scope daap.Scope, f daap.BackupFilter) ([]daap.Backup, error) {
	return read(ctx, s, func(r *rows) ([]daap.Backup, error) {
		return newest(r.backups, f.Page, func(b daap.Backup) bool {
			return b.DatabaseID == f.DatabaseID && scope.Covers(r.databases[b.DatabaseID].OwnerTeam)
		}), nil
	})
}

// BackedUpDatabases returns at most limit running databases with backups, in order of ID after the given one.
func (s *Store) BackedUpDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error) {
	return read(ctx, s, func(r *rows) ([]daap.Database, error) {
		return oldest(r.all(), after, limit, func(db daap.Database) bool {
			return db.Profile.BackupEnabled && (db.Status == daap.DatabaseReady || db.Status == daap.DatabaseUpdating)
		}), nil
	})
}

// DatabasesWithArchives returns at most limit databases whose archives may be pruned, in order of ID from after on.
func (s *Store) DatabasesWithArchives(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error) {
	return read(ctx, s, func(r *rows) ([]daap.Database, error) {
		busy := map[uuid.UUID]bool{}
		for _, db := range r.databases {
			if db.Status == daap.DatabaseRestoring && db.Source != nil {
				busy[db.Source.DatabaseID] = true
			}
		}
		for _, op := range r.operations {
			busy[op.DatabaseID] = busy[op.DatabaseID] || op.State.Open() && op.Incarnation != 0
		}
		return oldest(r.all(), after, limit, func(db daap.Database) bool {
			goes := db.Status == daap.DatabaseDeleting || db.Status == daap.DatabaseDeleted
			return db.Profile.BackupEnabled && !goes && !busy[db.ID]
		}), nil
	})
}

// ForgetBackups removes base backups of one archive of the database, by the IDs of Barman.
func (s *Store) ForgetBackups(ctx context.Context, database uuid.UUID, server string, backupIDs []string) error {
	return s.change(ctx, func(r *rows) error {
		maps.DeleteFunc(r.backups, func(_ uuid.UUID, b daap.Backup) bool {
			return b.DatabaseID == database && b.ServerName == server && slices.Contains(backupIDs, b.BackupID)
		})
		return nil
	})
}

// CloseArchive records when the last change of the database was committed; nil where it takes changes again.
func (s *Store) CloseArchive(ctx context.Context, database uuid.UUID, at *time.Time) error {
	return s.change(ctx, func(r *rows) error {
		if state, seen := r.backupStates[database]; seen {
			state.ClosedAt = precise(at)
			r.backupStates[database] = state
		}
		return nil
	})
}

// SaveBackups records an observation of the backups. A later observation stays.
func (s *Store) SaveBackups(
	ctx context.Context, db daap.Database, state daap.BackupState, backups []daap.Backup,
) error {
	return s.change(ctx, func(r *rows) error {
		if err := r.exists(db.ID); err != nil {
			return err
		}
		was, seen := r.backupStates[db.ID]
		if !seen || was.ObservedAt.Before(state.ObservedAt) {
			was = observed(was, state)
			r.backupStates[db.ID] = was
		}
		latest := was.ObservedAt.Equal(*precise(&state.ObservedAt))
		found := map[uuid.UUID]bool{}
		for _, b := range backups {
			found[b.ID] = true
			r.saveBackup(db.ID, b, latest)
		}
		maps.DeleteFunc(r.backups, func(id uuid.UUID, b daap.Backup) bool {
			return latest && b.DatabaseID == db.ID && b.ServerName == db.ServerName() && !found[id]
		})
		return nil
	})
}

// observed merges an observation into the one before. Where the database did not report what is archived, the earlier
// report stays.
func observed(was, is daap.BackupState) daap.BackupState {
	is.ClosedAt, is.ArchivedUntil = was.ClosedAt, is.LastArchivedAt
	is.ArchivingMessage, is.LastFailureMessage = storable(is.ArchivingMessage), storable(is.LastFailureMessage)
	for _, at := range []**time.Time{
		&is.LastArchivedAt, &is.ArchivedUntil, &is.LastBegunAt, &is.LastSuccessAt, &is.LastFailureAt, &is.FirstRecoverableAt,
	} {
		*at = precise(*at)
	}
	is.ObservedAt = *precise(&is.ObservedAt)
	if is.LastArchivedAt == nil {
		is.LastArchivedAt, is.UnarchivedBytes, is.ArchivedUntil = was.LastArchivedAt, was.UnarchivedBytes, was.ArchivedUntil
		return is
	}
	if is.UnarchivedBytes == 0 {
		is.ArchivedUntil = new(is.ObservedAt)
	}
	if was.ArchivedUntil != nil && was.ArchivedUntil.After(*is.ArchivedUntil) {
		is.ArchivedUntil = was.ArchivedUntil
	}
	return is
}

// saveBackup adds a base backup; one that is there changes only by the latest observation.
func (r *rows) saveBackup(database uuid.UUID, b daap.Backup, latest bool) {
	b.DatabaseID, b.Error = database, storable(b.Error)
	b.StartedAt, b.StoppedAt = precise(b.StartedAt), precise(b.StoppedAt)
	was, there := r.backups[b.ID]
	if there {
		b.DatabaseID, b.Name, b.ServerName = was.DatabaseID, was.Name, was.ServerName
		if b.SizeBytes == nil {
			b.SizeBytes = was.SizeBytes
		}
	}
	if !there || latest {
		r.backups[b.ID] = b
	}
}
