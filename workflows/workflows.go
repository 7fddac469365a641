// Package workflows orders the work: one workflow per kind of operation, each a list of steps that the runner carries
// out. The runner parks an operation that cannot continue, and resumes it or rolls it back as decided.
package workflows

import (
	"context"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// TaskQueue is the Task Queue of every workflow and activity.
const TaskQueue = "daap"

// Input is the input of every operation's workflow. It stays in the history, so it contains only IDs.
type Input struct {
	Operation uuid.UUID
	Database  uuid.UUID
	// Undo means that the operation was cancelled before this run: it only rolls back.
	Undo bool `json:",omitempty"`
	// BacksUp means that the operation includes the steps for backups.
	BacksUp bool `json:",omitempty"`
}

// Workflows are the workflows of all kinds of operations.
type Workflows struct {
	// StepDeadline is the time after which an unfinished step needs attention, if it is shorter than the step's own
	// deadline.
	StepDeadline time.Duration
}

// Of returns the workflow of each kind of operation; the kind is the Workflow Type.
func (w Workflows) Of() map[daap.OperationKind]func(workflow.Context, Input) error {
	return map[daap.OperationKind]func(workflow.Context, Input) error{
		daap.ProvisionDatabase: w.ProvisionDatabase,
		daap.RestoreDatabase:   w.RestoreDatabase,
		daap.UpdateDatabase:    w.UpdateDatabase,
		daap.BackUpDatabase:    w.BackUpDatabase,
		daap.FreezeDatabase:    w.FreezeDatabase,
		daap.UnfreezeDatabase:  w.UnfreezeDatabase,
		daap.ArchiveDatabase:   w.ArchiveDatabase,
		daap.DeleteDatabase:    w.DeleteDatabase,
		daap.ReconcileDatabase: w.ReconcileDatabase,
	}
}

// doing is the activity that carries out, verifies or rolls back a step. It may run twice.
type doing = func(context.Context, activities.Input) error

// step is one step of an operation.
type step struct {
	name daap.StepName
	// do makes a change; nil if there is none to make.
	do doing
	// verify waits until the change is in effect; nil if do ensures it.
	verify doing
	// undo removes what do created, even if it is half done; nil if the undo of an earlier step does.
	undo doing
	// within bounds the step.
	within patience
}

// Activities are all activities that the workflows call.
type Activities struct {
	Steps        *activities.Steps
	Records      *activities.Records
	Engine       *activities.Engine
	Destinations *activities.Destinations
	Sweeps       *activities.Sweeps
	Fleet        *activities.Fleet
	Reaper       *activities.Reaper
}

// Register registers every workflow and activity with a Worker or a test environment.
func Register(registry worker.Registry, w Workflows, a Activities) {
	for kind, run := range w.Of() {
		registry.RegisterWorkflowWithOptions(run, workflow.RegisterOptions{
			Name: string(kind),
			// A parked operation must run the fixed code when it resumes.
			VersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
		})
	}
	for name, run := range map[string]any{
		probeDestination: ProbeDestination, checkBackups: CheckBackups, checkCertificates: CheckCertificates,
		checkFleet: CheckFleet, scanExtensions: ScanExtensions,
		pruneArchives: PruneArchives, expireArchives: ExpireArchives, reapOrphans: ReapOrphans,
	} {
		registry.RegisterWorkflowWithOptions(run, workflow.RegisterOptions{
			Name: name, VersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
		})
	}
	for _, group := range []any{
		a.Steps, a.Records, a.Engine, a.Destinations, a.Sweeps, a.Fleet, a.Reaper,
	} {
		registry.RegisterActivity(group)
	}
}
