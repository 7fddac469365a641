package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// DeleteDatabase removes all that was ever made for a database, whatever its condition: each step is
// satisfied with what is gone already. It only goes forward; a cancellation does not stop it half-way.
func DeleteDatabase(ctx workflow.Context, in Input) error {
	var (
		engine *activities.Engine
		kube   *activities.Kubernetes
		rows   *activities.Records
	)
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	return run(ctx, daap.DeleteDatabase, in, []step{
		{daap.StepStop, engine.StopSuperseded, waiting},
		{daap.StepWorkloads, kube.DeleteWorkloads, waiting},
		{daap.StepNamespace, kube.DeleteNamespace, waiting},
		{daap.StepVolumes, kube.WaitVolumesGone, waiting},
		{daap.StepFinish, rows.Finish, quick},
	})
}
