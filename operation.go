package daap

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Operation is a change of a database that takes time. Its row is its record for people, the lock on the database, and
// the outbox from which its workflow starts.
type Operation struct {
	// ID is a UUIDv7, so that order by ID is order of creation.
	ID           uuid.UUID
	Kind         OperationKind
	State        OperationState
	DatabaseID   uuid.UUID
	DatabaseName string
	OwnerTeam    string
	// Step is the current step; empty until the operation has begun.
	Step StepName
	// Cause explains why the operation makes no progress: always while it needs attention, and while it runs once the
	// cause is known.
	Cause *Cause
	// Tier is the target of an update, in its definition when the update was accepted; nil for other kinds.
	Tier *Tier
	// BacksUp reports whether the database has backups, or will have them after the operation, so that the steps for
	// backups apply.
	BacksUp bool
	// Origin is who requested the operation, and from where.
	Origin Origin
	// StatusBefore is the database's status when the operation was accepted; empty where the operation makes it.
	StatusBefore DatabaseStatus
	// CancelledBy is who cancelled the operation; it rolls back from then on. Empty otherwise.
	CancelledBy string
	// Receipt is what a deletion or archiving removes; nil until it is counted, and for other kinds.
	Receipt *Receipt
	// Incarnation is the incarnation that a reconcile began because the Cluster was gone; zero otherwise.
	Incarnation int
	// Restarts counts the workflows that were started to replace a lost one.
	Restarts   int
	CreatedAt  time.Time
	StartedAt  *time.Time
	FinishedAt *time.Time
	// Steps are all steps in order; empty in lists.
	Steps []Step
}

// WorkflowID returns the Temporal Workflow ID of the operation: the same for every start, so that a start can be
// repeated.
func (o Operation) WorkflowID() string {
	return fmt.Sprintf("db:%s:%s:%s", o.DatabaseID, o.Kind, o.ID)
}

// OperationKind is the type of an operation; it is also the Workflow Type.
type OperationKind string

// The kinds of operations.
const (
	ProvisionDatabase OperationKind = "provision_database"
	RestoreDatabase   OperationKind = "restore_database"
	UpdateDatabase    OperationKind = "update_database"
	BackUpDatabase    OperationKind = "back_up_database"
	FreezeDatabase    OperationKind = "freeze_database"
	UnfreezeDatabase  OperationKind = "unfreeze_database"
	ArchiveDatabase   OperationKind = "archive_database"
	DeleteDatabase    OperationKind = "delete_database"
	ReconcileDatabase OperationKind = "reconcile_database"
)

// OperationState is the progress of an operation.
type OperationState string

// The states of an operation; the first four are open and hold the database.
const (
	OperationPending        OperationState = "pending"
	OperationRunning        OperationState = "running"
	OperationNeedsAttention OperationState = "needs_attention"
	OperationCancelling     OperationState = "cancelling"
	OperationSucceeded      OperationState = "succeeded"
	OperationCancelled      OperationState = "cancelled"
)

// OpenStates returns the states in which an operation holds its database.
func OpenStates() []OperationState {
	return []OperationState{OperationPending, OperationRunning, OperationNeedsAttention, OperationCancelling}
}

// Open reports whether an operation in this state holds its database.
func (s OperationState) Open() bool { return slices.Contains(OpenStates(), s) }

// Settled reports whether waiting is pointless: the operation is over or needs attention.
func (s OperationState) Settled() bool { return !s.Open() || s == OperationNeedsAttention }

