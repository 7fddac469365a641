package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap/activities"
)

// checkBackups is the Workflow Type of CheckBackups, and the ID of its schedule.
const checkBackups = "check_backups"

// sweepEvery is how often backups are checked, and databases that are due for a scan are looked up.
const sweepEvery = time.Minute

// CheckBackups records the state of the backups of every database that has them.
func CheckBackups(ctx workflow.Context) error {
	var sweeps *activities.Sweeps
	return workflow.ExecuteActivity(sweeping(ctx), sweeps.CheckBackups).Get(ctx, nil)
}
