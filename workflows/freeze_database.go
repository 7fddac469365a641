package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// FreezeDatabase blocks a database's clients and frees its CPU and memory; its data stays on its volumes. It can be
// rolled back until the database is recorded as frozen.
func (w Workflows) FreezeDatabase(ctx workflow.Context, in Input) error {
	var (
		kube    *activities.Kubernetes
		pg      *activities.Postgres
		rows    *activities.Records
		backups *activities.Backups
	)
	return w.run(ctx, daap.FreezeDatabase, in, []step{
		{name: daap.StepSuspend, do: kube.SuspendBackups, undo: kube.ResumeBackups, within: waiting},
		{name: daap.StepClients, do: pg.CloseToClients, undo: pg.OpenToClients, within: waiting},
		{name: daap.StepMarker, do: backups.MarkLast, undo: backups.Reopen, within: waiting},
		{name: daap.StepHibernate, do: kube.Hibernate, undo: kube.Wake, within: waiting},
		{name: daap.StepVolumes, verify: kube.CheckVolumes, within: quick},
		{name: daap.StepFinish, do: rows.Finish, within: quick},
	})
}
