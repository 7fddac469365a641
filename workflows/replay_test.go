package workflows_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
)

// maxEvents is how long the history of a provision may be, whatever it waits for.
const maxEvents = 60

// histories are the recorded ones by name: the kind of operation and, after it, what happened to it.
func histories(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "histories", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, file := range files {
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = file
	}
	for kind := range kinds {
		if all[string(kind)] == "" {
			t.Errorf("workflow %s has no recorded history", kind)
		}
	}
	return all
}

// TestRecordedHistoriesReplay proves that operations which began under an earlier version go on under this one.
// A failure means that the order of a workflow's commands changed: put the change behind workflow.GetVersion,
// as CONTRIBUTING.md says. The histories are those of released versions; never record them again for a change.
func TestRecordedHistoriesReplay(t *testing.T) {
	t.Parallel()
	for name, file := range histories(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replayer := worker.NewWorkflowReplayer()
			for kind, run := range kinds {
				replayer.RegisterWorkflowWithOptions(run, workflow.RegisterOptions{Name: string(kind)})
			}
			if err := replayer.ReplayWorkflowHistoryFromJSONFile(nil, file); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestHistoryOfAProvisionIsShort(t *testing.T) {
	t.Parallel()
	history := read(t, histories(t)[string(daap.ProvisionDatabase)])
	if got := len(history.Events); got > maxEvents {
		t.Errorf("the recorded provision has %d events, want at most %d", got, maxEvents)
	}
}

func read(t *testing.T, file string) *historypb.History {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var history historypb.History
	if err := (temporalproto.CustomJSONUnmarshalOptions{DiscardUnknown: true}).Unmarshal(content, &history); err != nil {
		t.Fatalf("read %s: %v", file, err)
	}
	return &history
}

// TestRecordedPayloadsContainNothingElse holds all that an operation gave to Temporal against what it may.
func TestRecordedPayloadsContainNothingElse(t *testing.T) {
	t.Parallel()
	for name, file := range histories(t) {
		for _, event := range read(t, file).Events {
			for _, payloads := range []*commonpb.Payloads{
				event.GetWorkflowExecutionStartedEventAttributes().GetInput(),
				event.GetActivityTaskScheduledEventAttributes().GetInput(),
				event.GetActivityTaskCompletedEventAttributes().GetResult(),
				event.GetWorkflowExecutionSignaledEventAttributes().GetInput(),
			} {
				for _, payload := range payloads.GetPayloads() {
					if err := harmless(payload.GetData()); err != nil {
						t.Errorf("%s, event %d: %v in %s", name, event.GetEventId(), err, payload.GetData())
					}
				}
			}
		}
	}
}
