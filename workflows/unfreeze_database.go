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
		kube    *activities.Kubernetes
		pg      *activities.Postgres
		rows    *activities.Records
		backups *activities.Backups
	)
	return w.run(ctx, daap.UnfreezeDatabase, in, []step{
		{name: daap.StepWake, do: kube.Wake, undo: kube.Hibernate, within: waiting},
		{name: daap.StepPooler, do: kube.ApplyPooler, undo: kube.StopPooler, within: quick},
		{name: daap.StepReady, verify: kube.WaitReady, within: waiting},
		{name: daap.StepConnect, verify: pg.Connect, undo: backups.CloseAgain, within: connecting},
		{name: daap.StepBackup, do: backups.BackUpAgain, undo: backups.SuspendAgain, within: waiting},
		{name: daap.StepFinish, do: rows.Finish, within: quick},
	})
}
