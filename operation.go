package daap

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Operation is one change of a database that takes time. Its row is what people look at, the lock on the
// database, and the outbox from which its workflow is started.
type Operation struct {
	// ID is a UUIDv7, so that order by ID is order of creation.
	ID           uuid.UUID
	Kind         OperationKind
	State        OperationState
	DatabaseID   uuid.UUID
	DatabaseName string
	OwnerTeam    string
	// Step is the one at which the operation is; empty until it has begun.
	Step StepName
	// Cause says why the operation does not get on: always while it needs attention, and as soon as it is
	// known while it runs.
	Cause *Cause
	// Tier is the one that an update gives the database, all of it as it was when the update was accepted; nil for
	// other kinds.
	Tier *Tier
	// BacksUp says that the database has backups, or will once the operation is over, so that this has the steps for that.
	BacksUp bool
	// Origin is who asked for it, from where.
	Origin Origin
	// StatusBefore is the database's status when the operation was accepted; empty where the operation makes it.
	StatusBefore DatabaseStatus
	// CancelledBy is who gave the operation up; it undoes what it did from then on. Empty otherwise.
	CancelledBy string
	// Receipt is what a deletion or an archiving removes; nil until that is known, and for other kinds.
	Receipt *Receipt
	// Incarnation is the one that a reconcile has begun of a database whose Cluster was gone; zero where it has not, and
	// for other kinds.
	Incarnation int
	// Restarts counts the workflows that were started anew because one was lost.
	Restarts   int
	CreatedAt  time.Time
	StartedAt  *time.Time
	FinishedAt *time.Time
	// Steps are all steps in order; empty in lists.
	Steps []Step
}

// WorkflowID is the Temporal Workflow ID of the operation: the same for every start, so that a start
// may be repeated.
func (o Operation) WorkflowID() string {
	return fmt.Sprintf("db:%s:%s:%s", o.DatabaseID, o.Kind, o.ID)
}

// OperationKind says what an operation does; it is also the Workflow Type.
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

// OperationState says how far an operation is.
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

// Open says whether an operation in this state holds its database.
func (s OperationState) Open() bool { return slices.Contains(OpenStates(), s) }

// Settled says whether there is nothing to wait for: the operation is over, or waits for a person itself.
func (s OperationState) Settled() bool { return !s.Open() || s == OperationNeedsAttention }

// kind is all that is fixed of one kind of operation.
type kind struct {
	name OperationKind
	// from are the statuses of a database in which the operation may be requested: of the source for one that reads it,
	// none for one that makes its database from nothing. done completes "cannot be …".
	from []DatabaseStatus
	done string
	// during is the database's status while the operation goes forward, undoing while it is rolled back, and after once
	// it has succeeded. What the database costs before and after follows from the statuses: Operation.Cost.
	during, undoing, after DatabaseStatus
	// makes says that the operation makes its database, so that rolling it back leaves none.
	makes bool
	// readsSource says that it reads the archive of another database, which nothing may remove meanwhile.
	readsSource bool
	// needsBackups says that the database, or its source, must have backups.
	needsBackups bool
	// destroys is the strategy that it carries out; empty for a kind that leaves the database to its team. Deletion
	// protection refuses the others.
	destroys DestructionStrategy
	// removesArchive says that it removes the backups, which nothing may be reading.
	removesArchive bool
	// takesOver says that it may take the database from an operation of another kind.
	takesOver bool
	// resumesAtPivot says that the steps before the pivot cannot be repeated once it was reached: a run that replaces a
	// lost one begins there.
	resumesAtPivot bool
	plan           []StepPlan
	// pivot is the step from which on it only goes forward; why says what has happened then.
	pivot StepName
	why   string
}

// kinds are all kinds of operations, in the order in which people are shown them.
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
			{Name: StepBackup, Title: "Resume base backups, starting with one now; the database already accepts connections", BacksUp: true},
			{Name: StepFinish, Title: "Record the database as ready"},
		},
		pivot: StepFinish,
		why:   "The database runs again and is being recorded as ready; delete it to freeze it again.",
	},
	{
		name:   ArchiveDatabase,
		during: DatabaseArchiving, undoing: DatabaseArchiving, after: DatabaseArchived,
		from: []DatabaseStatus{DatabaseReady}, done: "archived", destroys: StrategyArchive, needsBackups: true, resumesAtPivot: true,
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

// fixed returns all that is fixed of kind k; the zero value where there is no such kind.
func (k OperationKind) fixed() kind {
	i := slices.IndexFunc(kinds, func(fixed kind) bool { return fixed.name == k })
	if i < 0 {
		return kind{}
	}
	return kinds[i]
}

// During is the status a database has while an operation of kind k works on it.
func (k OperationKind) During() DatabaseStatus { return k.fixed().during }

// After is the status a database has when an operation of kind k has succeeded.
func (k OperationKind) After() DatabaseStatus { return k.fixed().after }

// Makes reports whether an operation of kind k makes its database, so that rolling it back leaves none.
func (k OperationKind) Makes() bool { return k.fixed().makes }

// RemovesArchive reports whether an operation of kind k removes the backups of its database.
func (k OperationKind) RemovesArchive() bool { return k.fixed().removesArchive }

// ResumesAtPivot reports whether a run of kind k that replaces a lost one begins at the pivot, if that was reached.
func (k OperationKind) ResumesAtPivot() bool { return k.fixed().resumesAtPivot }

// OperationFilter chooses operations; the zero value chooses all.
type OperationFilter struct {
	DatabaseID *uuid.UUID
	State      OperationState
	Kind       OperationKind
	// Cause chooses those that need attention for this cause.
	Cause CauseCode
	Page  Page
}
