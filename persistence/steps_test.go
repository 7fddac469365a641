package persistence_test

import (
	"testing"

	"github.com/daap-dev/daap"
)

func (s suite) RecordStepKeepsTheTimesAndTheLastError(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	_, op := f.running("shop", "orders")
	record := func(step daap.Step) daap.Step {
		t.Helper()
		step.Name = daap.StepCluster
		f.must(f.RecordStep(t.Context(), op.ID, step))
		return f.step(op.ID, daap.StepCluster)
	}

	begun := record(daap.Step{State: daap.StepRunning, Attempts: 1, Progress: "asks for the Cluster"})
	want(t, "progress", begun.Progress, "asks for the Cluster")
	want(t, "has started, has finished", [2]bool{begun.StartedAt != nil, begun.FinishedAt != nil}, [2]bool{true, false})

	broken := record(daap.Step{State: daap.StepFailed, Attempts: 1, LastError: "timeout"})
	want(t, "last error", broken.LastError, "timeout")
	want(t, "progress is as given", broken.Progress, "")

	again := record(daap.Step{State: daap.StepRunning, Attempts: 2})
	want(t, "last error stays while it runs", again.LastError, "timeout")
	want(t, "start stays", value(again.StartedAt), value(begun.StartedAt))

	done := record(daap.Step{State: daap.StepDone, Attempts: 2})
	want(t, "last error stays when done", done.LastError, "timeout")
	want(t, "start stays", value(done.StartedAt), value(begun.StartedAt))
	if done.FinishedAt == nil {
		t.Fatal("a step that is done has no end")
	}
	want(t, "step done twice", value(record(daap.Step{State: daap.StepDone, Attempts: 2}).FinishedAt), value(done.FinishedAt))

	want(t, "end of a step that runs again", record(daap.Step{State: daap.StepRunning, Attempts: 3}).FinishedAt, nil)
	want(t, "last error", record(daap.Step{State: daap.StepFailed, LastError: "refused"}).LastError, "refused")
	want(t, "last error of another failure", record(daap.Step{State: daap.StepFailed}).LastError, "")
}

func (s suite) RecordStepLeavesTheOtherSteps(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	_, op := f.running("shop", "orders")
	f.must(f.RecordStep(t.Context(), op.ID, daap.Step{Name: daap.StepCluster, State: daap.StepRunning}))
	for i, step := range f.operation(op.ID).Steps {
		want(t, "name", step.Name, op.Steps[i].Name)
		want(t, string(step.Name)+" has started", step.StartedAt != nil, step.Name == daap.StepCluster)
	}
}

func (s suite) RecordStepRefusesAStepTheOperationLacks(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	_, op := f.running("shop", "orders")
	if f.RecordStep(t.Context(), op.ID, daap.Step{Name: daap.StepVolumes, State: daap.StepRunning}) == nil {
		t.Error("record a step of another kind = nil, want an error")
	}
}
