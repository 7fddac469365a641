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
		steps *activities.Steps
		rows  *activities.Records
	)
	return w.run(ctx, daap.ProvisionDatabase, in, []step{
		{name: daap.StepNamespace, do: steps.ApplyNamespace, undo: steps.DeleteNamespaceAndVolumes, within: quick},
		{name: daap.StepCredentials, do: steps.CreateCredentials, within: quick},
		{name: daap.StepArchive, do: steps.ApplyArchive, within: storing},
		{name: daap.StepCluster, do: steps.ApplyCluster, undo: steps.DeleteWorkloads, within: quick},
		{name: daap.StepPooler, do: steps.ApplyPooler, within: quick},
		{name: daap.StepReady, verify: steps.WaitDatabaseReady, within: waiting},
		{name: daap.StepConnect, verify: steps.VerifyConnection, within: connecting},
		{name: daap.StepBackup, do: steps.EnableBackups, within: waiting},
		{name: daap.StepFinish, do: rows.FinishOperation, within: quick},
	})
}
