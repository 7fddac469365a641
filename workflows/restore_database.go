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
		steps *activities.Steps
		rows  *activities.Records
	)
	return w.run(ctx, daap.RestoreDatabase, in, []step{
		{name: daap.StepMarker, do: steps.ArchiveSourceChanges, within: waiting},
		{name: daap.StepNamespace, do: steps.ApplyNamespace, undo: steps.DeleteNamespaceAndVolumes, within: quick},
		{name: daap.StepCredentials, do: steps.CreateCredentials, within: quick},
		{name: daap.StepSource, do: steps.ApplySource, within: quick},
		{name: daap.StepArchive, do: steps.ApplyArchive, within: storing},
		{name: daap.StepCluster, do: steps.ApplyCluster, undo: steps.DeleteWorkloads, within: quick},
		{name: daap.StepPooler, do: steps.ApplyPooler, within: quick},
		{name: daap.StepReady, verify: steps.WaitDatabaseReady, within: waiting},
		{name: daap.StepConnect, verify: steps.VerifyConnection, within: connecting},
		{name: daap.StepBackup, do: steps.EnableBackups, within: waiting},
		{name: daap.StepFinish, do: rows.FinishOperation, within: quick},
	})
}