// kind defines one kind of operation.
type kind struct {
	name OperationKind
	// from lists the database statuses in which the operation may be requested: the source's for an operation that reads a
	// source, none for one that creates an empty database. done completes "cannot be …".
	from []DatabaseStatus
	done string
	// during is the database's status while the operation goes forward, undoing while it is rolled back, and after once
	// it has succeeded. The cost before and after follows from the statuses: Operation.Cost.
	during, undoing, after DatabaseStatus
	// makes means that the operation creates its database, so that rolling back deletes it.
	makes bool
	// readsSource means that it reads the archive of another database, which must not be removed meanwhile.
	readsSource bool
	// needsBackups means that the database or its source must have backups.
	needsBackups bool
	// destroys is the strategy that it carries out; empty for a kind that leaves the database to its team. Deletion
	// protection refuses the others.
	destroys DestructionStrategy
	// removesArchive means that it removes the backups, which no other operation may be reading.
	removesArchive bool
	// takesOver means that it may take the database from an operation of another kind.
	takesOver bool
	// resumesAtPivot means that the steps before the pivot cannot be repeated once the pivot was reached: a run that
	// replaces a lost one begins there.
	resumesAtPivot bool
	plan           []StepPlan
	// pivot is the first step that cannot be rolled back; why explains it.
	pivot StepName
	why   string
}

