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
		kube      *activities.Kubernetes
		pg        *activities.Postgres
		rows      *activities.Records
		reconcile *activities.Reconciliation
	)
	return w.run(ctx, daap.ReconcileDatabase, in, []step{
		{name: daap.StepCheck, do: reconcile.CheckReconcile, within: waiting},
		{name: daap.StepNamespace, do: reconcile.ReconcileNamespace, within: quick},
		{name: daap.StepCredentials, do: kube.CreateCredentials, within: quick},
		{name: daap.StepSource, do: reconcile.ReconcileSource, within: quick},
		{name: daap.StepArchive, do: reconcile.ReconcileArchive, within: storing},
		{name: daap.StepCluster, do: reconcile.ReconcileCluster, within: waiting},
		{name: daap.StepPooler, do: reconcile.ReconcilePooler, within: waiting},
		{name: daap.StepReady, verify: pg.WaitReconciled, within: waiting},
		{name: daap.StepConnect, verify: pg.Connect, within: connecting},
		{name: daap.StepBackup, do: reconcile.ReconcileBackups, within: waiting},
		{name: daap.StepFinish, do: rows.Finish, within: quick},
	})
}
