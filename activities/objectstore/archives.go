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

// buckets are the operations on buckets.
type buckets interface {
	// EnsureBucket creates the bucket if it is missing.
	EnsureBucket(ctx context.Context, bucket string) error
	// Reach returns why the bucket is unavailable; nil if it responds.
	Reach(ctx context.Context, bucket string) error
	// Prefixes returns the first path elements of all names under the prefix that have more than one.
	Prefixes(ctx context.Context, bucket, prefix string) ([]string, error)
	// AbortUploads aborts unfinished uploads under the prefix.
	AbortUploads(ctx context.Context, bucket, prefix string) error
}

// objects are the operations on the objects of a bucket.
type objects interface {
	// Objects returns all objects under the prefix, by name.
	Objects(ctx context.Context, bucket, prefix string) (map[string]Object, error)
	// Read returns a small object.
	Read(ctx context.Context, bucket, name string) ([]byte, error)
	// Count counts everything under the prefix, including versions and unfinished uploads.
	Count(ctx context.Context, bucket, prefix string) (Removed, error)
	// RemoveSome removes some of the selected names under the prefix with all their versions, and returns their number
	// and size: zero if none is left, or if there is no bucket. The function which selects names, without the prefix.
	RemoveSome(ctx context.Context, bucket, prefix string, which func(name string) bool) (Removed, error)
}

// store is an object store; Store is the real one.
type store interface {
	buckets
	objects
}

// Error is an error of the object store itself, or of its admin API.
type Error struct{ Err error }

// Error returns the store's text.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the store's error.
func (e *Error) Unwrap() error { return e.Err }

// ErrNoStore means that the database has backups, but the worker has no object store.
var ErrNoStore = errors.New(
	"the worker has no object store: DAAP_BACKUP_ENDPOINT is not set, and the database has backups")

// Archives are the archives of databases. Its methods return Error if the store fails, and ErrNoStore.
type Archives struct {
	// Store is nil if there is none.
	Store store

	// inspected contains the results of the last listing of archives, by database.
	inspected sync.Map
}

// archiveOf returns the location of the database's archive with the server name.
func archiveOf(db daap.Database, server string) (bucket, under string) {
	bucket, prefix := Locate(db.Destination())
	return bucket, prefix + "/" + server + "/"
}

// ensured wraps a store's error in Error.
func ensured(err error) error {
	if err == nil {
		return nil
	}
	return &Error{err}
}

// EnsureBucket creates the bucket of the database's backups if it is missing. Safe to repeat.
func (a *Archives) EnsureBucket(ctx context.Context, db daap.Database) error {
	if a.Store == nil {
		return ErrNoStore
	}
	bucket, _ := Locate(db.Profile.ObjectStorageDestination)
	return ensured(a.Store.EnsureBucket(ctx, bucket))
}

// Count returns the number and size of the objects in all archives of the database.
func (a *Archives) Count(ctx context.Context, db daap.Database) (Removed, error) {
	bucket, prefix := Locate(db.Destination())
	there, err := a.Store.Count(ctx, bucket, prefix+"/")
	return there, ensured(err)
}

// AbortUploads aborts all unfinished uploads to archives of the database.
func (a *Archives) AbortUploads(ctx context.Context, db daap.Database) error {
	bucket, prefix := Locate(db.Destination())
	return ensured(a.Store.AbortUploads(ctx, bucket, prefix+"/"))
}

// RemoveSome removes some objects from the archives of the database; the result is zero if none is left.
func (a *Archives) RemoveSome(ctx context.Context, db daap.Database) (Removed, error) {
	bucket, prefix := Locate(db.Destination())
	removed, err := a.Store.RemoveSome(ctx, bucket, prefix+"/", everything)
	return removed, ensured(err)
}

// Empty removes all objects under a destination, and calls alive after each removal.
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

// everything selects all names.
func everything(string) bool { return true }

// Restorable returns the newest server name with a completed base backup of the database; empty if there is none.
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

// Missing returns what the database's archive lacks: the base backup with that ID, or a WAL segment from the first one
// of that base backup to the last one. It is empty if the archive is complete.
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

// hasBackup reports whether the database's archive with that server name has a completed base backup.
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

// completed reads Barman's catalog of an archive, and returns the completed base backups.
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
