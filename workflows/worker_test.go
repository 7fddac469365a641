package workflows_test

import (
	"testing"

	"go.temporal.io/sdk/client"

	"github.com/daap-dev/daap/activities"
	"github.com/daap-dev/daap/workflows"
)

func TestWorkerTakesEveryWorkflowAndActivity(t *testing.T) {
	t.Parallel()
	c, err := client.NewLazyClient(client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// An activity whose form is not one, or whose name another has, panics.
	workflows.NewWorker(c, workflows.Workflows{}, workflows.Activities{
		Steps: &activities.Steps{}, Records: &activities.Records{}, Engine: &activities.Engine{},
		Destinations: &activities.Destinations{}, Sweeps: &activities.Sweeps{}, Fleet: &activities.Fleet{},
		Reaper: &activities.Reaper{},
	}, nil, func(error) {})
}
