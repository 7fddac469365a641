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
		steps *activities.Steps
		rows  *activities.Records
	)
	return w.run(ctx, daap.ArchiveDatabase, in, []step{
		{name: daap.StepSuspend, do: steps.SuspendBackups, undo: steps.ResumeBackups, within: waiting},
		{name: daap.StepClients, do: steps.CloseToClients, undo: steps.OpenToClients, within: waiting},
		{name: daap.StepBackup, do: steps.TakeBaseBackup, undo: steps.DeleteBackupObjects, within: waiting},
		{name: daap.StepMarker, do: steps.ArchiveLastChanges, undo: steps.RecordArchiveOpen, within: waiting},
		{name: daap.StepVerify, verify: steps.VerifyArchive, within: storing},
		{name: daap.StepWorkloads, do: steps.DeleteWorkloads, within: waiting},
		{name: daap.StepNamespace, do: steps.DeleteNamespace, within: waiting},
		{name: daap.StepVolumes, verify: steps.WaitVolumesGone, within: waiting},
		{name: daap.StepFinish, do: rows.FinishOperation, within: quick},
	})
}
