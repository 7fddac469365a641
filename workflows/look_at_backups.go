package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap/activities"
)

// lookAtBackups is the Workflow Type of LookAtBackups, and the ID of its schedule.
const lookAtBackups = "look_at_backups"

// How often backups are looked at, and for how long at most.
const (
	lookEvery = time.Minute
	lookFor   = 10 * time.Minute
)

// LookAtBackups looks at the backups of every database that has them.
func LookAtBackups(ctx workflow.Context) error {
	var backups *activities.Backups
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: lookFor, HeartbeatTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	return workflow.ExecuteActivity(ctx, backups.Look).Get(ctx, nil)
}
