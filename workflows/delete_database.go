package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// DeleteDatabase removes all that was ever made for a database, whatever its condition: each step is
// satisfied with what is gone already. From its first removal on it only goes forward.
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
