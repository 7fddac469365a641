package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap/activities"
)

// pruneArchives is the Workflow Type of PruneArchives, and the ID of its schedule.
const pruneArchives = "prune_archives"

// The maximum duration of a run, its interval, and the delay before a failed attempt is retried.
const (
	pruneFor      = 12 * time.Hour
	pruneTries    = 3
	pruneTryAgain = 10 * time.Minute
)

// PruneArchives removes objects older than their retention from archives that no Cluster writes to any more, and
// returns a report. It fails, with the report, if some could not be pruned.
func PruneArchives(ctx workflow.Context) (activities.RetentionReport, error) {
	var sweeps *activities.Sweeps
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		// A heartbeat interval longer than the listing of one archive.
		StartToCloseTimeout: pruneFor, HeartbeatTimeout: 5 * time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: pruneTryAgain, BackoffCoefficient: 1, MaximumAttempts: pruneTries,
		},
	})
	var report activities.RetentionReport
	err := workflow.ExecuteActivity(ctx, sweeps.PruneArchives).Get(ctx, &report)
	return report, err
}
