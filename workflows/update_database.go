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
		kube    *activities.Kubernetes
		pg      *activities.Postgres
		rows    *activities.Records
		backups *activities.Backups
	)
	return w.run(ctx, daap.UpdateDatabase, in, []step{
		{name: daap.StepCheck, do: kube.CheckUpdate, within: quick},
		{name: daap.StepNamespace, do: kube.UpdateNamespace, undo: kube.ApplyNamespace, within: quick},
		{name: daap.StepArchive, do: kube.ApplyArchive, undo: kube.RevertArchive, within: storing},
		{name: daap.StepCluster, do: kube.UpdateCluster, undo: pg.RevertCluster, within: quick},
		{name: daap.StepPooler, do: kube.UpdatePooler, undo: kube.ApplyPooler, within: quick},
		{name: daap.StepRollOut, verify: pg.WaitRolledOut, within: waiting},
		{name: daap.StepGrow, do: kube.GrowCluster, within: quick},
		{name: daap.StepReady, verify: pg.WaitUpdated, within: waiting},
		{name: daap.StepBackup, do: backups.BackUp, within: waiting},
		{name: daap.StepFinish, do: rows.Finish, within: quick},
	})
}
