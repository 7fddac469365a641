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
