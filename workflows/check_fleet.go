package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap/activities"
)

// checkFleet is the Workflow Type of CheckFleet, and the ID of its schedule.
const checkFleet = "check_fleet"

// CheckFleet looks at every database that runs. Its result says what that came to, and why where it falls behind.
func CheckFleet(ctx workflow.Context) (activities.FleetReport, error) {
	var fleet *activities.Fleet
	var report activities.FleetReport
	err := workflow.ExecuteActivity(looking(ctx), fleet.CheckFleet).Get(ctx, &report)
	return report, err
}
