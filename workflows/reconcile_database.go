package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// ReconcileDatabase applies all objects of a database again and reverts others' changes. If the Cluster is gone, the
// database is restored from its backups, or the operation parks; an empty database never replaces a lost one.
// Cancelling rolls nothing back: every applied object is as specified.
func (w Workflows) ReconcileDatabase(ctx workflow.Context, in Input) error {
	var (
		steps *activities.Steps
		rows  *activities.Records
	)
	return w.run(ctx, daap.ReconcileDatabase, in, []step{
		{name: daap.StepCheck, do: steps.CheckReconcile, within: waiting},
		{name: daap.StepNamespace, do: steps.ReconcileNamespace, within: quick},
		{name: daap.StepCredentials, do: steps.CreateCredentials, within: quick},
		{name: daap.StepSource, do: steps.ReconcileSource, within: quick},
		{name: daap.StepArchive, do: steps.ReconcileArchive, within: storing},
		{name: daap.StepCluster, do: steps.ReconcileCluster, within: waiting},
		{name: daap.StepPooler, do: steps.ReconcilePooler, within: waiting},
		{name: daap.StepReady, verify: steps.WaitReconcileInForce, within: waiting},
		{name: daap.StepConnect, verify: steps.VerifyConnection, within: connecting},
		{name: daap.StepBackup, do: steps.ReconcileBackups, within: waiting},
		{name: daap.StepFinish, do: rows.FinishOperation, within: quick},
	})
}
