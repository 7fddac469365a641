package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// ProvisionDatabase takes a database from nothing to ready. When it parks or is taken over, its objects stay: a retry
// continues from there, a delete removes them. When cancelled, it removes its objects itself.
func (w Workflows) ProvisionDatabase(ctx workflow.Context, in Input) error {
	var (
		kube    *activities.Kubernetes
		pg      *activities.Postgres
		rows    *activities.Records
		backups *activities.Backups
	)
	return w.run(ctx, daap.ProvisionDatabase, in, []step{
		{name: daap.StepNamespace, do: kube.ApplyNamespace, undo: kube.RemoveNamespace, within: quick},
		{name: daap.StepCredentials, do: kube.CreateCredentials, within: quick},
		{name: daap.StepArchive, do: kube.ApplyArchive, within: storing},
		{name: daap.StepCluster, do: kube.ApplyCluster, undo: kube.DeleteWorkloads, within: quick},
		{name: daap.StepPooler, do: kube.ApplyPooler, within: quick},
		{name: daap.StepReady, verify: kube.WaitReady, within: waiting},
		{name: daap.StepConnect, verify: pg.Connect, within: connecting},
		{name: daap.StepBackup, do: backups.BackUp, within: waiting},
		{name: daap.StepFinish, do: rows.Finish, within: quick},
	})
}
