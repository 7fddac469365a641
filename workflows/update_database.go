package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// UpdateDatabase changes a database to another tier. Reversible changes come first and are waited for; until then the
// operation can be rolled back. The rest cannot.
func (w Workflows) UpdateDatabase(ctx workflow.Context, in Input) error {
	var (
		steps *activities.Steps
		rows  *activities.Records
	)
	return w.run(ctx, daap.UpdateDatabase, in, []step{
		{name: daap.StepCheck, do: steps.CheckUpdate, within: quick},
		{name: daap.StepNamespace, do: steps.UpdateNamespace, undo: steps.ApplyNamespace, within: quick},
		{name: daap.StepArchive, do: steps.ApplyArchive, undo: steps.RevertArchive, within: storing},
		{name: daap.StepCluster, do: steps.UpdateCluster, undo: steps.RevertCluster, within: quick},
		{name: daap.StepPooler, do: steps.UpdatePooler, undo: steps.ApplyPooler, within: quick},
		{name: daap.StepRollOut, verify: steps.WaitRolloutInForce, within: waiting},
		{name: daap.StepGrow, do: steps.GrowCluster, within: quick},
		{name: daap.StepReady, verify: steps.WaitUpdateInForce, within: waiting},
		{name: daap.StepBackup, do: steps.EnableBackups, within: waiting},
		{name: daap.StepFinish, do: rows.FinishOperation, within: quick},
	})
}
