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

// schedule is a workflow that runs periodically; its ID is the Workflow Type.
type schedule struct {
	workflow string
	summary  string
	every    time.Duration
	// jitter is the maximum random delay of a run, which spreads the load; within bounds one run.
	jitter, within time.Duration
}

// schedules lists all schedules. Runs of the same schedule never overlap.
func schedules() []schedule {
	return []schedule{
		{checkFleet, "Checks the health of every database", activities.FleetEvery, 5 * time.Second, sweepFor},
		{checkBackups, "Checks the backups of every database", sweepEvery, 5 * time.Second, sweepFor},
		{
			scanExtensions, "Asks the PostgreSQL of databases for storage, connections and extensions",
			sweepEvery, 5 * time.Second, sweepFor,
		},
		{checkCertificates, "Checks the certificates of every database", time.Hour, time.Minute, sweepFor},
		{pruneArchives, "Prunes archives of former Clusters", 24 * time.Hour, time.Hour, pruneFor},
		{expireArchives, "Deletes expired archives", time.Hour, time.Minute, 10 * time.Minute},
		{reapOrphans, "Finds what deleted databases left behind", 24 * time.Hour, time.Hour, reapFor},
	}
}

// catchUp is the maximum delay after which a missed run is still started.
const catchUp = 10 * time.Minute

// Schedule creates the schedules, or updates those that differ. Safe to repeat, by any number of workers: a schedule
// that a person paused stays paused. While Temporal is slow or unavailable, it reports that and tries again, for at
// most two minutes for each call.
func Schedule(ctx context.Context, c client.Client, report func(error)) error {
	for _, s := range schedules() {
		err := persist(ctx, "create schedule "+s.workflow, report, func(ctx context.Context) error {
			return s.create(ctx, c)
		})
		if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
			err = persist(ctx, "update schedule "+s.workflow, report, func(ctx context.Context) error {
				return s.update(ctx, c)
			})
		}
		if err != nil {
			return fmt.Errorf("create schedule %s: %w", s.workflow, err)
		}
	}
	return nil
}

// update keeps the state of the schedule, the only part that people change: pauses and their reasons.
func (s schedule) update(ctx context.Context, c client.Client) error {
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

// same reports whether the existing schedule matches this one.
func (s schedule) same(there client.Schedule) bool {
	wanted := s.options()
	run, is := there.Action.(*client.ScheduleWorkflowAction)
	return is && there.Spec != nil && there.Policy != nil &&
		slices.Equal(there.Spec.Intervals, wanted.Spec.Intervals) && there.Spec.Jitter == wanted.Spec.Jitter &&
		there.Policy.Overlap == wanted.Overlap && there.Policy.CatchupWindow == wanted.CatchupWindow &&
		run.Workflow == s.workflow && run.TaskQueue == TaskQueue && run.WorkflowExecutionTimeout == s.within
}

func (s schedule) create(ctx context.Context, c client.Client) error {
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
		// The next run replaces one that was missed for longer.
		CatchupWindow: min(s.every, catchUp),
	}
}
