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
		steps *activities.Steps
		rows  *activities.Records
	)
	return w.run(ctx, daap.FreezeDatabase, in, []step{
		{name: daap.StepSuspend, do: steps.SuspendBackups, undo: steps.ResumeBackups, within: waiting},
		{name: daap.StepClients, do: steps.CloseToClients, undo: steps.OpenToClients, within: waiting},
		{name: daap.StepMarker, do: steps.ArchiveLastChanges, undo: steps.RecordArchiveOpen, within: waiting},
		{name: daap.StepHibernate, do: steps.HibernateCluster, undo: steps.WakeCluster, within: waiting},
		{name: daap.StepVolumes, verify: steps.CheckVolumes, within: quick},
		{name: daap.StepFinish, do: rows.FinishOperation, within: quick},
	})
}
