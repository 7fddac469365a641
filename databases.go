package daap

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Databases are the use cases of databases. Errors for people are of type *Error; all others are faults of the service.
type Databases struct {
	store   databaseStore
	changes databaseChanges
	starter operationStarter
	backlog int
}

// databaseStore reads databases; one that does not exist or is out of scope is NotFound.
type databaseStore interface {
	Database(ctx context.Context, scope Scope, id uuid.UUID) (Database, error)
	Databases(ctx context.Context, scope Scope, filter DatabaseFilter) ([]Database, error)
	// CACertificate is empty until it is known.
	CACertificate(ctx context.Context, scope Scope, id uuid.UUID) (CABundle, error)
	Events(ctx context.Context, scope Scope, filter EventFilter) ([]Event, error)
	// DescribeDatabase reads everything known about one database in one snapshot.
	DescribeDatabase(ctx context.Context, scope Scope, id uuid.UUID) (DatabaseView, error)
	quotaReader
	backupStore
	fleetStore
}

// quotaReader reads a tier's quota and its use.
type quotaReader interface {
	TierQuota(ctx context.Context, id uuid.UUID) (QuotaUse, error)
}

// databaseChanges writes databases. Each call is one transaction with its audit log entry and the answer for the
// grant's Once: a repeated request gets its first answer and changes nothing. All calls that take a Grant can return
// KeyReused and InProgress. A dry run returns the result or error of the request and changes nothing.
type databaseChanges interface {
	// CreateDatabase records the database and its operation, or nothing. Its Tier is a name or an ID, and becomes the
	// name. Errors: TierNotFound, CodeQuotaExceeded, NameTaken, and for a restore the errors of its Check.
	CreateDatabase(ctx context.Context, by Grant, db Database, from *RestoreFrom, op Operation) (
		Database, Operation, error)
	// PatchDatabase applies the patch to the locked database. If the patch sets another tier, or the current definition of
	// its own tier, op is recorded with that tier and returned. Errors: TierNotFound, CodeQuotaExceeded, Busy and
	// WrongStatus as for the others.
	PatchDatabase(ctx context.Context, by Grant, id uuid.UUID, patch DatabasePatch, op Operation) (
		Database, *Operation, error)
	// AcceptOperation gives the database to op and records op, or nothing. Busy if another operation holds the database
	// and op may not take it over; WrongStatus if the status does not allow it.
	AcceptOperation(ctx context.Context, by Grant, op Operation) (Database, Operation, error)
	// Backlogged reports whether more than the given number of operations wait to start.
	Backlogged(ctx context.Context, limit int) (bool, error)
}

// operationStarter starts the workflow of an operation; safe to repeat.
type operationStarter interface {
	Start(ctx context.Context, op Operation) error
}

// NewDatabases returns the use cases on the given store. starter must bound its own time: callers wait for it. While
// more than backlog operations wait to start, new ones are refused.
func NewDatabases(store databaseStore, changes databaseChanges, starter operationStarter, backlog int) *Databases {
	return &Databases{store: store, changes: changes, starter: starter, backlog: backlog}
}

// admit refuses requests that would extend the backlog. Errors: CodeUnavailable.
func (d *Databases) admit(ctx context.Context) error {
	over, err := d.changes.Backlogged(ctx, d.backlog)
	if err != nil {
		return fmt.Errorf("count the backlog: %w", err)
	}
	if over {
		return Unavailable("Too many accepted operations are waiting to start; try again in a few minutes.")
	}
	return nil
}

// Create records the database with the operation that provisions it, and starts the operation. The owner defaults to
// the caller's team. If the start fails, the request succeeds anyway: the operation stays pending, and the Dispatcher
// starts it. Errors: CodeUnauthenticated, CodeForbidden also for another team's database, CodeValidationFailed,
// CodeQuotaExceeded, CodeNameTaken, CodeUnavailable above the backlog, and those of once.
func (d *Databases) Create(ctx context.Context, req Request, spec DatabaseSpec) (Database, Operation, error) {
	by, err := req.authorize(MayCreateDatabase)
	if err != nil {
		return Database{}, Operation{}, err
	}
	db, op, err := d.make(ctx, by, ProvisionDatabase, spec, nil)
	if err == nil {
		d.start(ctx, op)
	}
	return db, op, err
}

