package daap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Orphan is something that carries a database's ID and that no database has any more.
type Orphan struct {
	// ID is a UUIDv7, so that order by ID is order of when it was found.
	ID   uuid.UUID
	Kind OrphanKind
	// Name is that of the namespace or the volume, namespace/name of a Secret, and s3://bucket/prefix of an archive.
	Name       string
	DatabaseID uuid.UUID
	// Reason says why it is one.
	Reason string
	// FirstSeenAt and LastSeenAt are when it was found first and last.
	FirstSeenAt, LastSeenAt time.Time
	// RemovalRequestedAt is when somebody asked to remove it; nil where nobody did. RemovalError is what kept it from
	// being removed; empty where nothing did.
	RemovalRequestedAt *time.Time
	RemovalError       string
}

// OrphanKind says what an orphan is.
type OrphanKind string

// The kinds of orphans.
const (
	OrphanNamespace        OrphanKind = "namespace"
	OrphanSecret           OrphanKind = "secret"
	OrphanPersistentVolume OrphanKind = "persistent_volume"
	OrphanArchive          OrphanKind = "archive"
)

// Found is something that carries a database's ID.
type Found struct {
	Kind       OrphanKind
	Name       string
	DatabaseID uuid.UUID
	// CreatedAt is when it was made; zero where nobody knows.
	CreatedAt time.Time
	// GoesSince is since when it is being removed; nil while it is not.
	GoesSince *time.Time
	// Retained says that it is kept on purpose when its database goes, as by a storage class.
	Retained bool
}

// Verdict says whose something is that was found.
type Verdict string

// The verdicts: a database's, left behind as it should be, or nobody's.
const (
	VerdictOwned    Verdict = "owned"
	VerdictExpected Verdict = "expected"
	VerdictOrphan   Verdict = "orphan"
)

// orphanGrace is for how long something may be without a database: what is new may be told later, and what goes may
// still have been there when it was looked for.
const orphanGrace = time.Hour

// Verdict says whose it is; db is the database of its ID, nil where there is none. The reason is a sentence.
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

// OrphanFilter chooses orphans; the zero value chooses all.
type OrphanFilter struct{ Page Page }

// Orphans are the use cases of orphans.
type Orphans struct {
	store  orphanStore
	reaper reaper
}

// orphanStore keeps orphans; one that is not there is NotFound.
type orphanStore interface {
	Orphans(ctx context.Context, filter OrphanFilter) ([]Orphan, error)
	// RequestOrphanRemoval notes that the orphan is to be removed.
	RequestOrphanRemoval(ctx context.Context, by Grant, id uuid.UUID) (Orphan, error)
	// CountOrphans returns how many there are.
	CountOrphans(ctx context.Context) (int, error)
}

// reaper has a worker look for orphans, and remove those that are to be. It must bound its own time.
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

// Remove has the orphan removed, once it is seen again that it is one. A worker that is away does so later. Errors:
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
	_ = o.reaper.Reap(ctx) // the next time it looks by itself makes up for it
	return orphan, nil
}

// ErrOrphans says that something was left behind.
var ErrOrphans = errors.New("resources exist that belong to no database")

// Probe returns ErrOrphans while there are any.
func (o *Orphans) Probe(ctx context.Context) error {
	n, err := o.store.CountOrphans(ctx)
	if err == nil && n > 0 {
		return fmt.Errorf("%w: %d of them; GET /orphans lists them", ErrOrphans, n)
	}
	return err
}
