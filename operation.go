package daap

import (
	"fmt"
	"maps"
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
	// StatusBefore is the database's status when the operation was accepted; empty for a provision.
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

// StepName names a step within its operation.
type StepName string

// The steps of operations.
const (
	StepCheck       StepName = "check"
	StepNamespace   StepName = "namespace"
	StepSource      StepName = "source"
	StepMarker      StepName = "marker"
	StepArchive     StepName = "archive"
	StepCredentials StepName = "credentials"
	StepCluster     StepName = "cluster"
	StepPooler      StepName = "pooler"
	StepRollOut     StepName = "roll_out"
	StepGrow        StepName = "grow"
	StepReady       StepName = "ready"
	StepConnect     StepName = "connect"
	StepBackup      StepName = "backup"
	StepStop        StepName = "stop"
	StepWorkloads   StepName = "workloads"
	StepVolumes     StepName = "volumes"
	StepSuspend     StepName = "suspend"
	StepClients     StepName = "clients"
	StepHibernate   StepName = "hibernate"
	StepWake        StepName = "wake"
	StepVerify      StepName = "verify"
	StepFinish      StepName = "finish"
)

// StepPlan is a step before it runs.
type StepPlan struct {
	Name StepName
	// Title says to people what the step does.
	Title string
	// Skippable says that what follows can do without the step.
	Skippable bool
	// BacksUp says that only operations have it whose database has backups.
	BacksUp bool
}

// kinds are all that is fixed of each kind of operation.
var kinds = map[OperationKind]struct {
	// during is the database's status while the operation goes forward, undoing while it takes back, and after
	// once it has succeeded.
	during, undoing, after DatabaseStatus
	plan                   []StepPlan
	// pivot is the step from which on it only goes forward; why says what has happened then.
	pivot StepName
	why   string
}{
	ProvisionDatabase: {
		during: DatabaseProvisioning, undoing: DatabaseDeleting, after: DatabaseReady,
		plan: []StepPlan{
			{Name: StepNamespace, Title: "Create the namespace"},
			{Name: StepCredentials, Title: "Create the credentials"},
			{Name: StepArchive, Title: "Create the archive", BacksUp: true},
			{Name: StepCluster, Title: "Create the Cluster"},
			{Name: StepPooler, Title: "Create the Pooler"},
			{Name: StepReady, Title: "Wait until PostgreSQL and PgBouncer are ready", Skippable: true},
			{Name: StepConnect, Title: "Connect over verified TLS", Skippable: true},
			{Name: StepBackup, Title: "Take the first base backup; the database takes connections already", BacksUp: true},
			{Name: StepFinish, Title: "Record the database as ready"},
		},
		pivot: StepFinish,
		why:   "The database is made and being recorded as ready; delete it instead.",
	},
	RestoreDatabase: {
		during: DatabaseRestoring, undoing: DatabaseDeleting, after: DatabaseReady,
		plan: []StepPlan{
			{Name: StepMarker, Title: "Have what the source wrote last archived", Skippable: true},
			{Name: StepNamespace, Title: "Create the namespace"},
			{Name: StepCredentials, Title: "Create the credentials"},
			{Name: StepSource, Title: "Give access to the source's archive"},
			{Name: StepArchive, Title: "Create the archive", BacksUp: true},
			{Name: StepCluster, Title: "Create the Cluster from the source's archive"},
			{Name: StepPooler, Title: "Create the Pooler"},
			{Name: StepReady, Title: "Wait until PostgreSQL has recovered and is ready"},
			{Name: StepConnect, Title: "Connect over verified TLS", Skippable: true},
			{Name: StepBackup, Title: "Take the first base backup; the database takes connections already", BacksUp: true},
			{Name: StepFinish, Title: "Record the database as ready"},
		},
		pivot: StepFinish,
		why:   "The database is restored and being recorded as ready; delete it instead.",
	},
	UpdateDatabase: {
		during: DatabaseUpdating, undoing: DatabaseUpdating, after: DatabaseReady,
		plan: []StepPlan{
			{Name: StepCheck, Title: "Check that the Cluster can be changed so"},
			{Name: StepNamespace, Title: "Label the namespace with the tier"},
			{Name: StepArchive, Title: "Create the archive", BacksUp: true},
			{Name: StepCluster, Title: "Change what of the Cluster can be changed back"},
			{Name: StepPooler, Title: "Change the Pooler"},
			{Name: StepRollOut, Title: "Wait until every instance runs with it", Skippable: true},
			{Name: StepGrow, Title: "Grow the volumes, raise the version, let commits wait for standbys"},
			{Name: StepReady, Title: "Wait until PostgreSQL and PgBouncer run with all of it", Skippable: true},
			{Name: StepBackup, Title: "See to it that there is a base backup", BacksUp: true},
			{Name: StepFinish, Title: "Record the tier of the database"},
		},
		pivot: StepGrow,
		why: "What is changed now cannot be changed back: volumes do not shrink, and PostgreSQL does not go back to an " +
			"older version; change the tier again instead.",
	},
	ReconcileDatabase: {
		during: DatabaseUpdating, undoing: DatabaseUpdating, after: DatabaseReady,
		plan: []StepPlan{
			{Name: StepCheck, Title: "Look what is there; where the Cluster is gone, begin another one from the backups"},
			{Name: StepNamespace, Title: "Apply the namespace"},
			{Name: StepCredentials, Title: "See to it that the credentials are there"},
			{Name: StepSource, Title: "Give access to what the Cluster is restored from"},
			{Name: StepArchive, Title: "Apply the archive", BacksUp: true},
			{Name: StepCluster, Title: "Apply the Cluster"},
			{Name: StepPooler, Title: "Apply the Pooler"},
			{Name: StepReady, Title: "Wait until PostgreSQL and PgBouncer run with all of it", Skippable: true},
			{Name: StepConnect, Title: "Connect over verified TLS", Skippable: true},
			{Name: StepBackup, Title: "See to it that there is a base backup", BacksUp: true},
			{Name: StepFinish, Title: "Record the database as ready"},
		},
		pivot: StepFinish,
		why:   "All of the database is applied, and it is being recorded as ready.",
	},
	BackUpDatabase: {
		during: DatabaseReady, undoing: DatabaseReady, after: DatabaseReady,
		plan: []StepPlan{
			{Name: StepBackup, Title: "Take a base backup"},
			{Name: StepFinish, Title: "Record the base backup"},
		},
		pivot: StepFinish,
		why:   "The base backup is taken and being recorded.",
	},
	FreezeDatabase: {
		during: DatabaseFreezing, undoing: DatabaseFreezing, after: DatabaseFrozen,
		plan: []StepPlan{
			{Name: StepSuspend, Title: "Suspend base backups, and wait for one that runs", BacksUp: true},
			{Name: StepClients, Title: "Take the pool away and let no client in", Skippable: true},
			{Name: StepMarker, Title: "Have what was written last archived", Skippable: true, BacksUp: true},
			{
				Name: StepHibernate, Skippable: true,
				Title: "Hibernate the Cluster; where this is skipped it runs on, without pool and clients",
			},
			{Name: StepVolumes, Title: "See to it that the volumes are there"},
			{Name: StepFinish, Title: "Record the database as frozen"},
		},
		pivot: StepFinish,
		why:   "The database is frozen and being recorded as such; unfreeze it instead.",
	},
	UnfreezeDatabase: {
		during: DatabaseUnfreezing, undoing: DatabaseUnfreezing, after: DatabaseReady,
		plan: []StepPlan{
			{Name: StepWake, Title: "Wake the Cluster up"},
			{Name: StepPooler, Title: "Bring the pool back"},
			{Name: StepReady, Title: "Wait until PostgreSQL and PgBouncer are ready", Skippable: true},
			{Name: StepConnect, Title: "Let clients in, and connect over verified TLS", Skippable: true},
			{Name: StepBackup, Title: "Resume base backups with one now; the database takes connections", BacksUp: true},
			{Name: StepFinish, Title: "Record the database as ready"},
		},
		pivot: StepFinish,
		why:   "The database is back and being recorded as ready; delete it to freeze it again.",
	},
	ArchiveDatabase: {
		during: DatabaseArchiving, undoing: DatabaseArchiving, after: DatabaseArchived,
		plan: []StepPlan{
			{Name: StepSuspend, Title: "Suspend base backups, and wait for one that runs"},
			{Name: StepClients, Title: "Take the pool away and let no client in"},
			{Name: StepBackup, Title: "Take the last base backup"},
			{Name: StepMarker, Title: "Have what was written last archived"},
			{Name: StepVerify, Title: "Verify that all of it is in the archive"},
			{Name: StepWorkloads, Title: "Delete the Pooler and the Cluster", Skippable: true},
			{Name: StepNamespace, Title: "Delete the namespace", Skippable: true},
			{Name: StepVolumes, Title: "Wait until the volumes are gone", Skippable: true},
			{Name: StepFinish, Title: "Record the database as archived"},
		},
		pivot: StepWorkloads,
		why: "The archive is verified, and the Pooler and the Cluster are being deleted or gone already; " +
			"restore from the archive instead.",
	},
	DeleteDatabase: {
		during: DatabaseDeleting, undoing: DatabaseDeleting, after: DatabaseDeleted,
		plan: []StepPlan{
			{Name: StepStop, Title: "Stop what still works on the database", Skippable: true},
			{Name: StepWorkloads, Title: "Delete the Pooler and the Cluster", Skippable: true},
			{Name: StepNamespace, Title: "Delete the namespace", Skippable: true},
			{Name: StepVolumes, Title: "Wait until the volumes are gone", Skippable: true},
			{Name: StepArchive, Title: "Remove the backups", Skippable: true, BacksUp: true},
			{Name: StepFinish, Title: "Record the database as deleted"},
		},
		pivot: StepWorkloads,
		why: "The Pooler and the Cluster are being deleted or gone already; " +
			"from there a deletion only goes forward.",
	},
}

// OperationKinds returns all kinds of operations, in alphabetical order.
func OperationKinds() []OperationKind { return slices.Sorted(maps.Keys(kinds)) }

// Pivot is the step from which on an operation of kind k only goes forward.
func (k OperationKind) Pivot() StepName { return kinds[k].pivot }

// pastPivot says why an operation of kind k that is at the step can no longer be given up; empty while it can.
func (k OperationKind) pastPivot(at StepName) string {
	for _, plan := range kinds[k].plan {
		if plan.Name == kinds[k].pivot {
			break
		}
		if plan.Name == at {
			return ""
		}
	}
	return kinds[k].why
}

func (k OperationKind) plan(name StepName) (StepPlan, bool) {
	for _, p := range kinds[k].plan {
		if p.Name == name {
			return p, true
		}
	}
	return StepPlan{Name: name, Title: string(name)}, false
}

// Steps returns all steps that operations of kind k may have, in order.
func (k OperationKind) Steps() []StepPlan { return slices.Clone(kinds[k].plan) }

// Plan returns the steps of an operation of kind k whose database has backups, or has none, in order.
func (k OperationKind) Plan(backsUp bool) []StepPlan {
	return slices.DeleteFunc(k.Steps(), func(p StepPlan) bool { return p.BacksUp && !backsUp })
}

// Planned is the operation with all its steps, none of which has begun.
func (o Operation) Planned() Operation {
	o.Steps = nil
	for _, plan := range o.Kind.Plan(o.BacksUp) {
		o.Steps = append(o.Steps, Step{Name: plan.Name, State: StepPending})
	}
	return o
}

// Title says to people what step name of kind k does; the name itself where k has no such step.
func (k OperationKind) Title(name StepName) string {
	plan, _ := k.plan(name)
	return plan.Title
}

// During is the status a database has while an operation of kind k works on it.
func (k OperationKind) During() DatabaseStatus { return kinds[k].during }

// After is the status a database has when an operation of kind k has succeeded.
func (k OperationKind) After() DatabaseStatus { return kinds[k].after }

// Makes says whether an operation of kind k makes its database, so that taking it back leaves none.
func (k OperationKind) Makes() bool { return k == ProvisionDatabase || k == RestoreDatabase }

// Meanwhile is the status of the operation's database while it gets on, forward or back.
func (o Operation) Meanwhile() DatabaseStatus {
	if o.CancelledBy != "" {
		return kinds[o.Kind].undoing
	}
	return o.Kind.During()
}

// AfterCancel is the status a database has when the operation was given up and what it did is undone.
func (o Operation) AfterCancel() DatabaseStatus {
	if o.Kind.Makes() {
		return DatabaseDeleted
	}
	return o.StatusBefore
}

// CancelRefusal says why the operation cannot be given up, whatever its step; empty when it can.
func (o Operation) CancelRefusal() string {
	settled := []DatabaseStatus{DatabaseReady, DatabaseFrozen, DatabaseArchived}
	if o.Kind == DeleteDatabase && !slices.Contains(settled, o.StatusBefore) {
		return "The deletion took the database over from another operation, which is given up; it only goes forward."
	}
	return ""
}

// TakesOver says whether an operation of kind k may take a database from the open operation that holds it.
// Only a delete may, from one whose work it would remove anyway and that is not being undone.
func (k OperationKind) TakesOver(held Operation) bool {
	return k == DeleteDatabase && held.Kind != DeleteDatabase && held.State != OperationCancelling
}

// Step is one step of an operation, as it stands.
type Step struct {
	Name      StepName
	State     StepState
	Attempts  int
	Progress  string
	LastError string
	// Cause is what keeps the step, where that is known; nil otherwise.
	Cause      *Cause
	StartedAt  *time.Time
	FinishedAt *time.Time
}

// StepState says how far a step is.
type StepState string

// The states of a step. A failed step is tried again, or its operation needs attention. A step of an
// operation that is given up is undone.
const (
	StepPending StepState = "pending"
	StepRunning StepState = "running"
	StepDone    StepState = "done"
	StepFailed  StepState = "failed"
	StepSkipped StepState = "skipped"
	StepUndoing StepState = "undoing"
	StepUndone  StepState = "undone"
)

// Undoes says whether a step in this state is on its way back.
func (s StepState) Undoes() bool { return s == StepUndoing || s == StepUndone }

// OperationFilter chooses operations; the zero value chooses all.
type OperationFilter struct {
	DatabaseID *uuid.UUID
	State      OperationState
	Kind       OperationKind
	// Cause chooses those that need attention for this cause.
	Cause CauseCode
	Page  Page
}
