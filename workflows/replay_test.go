package workflows_test

import (
	"os"
	"path/filepath"
	"testing"

	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// TestRecordedHistoriesReplay proves that operations which began under an earlier version go on under this one.
// A failure means that the order of a workflow's commands changed: put the change behind workflow.GetVersion,
// as CONTRIBUTING.md says. The histories are those of the released version; never record them anew for a change.
func TestRecordedHistoriesReplay(t *testing.T) {
	t.Parallel()
	for kind, run := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			file := filepath.Join("testdata", "histories", string(kind)+".json")
			if _, err := os.Stat(file); err != nil {
				t.Fatalf("workflow %s has no recorded history: %v", kind, err)
			}
			replayer := worker.NewWorkflowReplayer()
			replayer.RegisterWorkflowWithOptions(run, workflow.RegisterOptions{Name: string(kind)})
			if err := replayer.ReplayWorkflowHistoryFromJSONFile(nil, file); err != nil {
				t.Error(err)
			}
		})
	}
}
