//go:build e2e

package e2e

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	sdklog "go.temporal.io/sdk/log"

	"github.com/daap-dev/daap/workflows"
)

// connectTemporal connects to the stack's Temporal once for all tests.
var connectTemporal = sync.OnceValues(func() (client.Client, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return nil, err
	}
	options.Logger = sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
	return client.Dial(options)
})

func temporalClient(t *testing.T) client.Client {
	t.Helper()
	temporal, err := connectTemporal()
	if err != nil {
		t.Fatalf("reach Temporal: %v", err)
	}
	return temporal
}

// runNow runs the schedule now, or as soon as the run that is under way has ended. In the long form, the suite waits
// for the schedules themselves.
func runNow(ctx context.Context, t *testing.T, schedule string) {
	t.Helper()
	if isLong() {
		return
	}
	err := temporalClient(t).ScheduleClient().GetHandle(ctx, schedule).Trigger(ctx, client.ScheduleTriggerOptions{
		Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE,
	})
	if err != nil {
		t.Fatalf("run schedule %s now: %v", schedule, err)
	}
}

// The schedules that the tests run.
const (
	checkFleet     = "check_fleet"
	checkBackups   = "check_backups"
	scanExtensions = "scan_extensions"
)

// runAgainAfter is how often untilRun runs its schedules: one run may have begun too early to see the change.
const runAgainAfter = 3 * time.Second

// untilRun waits as until does, and meanwhile runs the schedules that make it so.
func untilRun(ctx context.Context, t *testing.T, what string, so func() bool, schedules ...string) {
	t.Helper()
	var ran time.Time
	until(ctx, t, what, func() bool {
		if so() {
			return true
		}
		if time.Since(ran) > runAgainAfter {
			for _, schedule := range schedules {
				runNow(ctx, t, schedule)
			}
			ran = time.Now()
		}
		return false
	})
}

func TestScheduleThatSomebodyPausedStaysPausedAfterADeploy(t *testing.T) {
	parallel(t)
	temporal := temporalClient(t)
	handle := temporal.ScheduleClient().GetHandle(t.Context(), "check_certificates")
	was, err := handle.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const why = "paused by an operator, for the test"
	if err := handle.Pause(t.Context(), client.SchedulePauseOptions{Note: why}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := handle.Unpause(context.WithoutCancel(t.Context()), client.ScheduleUnpauseOptions{}); err != nil {
			t.Errorf("unpause: %v", err)
		}
	})
	// As the version before may have had it.
	err = handle.Update(t.Context(), client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			other := in.Description.Schedule
			other.Spec.Intervals = []client.ScheduleIntervalSpec{{Every: 17 * time.Hour}}
			return &client.ScheduleUpdate{Schedule: &other}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	deploy := func() *client.ScheduleDescription {
		t.Helper()
		if err := workflows.Schedule(t.Context(), temporal, func(err error) { t.Log(err) }); err != nil {
			t.Fatal(err)
		}
		is, err := handle.Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	is := deploy()
	if again := deploy(); !again.Info.LastUpdateAt.Equal(is.Info.LastUpdateAt) {
		t.Errorf("a schedule that was as it should be was written again, at %s", again.Info.LastUpdateAt)
	}
	if got, want := is.Schedule.Spec.Intervals[0].Every, was.Schedule.Spec.Intervals[0].Every; got != want {
		t.Errorf("it runs every %s, want every %s as this version has it", got, want)
	}
	if state := is.Schedule.State; !state.Paused || state.Note != why {
		t.Errorf("its state is %+v, want paused with the operator's note", state)
	}
}
