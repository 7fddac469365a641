package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// DeleteDatabase removes everything that was created for a database, whatever its state: each step accepts objects that
// are already gone. From its first removal on it cannot be rolled back.
func (w Workflows) DeleteDatabase(ctx workflow.Context, in Input) error {
	var (
		steps  *activities.Steps
		engine *activities.Engine
		rows   *activities.Records
	)
	return w.run(ctx, daap.DeleteDatabase, in, []step{
		{name: daap.StepStop, do: engine.StopSuperseded, within: waiting},
		{name: daap.StepWorkloads, do: steps.DeleteWorkloads, within: waiting},
		{name: daap.StepNamespace, do: steps.DeleteNamespace, within: waiting},
		{name: daap.StepVolumes, verify: steps.WaitVolumesGone, within: waiting},
		{name: daap.StepArchive, do: steps.DeleteArchive, within: waiting},
		{name: daap.StepFinish, do: rows.FinishOperation, within: quick},
	})
}
