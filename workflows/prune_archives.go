package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap/activities"
)

// pruneArchives is the Workflow Type of PruneArchives, and the ID of its schedule.
const pruneArchives = "prune_archives"

// For how long archives are pruned at most, how often that is tried, and how long after a try that failed.
const (
	pruneFor      = 12 * time.Hour
	pruneTries    = 3
	pruneTryAgain = 10 * time.Minute
)

// PruneArchives removes what is older than its retention from the archives that no Cluster writes to any more, and
// returns a report of it. It fails, with the report, where some of them could not be pruned.
func PruneArchives(ctx workflow.Context) (activities.RetentionReport, error) {
	var sweeps *activities.Sweeps
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		// Longer between signs of life than one archive takes to be listed.
		StartToCloseTimeout: pruneFor, HeartbeatTimeout: 5 * time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: pruneTryAgain, BackoffCoefficient: 1, MaximumAttempts: pruneTries,
		},
	})
	var report activities.RetentionReport
	err := workflow.ExecuteActivity(ctx, sweeps.PruneArchives).Get(ctx, &report)
	return report, err
}
