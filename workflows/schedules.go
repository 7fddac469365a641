package workflows

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// schedule is a workflow that is run again and again; its ID is the Workflow Type.
type schedule struct {
	workflow string
	summary  string
	every    time.Duration
	// jitter is by how much a run may be late, so that not all comes at once; within is how long one may take.
	jitter, within time.Duration
}

// schedules are all there are. None is run while the one before runs.
func schedules() []schedule {
	return []schedule{
		{lookAtBackups, "Looks at the backups of every database", lookEvery, 5 * time.Second, lookFor},
		{lookAtCertificates, "Looks at the certificates of every database", time.Hour, time.Minute, lookFor},
		{pruneArchives, "Prunes archives that no Cluster writes to", 24 * time.Hour, time.Hour, pruneFor},
		{expireArchives, "Deletes archives whose time is over", time.Hour, time.Minute, 10 * time.Minute},
		{reap, "Looks for what databases left behind", 24 * time.Hour, time.Hour, reapFor},
	}
}

// scheduleTimeout bounds one request about a schedule.
const scheduleTimeout = 10 * time.Second

// Schedule makes the schedules be there. Safe to repeat, by any number of workers: one that is there stays as it is,
// paused where a person paused it.
func Schedule(ctx context.Context, c client.Client) error {
	for _, s := range schedules() {
		if err := s.make(ctx, c); err != nil && !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
			return fmt.Errorf("make schedule %s: %w", s.workflow, err)
		}
	}
	return nil
}

func (s schedule) make(ctx context.Context, c client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, scheduleTimeout)
	defer cancel()
	_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: s.workflow,
		Spec: client.ScheduleSpec{
			Intervals: []client.ScheduleIntervalSpec{{Every: s.every}}, Jitter: s.jitter,
		},
		Action: &client.ScheduleWorkflowAction{
			ID: s.workflow, Workflow: s.workflow, TaskQueue: TaskQueue, WorkflowExecutionTimeout: s.within,
			StaticSummary: s.summary,
		},
		Overlap:       enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: s.every,
	})
	return err
}
