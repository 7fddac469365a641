package daap

import (
	"slices"
	"time"
)

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

// Pivot is the step from which on an operation of kind k only goes forward.
func (k OperationKind) Pivot() StepName { return k.fixed().pivot }

// pastPivot says why an operation of kind k that is at the step can no longer be given up; empty while it can.
func (k OperationKind) pastPivot(at StepName) string {
	fixed := k.fixed()
	for _, plan := range fixed.plan {
		if plan.Name == fixed.pivot {
			break
		}
		if plan.Name == at {
			return ""
		}
	}
	return fixed.why
}

func (k OperationKind) plan(name StepName) (StepPlan, bool) {
	for _, p := range k.fixed().plan {
		if p.Name == name {
			return p, true
		}
	}
	return StepPlan{Name: name, Title: string(name)}, false
}

// Steps returns all steps that operations of kind k may have, in order.
func (k OperationKind) Steps() []StepPlan { return slices.Clone(k.fixed().plan) }

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
