//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"

	"github.com/daap-dev/daap/workflows"
)

// temporalClient is one of the stack's Temporal.
func temporalClient(t *testing.T) client.Client {
	t.Helper()
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		t.Fatalf("read Temporal's settings: %v", err)
	}
	temporal, err := client.DialContext(t.Context(), options)
	if err != nil {
		t.Fatalf("reach Temporal: %v", err)
	}
	t.Cleanup(temporal.Close)
	return temporal
}

func TestScheduleThatSomebodyPausedStaysPausedAfterADeploy(t *testing.T) {
	t.Parallel()
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
