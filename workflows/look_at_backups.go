package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap/activities"
)

// lookAtBackups is the Workflow Type of LookAtBackups, and the ID of its schedule.
const lookAtBackups = "look_at_backups"

// lookEvery is how often backups are checked, and how often the databases that are due are scanned.
const lookEvery = time.Minute

// LookAtBackups checks the backups of every database that has them.
func LookAtBackups(ctx workflow.Context) error {
	var backups *activities.Backups
	return workflow.ExecuteActivity(looking(ctx), backups.Look).Get(ctx, nil)
}
