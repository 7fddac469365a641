package daap

import (
	"slices"
	"time"
)

// StepName identifies a step within its operation.
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

// StepPlan is the static description of a step.
type StepPlan struct {
	Name StepName
	// Title describes the step for people.
	Title string
	// Skippable means that later steps do not need the step.
	Skippable bool
	// BacksUp means that the step applies only to databases with backups.
	BacksUp bool
}

// Step is the current state of one step of an operation.
type Step struct {
	Name      StepName
	State     StepState
	Attempts  int
	Progress  string
	LastError string
	// Cause is the known cause that blocks the step; nil otherwise.
	Cause      *Cause
	StartedAt  *time.Time
	FinishedAt *time.Time
}

// StepState is the progress of a step.
type StepState string

// The states of a step. A failed step is retried, or its operation needs attention. The steps of a cancelled operation
// are undone.
const (
	StepPending StepState = "pending"
	StepRunning StepState = "running"
	StepDone    StepState = "done"
	StepFailed  StepState = "failed"
	StepSkipped StepState = "skipped"
	StepUndoing StepState = "undoing"
	StepUndone  StepState = "undone"
)

// Undoes reports whether a step in this state is being or was rolled back.
func (s StepState) Undoes() bool { return s == StepUndoing || s == StepUndone }

// Pivot returns the first step of kind k that cannot be rolled back.
func (k OperationKind) Pivot() StepName { return k.fixed().pivot }

// pastPivot explains why an operation of kind k at the step can no longer be cancelled; empty while it can.
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

// Steps returns all steps that operations of kind k can have, in order.
func (k OperationKind) Steps() []StepPlan { return slices.Clone(k.fixed().plan) }

// Plan returns the steps of an operation of kind k, for a database with or without backups, in order.
func (k OperationKind) Plan(backsUp bool) []StepPlan {
	return slices.DeleteFunc(k.Steps(), func(p StepPlan) bool { return p.BacksUp && !backsUp })
}

// Planned returns the operation with all its steps pending.
func (o Operation) Planned() Operation {
	o.Steps = nil
	for _, plan := range o.Kind.Plan(o.BacksUp) {
		o.Steps = append(o.Steps, Step{Name: plan.Name, State: StepPending})
	}
	return o
}

// Title returns the description of a step of kind k for people; the step's name if k has no such step.
func (k OperationKind) Title(name StepName) string {
	plan, _ := k.plan(name)
	return plan.Title
}
