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

// How long a probe may take: people wait for it.
const (
	probeTry  = 6 * time.Second
	probeTime = 8 * time.Second
)

// ProbeDestination has a worker try whether backups can go to the destination: the API reaches no object store.
func ProbeDestination(ctx workflow.Context, destination string) error {
	var destinations *activities.Destinations
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: probeTry, ScheduleToCloseTimeout: probeTime,
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	return workflow.ExecuteActivity(ctx, destinations.Probe, destination).Get(ctx, nil)
}

// Probe has a worker find out whether backups can go to the destination, within ten seconds. Errors:
// CodeValidationFailed that says why they cannot, CodeUnavailable.
func (e Engine) Probe(ctx context.Context, destination string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime+startTimeout)
	defer cancel()
	run, err := e.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: "probe:" + destination, TaskQueue: TaskQueue, WorkflowExecutionTimeout: probeTime,
		// Who asks at the same moment gets the same answer.
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
