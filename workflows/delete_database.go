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
		engine *activities.Engine
		kube   *activities.Kubernetes
		rows   *activities.Records
	)
	return w.run(ctx, daap.DeleteDatabase, in, []step{
		{name: daap.StepStop, do: engine.StopSuperseded, within: waiting},
		{name: daap.StepWorkloads, do: kube.DeleteWorkloads, within: waiting},
		{name: daap.StepNamespace, do: kube.DeleteNamespace, within: waiting},
		{name: daap.StepVolumes, verify: kube.WaitVolumesGone, within: waiting},
		{name: daap.StepArchive, do: kube.RemoveArchive, within: waiting},
		{name: daap.StepFinish, do: rows.Finish, within: quick},
	})
}
