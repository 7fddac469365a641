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

	"github.com/daap-dev/daap/activities"
)

// lookAtBackups is the Workflow Type of LookAtBackups, and the ID of its schedule.
const lookAtBackups = "look_at_backups"

// How often backups are looked at, and for how long at most.
const (
	lookEvery = time.Minute
	lookFor   = 10 * time.Minute
)

// LookAtBackups looks at the backups of every database that has them.
func LookAtBackups(ctx workflow.Context) error {
	var backups *activities.Backups
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: lookFor, HeartbeatTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	return workflow.ExecuteActivity(ctx, backups.Look).Get(ctx, nil)
}

// scheduleTimeout bounds one request about a schedule.
const scheduleTimeout = 10 * time.Second

// Schedule makes the schedules be there. Safe to repeat, by any number of workers: one that is there stays as it is,
// paused where a person paused it.
func Schedule(ctx context.Context, c client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, scheduleTimeout)
	defer cancel()
	_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: lookAtBackups,
		Spec: client.ScheduleSpec{
			Intervals: []client.ScheduleIntervalSpec{{Every: lookEvery}}, Jitter: 5 * time.Second,
		},
		Action: &client.ScheduleWorkflowAction{
			ID: lookAtBackups, Workflow: lookAtBackups, TaskQueue: TaskQueue, WorkflowExecutionTimeout: lookFor,
			StaticSummary: "Looks at the backups of every database",
		},
		Overlap:       enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: lookEvery,
	})
	if err != nil && !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return fmt.Errorf("make schedule %s: %w", lookAtBackups, err)
	}
	return nil
}