// kinds defines all kinds of operations, in display order.
var kinds = []kind{
	{
		name:   ProvisionDatabase,
		during: DatabaseProvisioning, undoing: DatabaseDeleting, after: DatabaseReady,
		makes: true,
		plan: []StepPlan{
			{Name: StepNamespace, Title: "Create the namespace"},
			{Name: StepCredentials, Title: "Create the credentials"},
			{Name: StepArchive, Title: "Create the archive", BacksUp: true},
			{Name: StepCluster, Title: "Create the Cluster"},
			{Name: StepPooler, Title: "Create the Pooler"},
			{Name: StepReady, Title: "Wait until PostgreSQL and PgBouncer are ready", Skippable: true},
			{Name: StepConnect, Title: "Connect over verified TLS", Skippable: true},
			{Name: StepBackup, Title: "Take the first base backup; the database already accepts connections", BacksUp: true},
			{Name: StepFinish, Title: "Record the database as ready"},
		},
		pivot: StepFinish,
		why:   "The database is complete and is being recorded as ready; delete it instead.",
	},
	{
		name:   UpdateDatabase,
		during: DatabaseUpdating, undoing: DatabaseUpdating, after: DatabaseReady,
		from: []DatabaseStatus{DatabaseReady}, done: "changed to another tier",
		plan: []StepPlan{
			{Name: StepCheck, Title: "Check that the Cluster can be changed to the tier"},
			{Name: StepNamespace, Title: "Label the namespace with the tier"},
			{Name: StepArchive, Title: "Create the archive", BacksUp: true},
			{Name: StepCluster, Title: "Apply the reversible changes to the Cluster"},
			{Name: StepPooler, Title: "Change the Pooler"},
			{Name: StepRollOut, Title: "Wait until every instance runs with the changes", Skippable: true},
			{Name: StepGrow, Title: "Grow the volumes, upgrade PostgreSQL, make commits wait for standbys"},
			{Name: StepReady, Title: "Wait until PostgreSQL and PgBouncer run with all changes", Skippable: true},
			{Name: StepBackup, Title: "Ensure that a base backup exists", BacksUp: true},
			{Name: StepFinish, Title: "Record the tier of the database"},
		},
		pivot: StepGrow,
		why: "The remaining changes cannot be undone: volumes cannot shrink, and PostgreSQL cannot be downgraded; " +
			"change the tier again instead.",
	},
	{
		name:   BackUpDatabase,
		during: DatabaseReady, undoing: DatabaseReady, after: DatabaseReady,
		from: []DatabaseStatus{DatabaseReady}, done: "backed up", needsBackups: true,
		plan: []StepPlan{
			{Name: StepBackup, Title: "Take a base backup"},
			{Name: StepFinish, Title: "Record the base backup"},
		},
		pivot: StepFinish,
		why:   "The base backup is complete and is being recorded.",
	},
	{
		name:   ReconcileDatabase,
		during: DatabaseUpdating, undoing: DatabaseUpdating, after: DatabaseReady,
		from: []DatabaseStatus{DatabaseReady}, done: "reconciled",
		plan: []StepPlan{
			{Name: StepCheck, Title: "Check the Cluster; if it is gone, begin a new one from the backups"},
			{Name: StepNamespace, Title: "Apply the namespace"},
			{Name: StepCredentials, Title: "Ensure that the credentials exist"},
			{Name: StepSource, Title: "Grant access to the archive that the Cluster is restored from"},
			{Name: StepArchive, Title: "Apply the archive", BacksUp: true},
			{Name: StepCluster, Title: "Apply the Cluster"},
			{Name: StepPooler, Title: "Apply the Pooler"},
			{Name: StepReady, Title: "Wait until PostgreSQL and PgBouncer run with all changes", Skippable: true},
			{Name: StepConnect, Title: "Connect over verified TLS", Skippable: true},
			{Name: StepBackup, Title: "Ensure that a base backup exists", BacksUp: true},
			{Name: StepFinish, Title: "Record the database as ready"},
		},
		pivot: StepFinish,
		why:   "All objects of the database are applied, and it is being recorded as ready.",
	},
	{
		name:   RestoreDatabase,
		during: DatabaseRestoring, undoing: DatabaseDeleting, after: DatabaseReady,
		from: []DatabaseStatus{DatabaseReady, DatabaseUpdating, DatabaseFrozen, DatabaseArchived}, done: "restored from",
		makes: true, readsSource: true, needsBackups: true,
		plan: []StepPlan{
			{Name: StepMarker, Title: "Archive the latest changes of the source", Skippable: true},
			{Name: StepNamespace, Title: "Create the namespace"},
			{Name: StepCredentials, Title: "Create the credentials"},
			{Name: StepSource, Title: "Grant access to the source's archive"},
			{Name: StepArchive, Title: "Create the archive", BacksUp: true},
			{Name: StepCluster, Title: "Create the Cluster from the source's archive"},
			{Name: StepPooler, Title: "Create the Pooler"},
			{Name: StepReady, Title: "Wait until PostgreSQL has recovered and is ready"},
			{Name: StepConnect, Title: "Connect over verified TLS", Skippable: true},
			{Name: StepBackup, Title: "Take the first base backup; the database already accepts connections", BacksUp: true},
			{Name: StepFinish, Title: "Record the database as ready"},
		},
		pivot: StepFinish,
		why:   "The database is restored and is being recorded as ready; delete it instead.",
	},
	{
		name:   FreezeDatabase,
		during: DatabaseFreezing, undoing: DatabaseFreezing, after: DatabaseFrozen,
		from: []DatabaseStatus{DatabaseReady}, done: "frozen", destroys: StrategyFreeze,
		plan: []StepPlan{
			{Name: StepSuspend, Title: "Suspend base backups, and wait for a running one", BacksUp: true},
			{Name: StepClients, Title: "Remove the pool and block all clients", Skippable: true},
			{Name: StepMarker, Title: "Archive the latest changes", Skippable: true, BacksUp: true},
			{
				Name: StepHibernate, Skippable: true,
				Title: "Hibernate the Cluster; if skipped, it keeps running without a pool and without clients",
			},
			{Name: StepVolumes, Title: "Check that the volumes exist"},
			{Name: StepFinish, Title: "Record the database as frozen"},
		},
		pivot: StepFinish,
		why:   "The database is frozen and is being recorded as frozen; unfreeze it instead.",
	},
	{
		name:   UnfreezeDatabase,
		during: DatabaseUnfreezing, undoing: DatabaseUnfreezing, after: DatabaseReady,
		from: []DatabaseStatus{DatabaseFrozen}, done: "unfrozen",
		plan: []StepPlan{
			{Name: StepWake, Title: "Wake the Cluster"},
			{Name: StepPooler, Title: "Recreate the pool"},
			{Name: StepReady, Title: "Wait until PostgreSQL and PgBouncer are ready", Skippable: true},
			{Name: StepConnect, Title: "Allow clients, and connect over verified TLS", Skippable: true},
			{
				Name: StepBackup, BacksUp: true,
				Title: "Resume base backups, starting with one now; the database already accepts connections",
			},
			{Name: StepFinish, Title: "Record the database as ready"},
		},
		pivot: StepFinish,
		why:   "The database runs again and is being recorded as ready; delete it to freeze it again.",
	},
	{
		name:   ArchiveDatabase,
		during: DatabaseArchiving, undoing: DatabaseArchiving, after: DatabaseArchived,
		from: []DatabaseStatus{DatabaseReady}, done: "archived",
		destroys: StrategyArchive, needsBackups: true, resumesAtPivot: true,
		plan: []StepPlan{
			{Name: StepSuspend, Title: "Suspend base backups, and wait for a running one"},
			{Name: StepClients, Title: "Remove the pool and block all clients"},
			{Name: StepBackup, Title: "Take the last base backup"},
			{Name: StepMarker, Title: "Archive the latest changes"},
			{Name: StepVerify, Title: "Verify that the archive is complete"},
			{Name: StepWorkloads, Title: "Delete the Pooler and the Cluster", Skippable: true},
			{Name: StepNamespace, Title: "Delete the namespace", Skippable: true},
			{Name: StepVolumes, Title: "Wait until the volumes are gone", Skippable: true},
			{Name: StepFinish, Title: "Record the database as archived"},
		},
		pivot: StepWorkloads,
		why: "The archive is verified, and the Pooler and the Cluster are being deleted or are gone; restore from the " +
			"archive instead.",
	},
	{
		name:   DeleteDatabase,
		during: DatabaseDeleting, undoing: DatabaseDeleting, after: DatabaseDeleted,
		from: undeleted(), done: "deleted permanently", destroys: StrategyHardDelete, removesArchive: true,
		takesOver: true,
		plan: []StepPlan{
			{Name: StepStop, Title: "Stop other operations on the database", Skippable: true},
			{Name: StepWorkloads, Title: "Delete the Pooler and the Cluster", Skippable: true},
			{Name: StepNamespace, Title: "Delete the namespace", Skippable: true},
			{Name: StepVolumes, Title: "Wait until the volumes are gone", Skippable: true},
			{Name: StepArchive, Title: "Remove the backups", Skippable: true, BacksUp: true},
			{Name: StepFinish, Title: "Record the database as deleted"},
		},
		pivot: StepWorkloads,
		why:   "The Pooler and the Cluster are being deleted or are gone; from here on, a deletion cannot be rolled back.",
	},
}

