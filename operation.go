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
	// Origin is who asked for it, from where.
	Origin Origin
	// StatusBefore is the database's status when the operation was accepted; empty for a provision.
	StatusBefore DatabaseStatus
	// CancelledBy is who gave the operation up; it undoes what it did from then on. Empty otherwise.
	CancelledBy string
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
	DeleteDatabase    OperationKind = "delete_database"
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
	StepNamespace   StepName = "namespace"
	StepCredentials StepName = "credentials"
	StepCluster     StepName = "cluster"
	StepPooler      StepName = "pooler"
	StepReady       StepName = "ready"
	StepConnect     StepName = "connect"
	StepStop        StepName = "stop"
	StepWorkloads   StepName = "workloads"
	StepVolumes     StepName = "volumes"
	StepFinish      StepName = "finish"
)

// StepPlan is a step before it runs.
type StepPlan struct {
	Name StepName
	// Title says to people what the step does.
	Title string
	// Skippable says that what follows can do without the step.
	Skippable bool
}

var plans = map[OperationKind][]StepPlan{
	ProvisionDatabase: {
		{Name: StepNamespace, Title: "Create the namespace"},
		{Name: StepCredentials, Title: "Create the credentials"},
		{Name: StepCluster, Title: "Create the Cluster"},
		{Name: StepPooler, Title: "Create the Pooler"},
		{Name: StepReady, Title: "Wait until PostgreSQL and PgBouncer are ready", Skippable: true},
		{Name: StepConnect, Title: "Connect over verified TLS", Skippable: true},
		{Name: StepFinish, Title: "Record the database as ready"},
	},
	DeleteDatabase: {
		{Name: StepStop, Title: "Stop what still works on the database", Skippable: true},
		{Name: StepWorkloads, Title: "Delete the Pooler and the Cluster", Skippable: true},
		{Name: StepNamespace, Title: "Delete the namespace", Skippable: true},
		{Name: StepVolumes, Title: "Wait until the volumes are gone", Skippable: true},
		{Name: StepFinish, Title: "Record the database as deleted"},
	},
}

// pivots say from which step on an operation of a kind only goes forward, and what has happened then.
var pivots = map[OperationKind]struct {
	step StepName
	why  string
}{
	ProvisionDatabase: {StepFinish, "The database is made and being recorded as ready; delete it instead."},
	DeleteDatabase: {StepWorkloads, "The Pooler and the Cluster are being deleted or gone already; " +
		"from there a deletion only goes forward."},
}

// pastPivot says why an operation of kind k that is at the step can no longer be given up; empty while it can.
func (k OperationKind) pastPivot(at StepName) string {
	pivot := pivots[k]
	for _, plan := range plans[k] {
		if plan.Name == pivot.step {
			return pivot.why
		}
		if plan.Name == at {
			return ""
		}
	}
	return pivot.why
}

func (k OperationKind) plan(name StepName) (StepPlan, bool) {
	for _, p := range plans[k] {
		if p.Name == name {
			return p, true
		}
	}
	return StepPlan{Name: name, Title: string(name)}, false
}

// Steps returns the steps of an operation of kind k, in order.
func (k OperationKind) Steps() []StepPlan { return slices.Clone(plans[k]) }

// Title says to people what step name of kind k does; the name itself where k has no such step.
func (k OperationKind) Title(name StepName) string {
	plan, _ := k.plan(name)
	return plan.Title
}

// During is the status a database has while an operation of kind k works on it.
func (k OperationKind) During() DatabaseStatus {
	if k == DeleteDatabase {
		return DatabaseDeleting
	}
	return DatabaseProvisioning
}

// After is the status a database has when an operation of kind k has succeeded.
func (k OperationKind) After() DatabaseStatus {
	if k == DeleteDatabase {
		return DatabaseDeleted
	}
	return DatabaseReady
}

// AfterCancel is the status a database has when the operation was given up and what it did is undone.
func (o Operation) AfterCancel() DatabaseStatus {
	if o.Kind == ProvisionDatabase {
		return DatabaseDeleted
	}
	return o.StatusBefore
}

// CancelRefusal says why the operation cannot be given up, whatever its step; empty when it can.
func (o Operation) CancelRefusal() string {
	if o.Kind == DeleteDatabase && o.StatusBefore != DatabaseReady {
		return "The deletion took the database over from a provision, which is given up; it only goes forward."
	}
	return ""
}

// TakesOver says whether an operation of kind k may take a database from the open operation that holds it.
// Only a delete may, and only from one that it would undo anyway and that is not being undone.
func (k OperationKind) TakesOver(held Operation) bool {
	return k == DeleteDatabase && held.Kind == ProvisionDatabase && held.State != OperationCancelling
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
