package objectstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/daap-dev/daap"
)

// buckets are the places in the object store.
type buckets interface {
	// EnsureBucket makes the bucket where it is missing.
	EnsureBucket(ctx context.Context, bucket string) error
	// Reach says why the bucket does not answer; nil where it does.
	Reach(ctx context.Context, bucket string) error
	// Prefixes returns the first parts of all names under the prefix that have more than one.
	Prefixes(ctx context.Context, bucket, prefix string) ([]string, error)
	// AbortUploads gives up what is being uploaded under the prefix, or was and never ended.
	AbortUploads(ctx context.Context, bucket, prefix string) error
}

// objects are what is in a bucket.
type objects interface {
	// Objects returns all that is under the prefix by its name.
	Objects(ctx context.Context, bucket, prefix string) (map[string]Object, error)
	// Read returns a small object.
	Read(ctx context.Context, bucket, name string) ([]byte, error)
	// Count counts all that is under the prefix, with all versions and unfinished uploads.
	Count(ctx context.Context, bucket, prefix string) (Removed, error)
	// RemoveSome removes some of the names under the prefix that which selects, with all versions, and returns how much
	// that was: nothing where nothing is left, or where there is no bucket. Names begin after the prefix.
	RemoveSome(ctx context.Context, bucket, prefix string, which func(name string) bool) (Removed, error)
}

// store is an object store; Store is the real one.
type store interface {
	buckets
	objects
}

// Error is an error of the object store itself, or of its administration.
type Error struct{ Err error }

// Error is that of the store.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the store's error.
func (e *Error) Unwrap() error { return e.Err }

// ErrNoStore says that the worker has no object store, and the database has backups.
var ErrNoStore = errors.New(
	"the worker has no object store: DAAP_BACKUP_ENDPOINT is not set, and the database has backups")

// Archives are the archives of databases. Its errors are Error where the store fails, and ErrNoStore.
type Archives struct {
	// Store is nil where there is none.
	Store store

	// inspected is what was found in archives when they were last listed, by database.
	inspected sync.Map
}

// archiveOf is where the database archives under the server name.
func archiveOf(db daap.Database, server string) (bucket, under string) {
	bucket, prefix := Locate(db.Destination())
	return bucket, prefix + "/" + server + "/"
}

// ensured returns the store's error as one.
func ensured(err error) error {
	if err == nil {
		return nil
	}
	return &Error{err}
}

// EnsureBucket makes the bucket of the database's backups where it is missing. Safe to repeat.
func (a *Archives) EnsureBucket(ctx context.Context, db daap.Database) error {
	if a.Store == nil {
		return ErrNoStore
	}
	bucket, _ := Locate(db.Profile.ObjectStorageDestination)
	return ensured(a.Store.EnsureBucket(ctx, bucket))
}

// Count returns how much there is of all archives of the database.
func (a *Archives) Count(ctx context.Context, db daap.Database) (Removed, error) {
	bucket, prefix := Locate(db.Destination())
	there, err := a.Store.Count(ctx, bucket, prefix+"/")
	return there, ensured(err)
}

// AbortUploads gives up all unfinished uploads to archives of the database.
func (a *Archives) AbortUploads(ctx context.Context, db daap.Database) error {
	bucket, prefix := Locate(db.Destination())
	return ensured(a.Store.AbortUploads(ctx, bucket, prefix+"/"))
}

// RemoveSome removes some of all archives of the database; nothing where nothing is left.
func (a *Archives) RemoveSome(ctx context.Context, db daap.Database) (Removed, error) {
	bucket, prefix := Locate(db.Destination())
	removed, err := a.Store.RemoveSome(ctx, bucket, prefix+"/", everything)
	return removed, ensured(err)
}

// Empty removes all that is under a destination, and calls alive after each of the removals.
func (a *Archives) Empty(ctx context.Context, destination string, alive func()) error {
	bucket, prefix := Locate(destination)
	if err := a.Store.AbortUploads(ctx, bucket, prefix+"/"); err != nil {
		return &Error{err}
	}
	for {
		removed, err := a.Store.RemoveSome(ctx, bucket, prefix+"/", everything)
		if err != nil || removed.Objects == 0 {
			return ensured(err)
		}
		alive()
	}
}

// everything chooses all names.
func everything(string) bool { return true }

// Restorable returns the newest server name under which there is a completed base backup of the database; empty where
// there is none.
func (a *Archives) Restorable(ctx context.Context, db daap.Database) (string, error) {
	if !db.Profile.BackupEnabled {
		return "", nil
	}
	if a.Store == nil {
		return "", ErrNoStore
	}
	for _, server := range db.ServerNames() {
		has, err := a.hasBackup(ctx, db, server)
		if err != nil {
			return "", &Error{err}
		}
		if has {
			return server, nil
		}
	}
	return "", nil
}

// Missing says what the database's archive lacks of the base backup of that ID and of the log from the segment that the
// base backup begins with to the last one; empty where it lacks nothing.
func (a *Archives) Missing(ctx context.Context, db daap.Database, id, begin, last string) (string, error) {
	if a.Store == nil {
		return "", ErrNoStore
	}
	bucket, under := archiveOf(db, db.ServerName())
	objects, err := a.Store.Objects(ctx, bucket, under)
	if err != nil {
		return "", &Error{err}
	}
	completed, err := a.completed(ctx, bucket, under, objects)
	if err != nil {
		return "", &Error{err}
	}
	if !slices.ContainsFunc(completed, func(b baseBackup) bool { return b.id == id }) {
		return fmt.Sprintf("Base backup %s is not complete in the archive", id), nil
	}
	return missingWAL(objects, begin, last), nil
}

// hasBackup says whether the archive of the database of that server name has a base backup that is completed.
func (a *Archives) hasBackup(ctx context.Context, db daap.Database, server string) (bool, error) {
	bucket, under := archiveOf(db, server)
	objects, err := a.Store.Objects(ctx, bucket, under+"base/")
	if err != nil {
		return false, err
	}
	base := map[string]Object{}
	for name, object := range objects {
		base["base/"+name] = object
	}
	completed, err := a.completed(ctx, bucket, under, base)
	return len(completed) > 0, err
}

// completed reads what Barman notes of the base backups of an archive, and returns those that are completed.
func (a *Archives) completed(
	ctx context.Context, bucket, under string, objects map[string]Object,
) ([]baseBackup, error) {
	var all []baseBackup
	for name := range objects {
		parts := strings.Split(name, "/")
		if len(parts) != 3 || parts[0] != "base" || parts[2] != "backup.info" {
			continue
		}
		text, err := a.Store.Read(ctx, bucket, under+name)
		if err != nil {
			return nil, err
		}
		if backup, is := asBaseBackup(parts[1], string(text)); is {
			all = append(all, backup)
		}
	}
	return all, nil
}