// OperationKinds returns all kinds of operations, in alphabetical order.
func OperationKinds() []OperationKind {
	return slices.Sorted(slices.Values(kindsThat(func(kind) bool { return true })))
}

// RunningKinds returns the kinds during which the database serves its clients.
func RunningKinds() []OperationKind { return kindsThat(func(k kind) bool { return k.during.runs() }) }

// SourceReaders returns the kinds that read the archive of another database.
func SourceReaders() []OperationKind { return kindsThat(func(k kind) bool { return k.readsSource }) }

func kindsThat(is func(kind) bool) []OperationKind {
	var all []OperationKind
	for _, k := range kinds {
		if is(k) {
			all = append(all, k.name)
		}
	}
	return all
}

// fixed returns the definition of kind k; the zero value if there is no such kind.
func (k OperationKind) fixed() kind {
	i := slices.IndexFunc(kinds, func(fixed kind) bool { return fixed.name == k })
	if i < 0 {
		return kind{}
	}
	return kinds[i]
}

// During returns the status of a database while an operation of kind k works on it.
func (k OperationKind) During() DatabaseStatus { return k.fixed().during }

// After returns the status of a database after an operation of kind k succeeded.
func (k OperationKind) After() DatabaseStatus { return k.fixed().after }

// Makes reports whether an operation of kind k makes its database, so that rolling it back leaves none.
func (k OperationKind) Makes() bool { return k.fixed().makes }

// RemovesArchive reports whether an operation of kind k removes the backups of its database.
func (k OperationKind) RemovesArchive() bool { return k.fixed().removesArchive }

// ResumesAtPivot reports whether a run of kind k that replaces a lost one begins at the pivot, if that was reached.
func (k OperationKind) ResumesAtPivot() bool { return k.fixed().resumesAtPivot }

// OperationFilter selects operations; the zero value selects all.
type OperationFilter struct {
	DatabaseID *uuid.UUID
	State      OperationState
	Kind       OperationKind
	// Cause selects operations that need attention for this cause.
	Cause CauseCode
	Page  Page
}
