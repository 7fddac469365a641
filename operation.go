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
	// Cause says why the operation needs attention; nil in every other state.
	Cause      *Cause
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

// The states of an operation; the first three are open and hold the database.
const (
	OperationPending        OperationState = "pending"
	OperationRunning        OperationState = "running"
	OperationNeedsAttention OperationState = "needs_attention"
	OperationSucceeded      OperationState = "succeeded"
	OperationCancelled      OperationState = "cancelled"
)

// OpenStates returns the states in which an operation holds its database.
func OpenStates() []OperationState {
	return []OperationState{OperationPending, OperationRunning, OperationNeedsAttention}
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
}

var plans = map[OperationKind][]StepPlan{
	ProvisionDatabase: {
		{StepNamespace, "Create the namespace"},
		{StepCredentials, "Create the credentials"},
		{StepCluster, "Create the Cluster"},
		{StepPooler, "Create the Pooler"},
		{StepReady, "Wait until PostgreSQL and PgBouncer are ready"},
		{StepConnect, "Connect over verified TLS"},
		{StepFinish, "Record the database as ready"},
	},
	DeleteDatabase: {
		{StepStop, "Stop what still works on the database"},
		{StepWorkloads, "Delete the Pooler and the Cluster"},
		{StepNamespace, "Delete the namespace"},
		{StepVolumes, "Wait until the volumes are gone"},
		{StepFinish, "Record the database as deleted"},
	},
}

// Steps returns the steps of an operation of kind k, in order.
func (k OperationKind) Steps() []StepPlan { return slices.Clone(plans[k]) }

// Title says to people what step name of kind k does; the name itself where k has no such step.
func (k OperationKind) Title(name StepName) string {
	for _, p := range plans[k] {
		if p.Name == name {
			return p.Title
		}
	}
	return string(name)
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

// TakesOver says whether an operation of kind k may take a database from the open operation that holds it.
// Only a delete may, and only from one that it would undo anyway.
func (k OperationKind) TakesOver(held OperationKind) bool {
	return k == DeleteDatabase && held == ProvisionDatabase
}

// Step is one step of an operation, as it stands.
type Step struct {
	Name       StepName
	State      StepState
	Attempts   int
	Progress   string
	LastError  string
	StartedAt  *time.Time
	FinishedAt *time.Time
}

// StepState says how far a step is.
type StepState string

// The states of a step. A failed step is tried again, or its operation needs attention.
const (
	StepPending StepState = "pending"
	StepRunning StepState = "running"
	StepDone    StepState = "done"
	StepFailed  StepState = "failed"
)

// Cause says why an operation needs attention.
type Cause struct {
	Code CauseCode
	// Message says what happened and what to do now.
	Message string
}

// CauseCode names a kind of cause; it is stable, and part of the API.
type CauseCode string

// The causes for which an operation needs attention.
const (
	// CauseDeadline: a step was not done in its time.
	CauseDeadline CauseCode = "DEADLINE"
	// CauseRejected: Kubernetes refused an object for good.
	CauseRejected CauseCode = "REJECTED"
)

// OperationFilter chooses operations; the zero value chooses all.
type OperationFilter struct {
	DatabaseID *uuid.UUID
	State      OperationState
	Kind       OperationKind
	Page       Page
}
