package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// RestoreDatabase creates a database from another one's archive at a point in time. It needs only the archive: a
// running source is asked to archive its latest changes, which is skipped if it does not answer.
func (w Workflows) RestoreDatabase(ctx workflow.Context, in Input) error {
	var (
		kube    *activities.Kubernetes
		pg      *activities.Postgres
		rows    *activities.Records
		backups *activities.Backups
	)
	return w.run(ctx, daap.RestoreDatabase, in, []step{
		{name: daap.StepMarker, do: pg.MarkSource, within: waiting},
		{name: daap.StepNamespace, do: kube.ApplyNamespace, undo: kube.RemoveNamespace, within: quick},
		{name: daap.StepCredentials, do: kube.CreateCredentials, within: quick},
		{name: daap.StepSource, do: kube.ApplySource, within: quick},
		{name: daap.StepArchive, do: kube.ApplyArchive, within: storing},
		{name: daap.StepCluster, do: kube.ApplyCluster, undo: kube.DeleteWorkloads, within: quick},
		{name: daap.StepPooler, do: kube.ApplyPooler, within: quick},
		{name: daap.StepReady, verify: kube.WaitReady, within: waiting},
		{name: daap.StepConnect, verify: pg.Connect, within: connecting},
		{name: daap.StepBackup, do: backups.BackUp, within: waiting},
		{name: daap.StepFinish, do: rows.Finish, within: quick},
	})
}