// PreviewCreate returns the effect of Create and changes nothing. Errors: those of Create.
func (d *Databases) PreviewCreate(ctx context.Context, req Request, spec DatabaseSpec) (Preview, error) {
	by, err := req.authorize(MayCreateDatabase)
	if err != nil {
		return Preview{}, err
	}
	by.DryRun = true
	db, op, err := d.make(ctx, by, ProvisionDatabase, spec, nil)
	if err != nil {
		return Preview{}, err
	}
	preview := Preview{Operation: op.Kind, Changes: changes(nil, db.shown(by.Scope))}
	preview.Quotas, err = d.quotaEffects(ctx, Database{}, db)
	return preview, err
}

// make records a database and the operation of the kind that creates it, empty or from a source.
func (d *Databases) make(
	ctx context.Context, by Grant, kind OperationKind, spec DatabaseSpec, from *RestoreFrom,
) (Database, Operation, error) {
	owner, err := by.owner(spec.OwnerTeam)
	if err != nil {
		return Database{}, Operation{}, err
	}
	spec.OwnerTeam = owner
	if err := spec.Validate(); err != nil {
		return Database{}, Operation{}, err
	}
	if err := d.admit(ctx); err != nil {
		return Database{}, Operation{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Database{}, Operation{}, fmt.Errorf("create a database ID: %w", err)
	}
	by = by.AsAccepted()
	op, err := newOperation(kind, id, by)
	if err != nil {
		return Database{}, Operation{}, err
	}
	op.DatabaseName, op.OwnerTeam = spec.Name, spec.OwnerTeam
	made := Database{
		ID:          id,
		Name:        spec.Name,
		OwnerTeam:   spec.OwnerTeam,
		Tier:        spec.Tier,
		Description: spec.Description,
		Labels:      spec.Labels,
		Status:      kind.During(),
		Incarnation: 1,
	}
	if from != nil {
		made.Source = from.source()
	}
	db, op, err := d.changes.CreateDatabase(ctx, by, made, from, op)
	if err != nil {
		return Database{}, Operation{}, fmt.Errorf("create database %s: %w", spec.Name, err)
	}
	return db, op, nil
}

// quotaEffects returns the effect of a change from was, which is zero for a new database, to is on the quotas of both
// tiers.
func (d *Databases) quotaEffects(ctx context.Context, was, is Database) ([]QuotaEffect, error) {
	var effects []QuotaEffect
	for _, db := range []Database{is, was} {
		if db.TierID == nil || slices.ContainsFunc(effects, func(e QuotaEffect) bool { return e.Tier == db.Tier }) {
			continue
		}
		now, err := d.store.TierQuota(ctx, *db.TierID)
		if err != nil {
			return nil, fmt.Errorf("read the quota of tier %s: %w", db.Tier, err)
		}
		then := now.Used
		if was.TierID != nil && *was.TierID == *db.TierID {
			then = then.minus(was.Profile.Cost())
		}
		if *is.TierID == *db.TierID {
			then = then.plus(is.Profile.Cost())
		}
		if then != now.Used {
			effects = append(effects, QuotaEffect{Tier: db.Tier, Now: now, Then: then})
		}
	}
	return effects, nil
}

// List returns one page of databases, newest first, and the cursor of the next page: empty on the last.
// Errors: CodeUnauthenticated, CodeForbidden, CodeValidationFailed.
func (d *Databases) List(ctx context.Context, req Request, filter DatabaseFilter) ([]Database, string, error) {
	by, err := req.authorize(MayListDatabases)
	if err != nil {
		return nil, "", err
	}
	return onePage("list databases", &filter.Page,
		func() ([]Database, error) { return d.store.Databases(ctx, by.Scope, filter) },
		func(db Database) uuid.UUID { return db.ID })
}

// Update applies a merge patch. Setting another tier, or the current definition of the database's own tier, takes time:
// the operation is recorded, returned, and started like Create; it is nil if the change takes no time. Errors:
// CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeValidationFailed also if the database cannot change to the
// tier, CodeQuotaExceeded, CodeDatabaseBusy, CodeWrongStatus when deleted, and for a tier unless ready, CodeUnavailable
// above the backlog, and those of once.
func (d *Databases) Update(
	ctx context.Context, req Request, id uuid.UUID, patch DatabasePatch,
) (Database, *Operation, error) {
	by, err := req.authorize(MayUpdateDatabase)
	if err != nil {
		return Database{}, nil, err
	}
	db, op, err := d.update(ctx, by, id, patch)
	if op != nil {
		d.start(ctx, *op)
	}
	return db, op, err
}

// PreviewUpdate returns the effect of Update and changes nothing. Errors: those of Update.
func (d *Databases) PreviewUpdate(
	ctx context.Context, req Request, id uuid.UUID, patch DatabasePatch,
) (Preview, error) {
	by, err := req.authorize(MayUpdateDatabase)
	if err != nil {
		return Preview{}, err
	}
	was, err := d.store.Database(ctx, by.Scope, id)
	if err != nil {
		return Preview{}, err
	}
	by.DryRun = true
	is, op, err := d.update(ctx, by, id, patch)
	if err != nil {
		return Preview{}, err
	}
	var preview Preview
	if op != nil {
		preview.Operation = op.Kind
		is = is.With(*op.Tier)
		preview.Restarts = was.Profile.Restarts(is.Profile)
		if preview.Quotas, err = d.quotaEffects(ctx, was, is); err != nil {
			return Preview{}, err
		}
	}
	preview.Changes = changes(was.shown(by.Scope), is.shown(by.Scope))
	return preview, nil
}

func (d *Databases) update(
	ctx context.Context, by Grant, id uuid.UUID, patch DatabasePatch,
) (Database, *Operation, error) {
	op, err := newOperation(UpdateDatabase, id, by.AsAccepted())
	if err != nil {
		return Database{}, nil, err
	}
	if patch.Tier != nil {
		if err := d.admit(ctx); err != nil {
			return Database{}, nil, err
		}
	}
	return d.changes.PatchDatabase(ctx, by, id, patch, op)
}

// start starts a recorded operation. The Dispatcher repeats a start that is lost.
func (d *Databases) start(ctx context.Context, op Operation) { _ = d.starter.Start(ctx, op) }

// accept records an operation of the kind on the database, and starts it.
func (d *Databases) accept(
	ctx context.Context, by Grant, kind OperationKind, id uuid.UUID,
) (Database, Operation, error) {
	if err := d.admit(ctx); err != nil {
		return Database{}, Operation{}, err
	}
	by = by.AsAccepted()
	op, err := newOperation(kind, id, by)
	if err != nil {
		return Database{}, Operation{}, err
	}
	db, op, err := d.changes.AcceptOperation(ctx, by, op)
	if err != nil {
		return Database{}, Operation{}, fmt.Errorf("%s %s: %w", kind, id, err)
	}
	d.start(ctx, op)
	return db, op, nil
}

// Connection returns the connection details, also while the database is being provisioned, once they are known, or
// updated. Errors: CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeWrongStatus.
func (d *Databases) Connection(ctx context.Context, req Request, id uuid.UUID) (Connection, error) {
	by, err := req.authorize(MayGetDatabaseConnection)
	if err != nil {
		return Connection{}, err
	}
	db, err := d.store.Database(ctx, by.Scope, id)
	if err != nil {
		return Connection{}, err
	}
	known, err := d.store.CACertificate(ctx, by.Scope, id)
	if err != nil {
		return Connection{}, fmt.Errorf("connection of database %s: %w", id, err)
	}
	if !db.Status.connectable() || known == "" {
		return Connection{}, WrongStatus(db.Status, "has no connection details; they are available once PostgreSQL is "+
			"ready")
	}
	ca, err := known.AsOf(time.Now())
	if err != nil {
		return Connection{}, fmt.Errorf("connection of database %s: %w", id, err)
	}
	expires, err := ca.ExpiresAt()
	return Connection{DatabaseID: id, CACertificate: ca, CAExpiresAt: expires}, err
}

// Events returns one page of the database's timeline, newest first, and the cursor of the next page: empty on
// the last. Errors: CodeUnauthenticated, CodeForbidden, CodeNotFound.
func (d *Databases) Events(ctx context.Context, req Request, filter EventFilter) ([]Event, string, error) {
	by, err := req.authorize(MayListDatabaseEvents)
	if err != nil {
		return nil, "", err
	}
	if _, err := d.store.Database(ctx, by.Scope, filter.DatabaseID); err != nil {
		return nil, "", err
	}
	return onePage("list events", &filter.Page,
		func() ([]Event, error) { return d.store.Events(ctx, by.Scope, filter) },
		func(e Event) uuid.UUID { return e.ID })
}

// newOperation returns a pending operation of the given kind for the caller. It gets its steps once it is known whether
// its database has backups.
func newOperation(kind OperationKind, database uuid.UUID, by Grant) (Operation, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Operation{}, fmt.Errorf("create an operation ID: %w", err)
	}
	return Operation{ID: id, Kind: kind, State: OperationPending, DatabaseID: database, Origin: by.Origin()}, nil
}
