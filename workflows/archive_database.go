package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// ArchiveDatabase removes everything of a database except its archive, from which it can be restored. It verifies the
// archive before it removes anything; after that it cannot be rolled back.
func (w Workflows) ArchiveDatabase(ctx workflow.Context, in Input) error {
	var (
		kube    *activities.Kubernetes
		pg      *activities.Postgres
		rows    *activities.Records
		backups *activities.Backups
	)
	return w.run(ctx, daap.ArchiveDatabase, in, []step{
		{name: daap.StepSuspend, do: kube.SuspendBackups, undo: kube.ResumeBackups, within: waiting},
		{name: daap.StepClients, do: pg.CloseToClients, undo: pg.OpenToClients, within: waiting},
		{name: daap.StepBackup, do: backups.BackUpNow, undo: backups.Forget, within: waiting},
		{name: daap.StepMarker, do: backups.MarkLast, undo: backups.Reopen, within: waiting},
		{name: daap.StepVerify, verify: backups.VerifyArchive, within: storing},
		{name: daap.StepWorkloads, do: kube.DeleteWorkloads, within: waiting},
		{name: daap.StepNamespace, do: kube.DeleteNamespace, within: waiting},
		{name: daap.StepVolumes, verify: kube.WaitVolumesGone, within: waiting},
		{name: daap.StepFinish, do: rows.Finish, within: quick},
	})
}
