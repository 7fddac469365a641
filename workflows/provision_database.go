package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// ProvisionDatabase takes a database from nothing to ready. What it made stays when it parks or is taken
// over: a retry goes on from there, a delete removes it.
func ProvisionDatabase(ctx workflow.Context, in Input) error {
	var (
		kube *activities.Kubernetes
		pg   *activities.Postgres
		rows *activities.Records
	)
	return run(ctx, daap.ProvisionDatabase, in, []step{
		{daap.StepNamespace, kube.ApplyNamespace, quick},
		{daap.StepCredentials, kube.CreateCredentials, quick},
		{daap.StepCluster, kube.ApplyCluster, quick},
		{daap.StepPooler, kube.ApplyPooler, quick},
		{daap.StepReady, kube.WaitReady, waiting},
		{daap.StepConnect, pg.Connect, connecting},
		{daap.StepFinish, rows.Finish, quick},
	})
}
