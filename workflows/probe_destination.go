package workflows

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// probeDestination is the Workflow Type of ProbeDestination.
const probeDestination = "probe_destination"

// The bounds of a probe: a request waits for it.
const (
	probeTry  = 6 * time.Second
	probeTime = 8 * time.Second
)

// ProbeDestination makes a worker check a backup destination: the API cannot reach object stores.
func ProbeDestination(ctx workflow.Context, destination string) error {
	var destinations *activities.Destinations
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: probeTry, ScheduleToCloseTimeout: probeTime,
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	return workflow.ExecuteActivity(ctx, destinations.ProbeDestination, destination).Get(ctx, nil)
}

// Probe checks through a worker whether backups can be stored at the destination, within ten seconds. Errors:
// CodeValidationFailed with the reason, CodeUnavailable.
func (e Engine) Probe(ctx context.Context, destination string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime+startTimeout)
	defer cancel()
	run, err := e.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: "probe:" + destination, TaskQueue: TaskQueue, WorkflowExecutionTimeout: probeTime,
		// Concurrent requests share one check.
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            "Check the backup destination " + destination + "?",
	}, probeDestination, destination)
	if err == nil {
		err = run.Get(ctx, nil)
	}
	var refused *temporal.ApplicationError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && refused.Type() == activities.ErrorRefused:
		return daap.Invalid(daap.Detail{Field: "object_storage_destination", Message: refused.Message()})
	}
	away := daap.Unavailable("The backup destination could not be checked: Temporal or the workers do not answer. Try " +
		"again in a few minutes.")
	return fmt.Errorf("probe %s: %w: %w", destination, away, err)
}
