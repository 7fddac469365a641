package workflows

import (
	"context"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap/activities"
)

// reapOrphans and expireArchives are the Workflow Types of ReapOrphans and ExpireArchives, and the IDs of their
// schedules.
const (
	reapOrphans    = "reap_orphans"
	expireArchives = "expire_archives"
)

// The maximum duration of a search for orphans, and the number of attempts.
const (
	reapFor   = 4 * time.Hour
	reapTries = 3
)

// ReapOrphans removes the orphans that an operator asked to remove, and finds all there are. It returns how many.
func ReapOrphans(ctx workflow.Context) (activities.ReaperReport, error) {
	var reaper *activities.Reaper
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: reapFor / 2, HeartbeatTimeout: 5 * time.Minute,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Minute, MaximumAttempts: reapTries},
	})
	var report activities.ReaperReport
	if err := workflow.ExecuteActivity(ctx, reaper.RemoveOrphans).Get(ctx, nil); err != nil {
		return report, err
	}
	err := workflow.ExecuteActivity(ctx, reaper.FindOrphans).Get(ctx, &report)
	return report, err
}

// ExpireArchives requests the deletion of expired archived databases, and returns their number.
func ExpireArchives(ctx workflow.Context) (int, error) {
	var reaper *activities.Reaper
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: reapTries},
	})
	begun := 0
	err := workflow.ExecuteActivity(ctx, reaper.ExpireArchives).Get(ctx, &begun)
	return begun, err
}

// Reap makes a worker search for orphans now and remove the requested ones, after a search in progress.
func (e Engine) Reap(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	defer cancel()
	err := e.Client.ScheduleClient().GetHandle(ctx, reapOrphans).Trigger(ctx, client.ScheduleTriggerOptions{
		Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE,
	})
	if err != nil {
		return fmt.Errorf("trigger schedule %s: %w", reapOrphans, err)
	}
	return nil
}
