// Package workflows is the order of things: one workflow per kind of operation, each a list of steps that
// the runner carries out, parks when the world will not have it, and takes up again or back when told to.
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

// Input is what every operation's workflow takes. It stays in the history, so it holds IDs only.
type Input struct {
	Operation uuid.UUID
	Database  uuid.UUID
	// Undo says that the operation was given up before this run: it only takes back.
	Undo bool `json:",omitempty"`
	// BacksUp says that the operation has the steps for backups.
	BacksUp bool `json:",omitempty"`
}

// Workflows are the workflows of all kinds of operations.
type Workflows struct {
	// StepDeadline is after how long a step that is not done needs a person, where that is sooner than the
	// step's own deadline.
	StepDeadline time.Duration
}

// Of says which workflow carries out which kind of operation; the kind is the Workflow Type.
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

// doing is what a step does, waits for or takes back. It may run twice.
type doing = func(context.Context, activities.Input) error

// step is one step of an operation.
type step struct {
	name daap.StepName
	// do makes a change; nil where there is none to make.
	do doing
	// verify waits until what was done is so; nil where do has seen to it.
	verify doing
	// undo removes what do made, also where that was half done; nil where the undo of an earlier step does.
	undo doing
	// within is how long it may take.
	within patience
}

// Activities are all that the workflows call.
type Activities struct {
	Steps        *activities.Steps
	Records      *activities.Records
	Engine       *activities.Engine
	Destinations *activities.Destinations
	Sweeps       *activities.Sweeps
	Fleet        *activities.Fleet
	Reaper       *activities.Reaper
}

// Register makes the registry (a Worker, or a test's environment) know every workflow and activity.
func Register(registry worker.Registry, w Workflows, a Activities) {
	for kind, run := range w.Of() {
		registry.RegisterWorkflowWithOptions(run, workflow.RegisterOptions{
			Name: string(kind),
			// A parked operation must meet the mended code when it is told to go on.
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
