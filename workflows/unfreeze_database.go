package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// UnfreezeDatabase brings a frozen database back as it was. Its CA certificate may have changed and is recorded again.
// It can be rolled back until the database is recorded as ready.
func (w Workflows) UnfreezeDatabase(ctx workflow.Context, in Input) error {
	var (
		steps *activities.Steps
		rows  *activities.Records
	)
	return w.run(ctx, daap.UnfreezeDatabase, in, []step{
		{name: daap.StepWake, do: steps.WakeCluster, undo: steps.HibernateCluster, within: waiting},
		{name: daap.StepPooler, do: steps.ApplyPooler, undo: steps.StopPooler, within: quick},
		{name: daap.StepReady, verify: steps.WaitDatabaseReady, within: waiting},
		{name: daap.StepConnect, verify: steps.VerifyConnection, undo: steps.CloseDatabase, within: connecting},
		{name: daap.StepBackup, do: steps.RestartBackups, undo: steps.StopBackups, within: waiting},
		{name: daap.StepFinish, do: rows.FinishOperation, within: quick},
	})
}
