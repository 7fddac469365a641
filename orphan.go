package daap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Orphan is a resource that carries a database's ID but belongs to no database.
type Orphan struct {
	// ID is a UUIDv7, so that order by ID is order of discovery.
	ID   uuid.UUID
	Kind OrphanKind
	// Name is the name of the namespace or volume, namespace/name of a Secret, or s3://bucket/prefix of an archive.
	Name       string
	DatabaseID uuid.UUID
	// Reason explains why it is an orphan.
	Reason string
	// FirstSeenAt and LastSeenAt are when it was first and last found.
	FirstSeenAt, LastSeenAt time.Time
	// RemovalRequestedAt is when its removal was requested; nil if it was not. RemovalError explains why the removal
	// failed; empty otherwise.
	RemovalRequestedAt *time.Time
	RemovalError       string
}

// OrphanKind is the type of an orphan.
type OrphanKind string

// The kinds of orphans.
const (
	OrphanNamespace        OrphanKind = "namespace"
	OrphanSecret           OrphanKind = "secret"
	OrphanPersistentVolume OrphanKind = "persistent_volume"
	OrphanArchive          OrphanKind = "archive"
)

// Found is a resource that carries a database's ID.
type Found struct {
	Kind       OrphanKind
	Name       string
	DatabaseID uuid.UUID
	// CreatedAt is when it was created; zero if unknown.
	CreatedAt time.Time
	// GoesSince is since when it is being removed; nil if it is not.
	GoesSince *time.Time
	// Retained means that it is kept on purpose when its database goes, for example by a storage class.
	Retained bool
}

// Verdict classifies a found resource.
type Verdict string

// The verdicts: it belongs to a database, is left behind on purpose, or is an orphan.
const (
	VerdictOwned    Verdict = "owned"
	VerdictExpected Verdict = "expected"
	VerdictOrphan   Verdict = "orphan"
)

// orphanGrace is how long a resource may be without a database: a new one may be recorded later, and one being removed
// may still have existed during the search.
const orphanGrace = time.Hour

// Verdict classifies the resource; db is the database with its ID, nil if there is none. The reason is a sentence.
func (f Found) Verdict(db *Database, now time.Time) (v Verdict, reason string) {
	switch {
	case f.GoesSince != nil && now.Sub(*f.GoesSince) < orphanGrace:
		return VerdictExpected, "It is being removed."
	case db == nil && now.Sub(f.CreatedAt) < orphanGrace:
		return VerdictExpected, "It was created only recently."
	case db == nil:
		return VerdictOrphan, "No database has ever had its ID."
	case db.OperationID != nil:
		return VerdictExpected, fmt.Sprintf("Operation %s is in progress on its database.", *db.OperationID)
	case f.Retained:
		return VerdictExpected, "Its storage class retains volumes."
	case db.Status == DatabaseDeleted && db.DeletedAt != nil && now.Sub(*db.DeletedAt) < orphanGrace:
		return VerdictExpected, "Its database was just deleted."
	case db.Status == DatabaseDeleted:
		return VerdictOrphan, fmt.Sprintf("Its database, %s of %s, is deleted.", db.Name, db.OwnerTeam)
	case db.Status == DatabaseArchived && f.Kind != OrphanArchive:
		return VerdictOrphan, fmt.Sprintf("Its database, %s of %s, is archived.", db.Name, db.OwnerTeam)
	}
	return VerdictOwned, "It belongs to its database."
}

// OrphanFilter selects orphans; the zero value selects all.
type OrphanFilter struct{ Page Page }

// Orphans are the use cases of orphans.
type Orphans struct {
	store  orphanStore
	reaper reaper
}

// orphanStore stores orphans; a missing one is NotFound.
type orphanStore interface {
	Orphans(ctx context.Context, filter OrphanFilter) ([]Orphan, error)
	// RequestOrphanRemoval records that the orphan is to be removed.
	RequestOrphanRemoval(ctx context.Context, by Grant, id uuid.UUID) (Orphan, error)
	// CountOrphans returns the number of orphans.
	CountOrphans(ctx context.Context) (int, error)
}

// reaper makes a worker search for orphans and remove the requested ones. It must bound its own time.
type reaper interface {
	Reap(ctx context.Context) error
}

// NewOrphans returns the use cases on the given store.
func NewOrphans(store orphanStore, reaper reaper) *Orphans {
	return &Orphans{store: store, reaper: reaper}
}

// List returns one page of orphans, newest first, and the cursor of the next page: empty on the last. Errors:
// CodeUnauthenticated, CodeForbidden.
func (o *Orphans) List(ctx context.Context, req Request, filter OrphanFilter) ([]Orphan, string, error) {
	if _, err := req.authorize(MayListOrphans); err != nil {
		return nil, "", err
	}
	return onePage("list orphans", &filter.Page, func() ([]Orphan, error) { return o.store.Orphans(ctx, filter) },
		func(orphan Orphan) uuid.UUID { return orphan.ID })
}

// Remove removes the orphan after confirming that it still is one. If no worker is running, this happens later. Errors:
// CodeUnauthenticated, CodeForbidden, CodeNotFound, and those of once.
func (o *Orphans) Remove(ctx context.Context, req Request, id uuid.UUID) (Orphan, error) {
	by, err := req.authorize(MayRemoveOrphan)
	if err != nil {
		return Orphan{}, err
	}
	orphan, err := o.store.RequestOrphanRemoval(ctx, by, id)
	if err != nil {
		return Orphan{}, err
	}
	_ = o.reaper.Reap(ctx) // the next scheduled search removes it
	return orphan, nil
}

// ErrOrphans means that there are orphans.
var ErrOrphans = errors.New("resources exist that belong to no database")

// Probe returns ErrOrphans while there are any.
func (o *Orphans) Probe(ctx context.Context) error {
	n, err := o.store.CountOrphans(ctx)
	if err == nil && n > 0 {
		return fmt.Errorf("%w: %d of them; GET /orphans lists them", ErrOrphans, n)
	}
	return err
}
