package workflows

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/daap-dev/daap/activities"
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
		{checkFleet, "Checks the health of every database", activities.FleetEvery, 5 * time.Second, lookFor},
		{lookAtBackups, "Checks the backups of every database", lookEvery, 5 * time.Second, lookFor},
		{scanExtensions, "Scans the storage, connections and extensions of databases", lookEvery, 5 * time.Second, lookFor},
		{lookAtCertificates, "Checks the CA certificate of every database", time.Hour, time.Minute, lookFor},
		{pruneArchives, "Prunes archives of former Clusters", 24 * time.Hour, time.Hour, pruneFor},
		{expireArchives, "Deletes expired archives", time.Hour, time.Minute, 10 * time.Minute},
		{reap, "Finds resources that belong to no database", 24 * time.Hour, time.Hour, reapFor},
	}
}

// catchUp is for how late a run is made up for.
const catchUp = 10 * time.Minute

// scheduleTimeout bounds one request about a schedule.
const scheduleTimeout = 10 * time.Second

// Schedule makes the schedules be there as they are here. Safe to repeat, by any number of workers: one that is there
// stays paused where a person paused it, and is written only where it is another way.
func Schedule(ctx context.Context, c client.Client) error {
	for _, s := range schedules() {
		err := s.make(ctx, c)
		if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
			err = s.update(ctx, c)
		}
		if err != nil {
			return fmt.Errorf("create schedule %s: %w", s.workflow, err)
		}
	}
	return nil
}

// update leaves the state of the schedule as it is, which is all that people change: pauses, with their reasons.
func (s schedule) update(ctx context.Context, c client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, scheduleTimeout)
	defer cancel()
	return c.ScheduleClient().GetHandle(ctx, s.workflow).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			there := in.Description.Schedule
			if s.same(there) {
				return nil, temporal.ErrSkipScheduleUpdate
			}
			wanted := s.options()
			there.Spec, there.Action = &wanted.Spec, wanted.Action
			there.Policy.Overlap, there.Policy.CatchupWindow = wanted.Overlap, wanted.CatchupWindow
			return &client.ScheduleUpdate{Schedule: &there}, nil
		},
	})
}

// same says whether the schedule that is there is what this one says.
func (s schedule) same(there client.Schedule) bool {
	wanted := s.options()
	run, is := there.Action.(*client.ScheduleWorkflowAction)
	return is && there.Spec != nil && there.Policy != nil &&
		slices.Equal(there.Spec.Intervals, wanted.Spec.Intervals) && there.Spec.Jitter == wanted.Spec.Jitter &&
		there.Policy.Overlap == wanted.Overlap && there.Policy.CatchupWindow == wanted.CatchupWindow &&
		run.Workflow == s.workflow && run.TaskQueue == TaskQueue && run.WorkflowExecutionTimeout == s.within
}

func (s schedule) make(ctx context.Context, c client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, scheduleTimeout)
	defer cancel()
	_, err := c.ScheduleClient().Create(ctx, s.options())
	return err
}

func (s schedule) options() client.ScheduleOptions {
	return client.ScheduleOptions{
		ID: s.workflow,
		Spec: client.ScheduleSpec{
			Intervals: []client.ScheduleIntervalSpec{{Every: s.every}}, Jitter: s.jitter,
		},
		Action: &client.ScheduleWorkflowAction{
			ID: s.workflow, Workflow: s.workflow, TaskQueue: TaskQueue, WorkflowExecutionTimeout: s.within,
			StaticSummary: s.summary,
		},
		Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		// What was missed for longer is made up for by the next.
		CatchupWindow: min(s.every, catchUp),
	}
}
