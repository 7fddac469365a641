// Package workflows is the order of things: one workflow per kind of operation, each a list of steps that
// the runner carries out, parks when the world will not have it, and takes up again when told to.
package workflows

import (
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
}

// workflowOf says which workflow carries out which kind of operation; the kind is the Workflow Type.
var workflowOf = map[daap.OperationKind]func(workflow.Context, Input) error{
	daap.ProvisionDatabase: ProvisionDatabase,
	daap.DeleteDatabase:    DeleteDatabase,
}

// Activities are all that the workflows call.
type Activities struct {
	Kubernetes *activities.Kubernetes
	Postgres   *activities.Postgres
	Records    *activities.Records
	Engine     *activities.Engine
}

// Register makes the registry (a Worker, or a test's environment) know every workflow and activity.
func Register(registry worker.Registry, a Activities) {
	for kind, run := range workflowOf {
		registry.RegisterWorkflowWithOptions(run, workflow.RegisterOptions{
			Name: string(kind),
			// A parked operation must meet the mended code when it is told to go on.
			VersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
		})
	}
	for _, group := range []any{a.Kubernetes, a.Postgres, a.Records, a.Engine} {
		registry.RegisterActivity(group)
	}
}
