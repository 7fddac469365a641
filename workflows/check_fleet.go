package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap/activities"
)

// checkFleet is the Workflow Type of CheckFleet, and the ID of its schedule.
const checkFleet = "check_fleet"

// CheckFleet checks every running database. Its result reports the outcome, and why it is behind schedule.
func CheckFleet(ctx workflow.Context) (activities.FleetReport, error) {
	var fleet *activities.Fleet
	var report activities.FleetReport
	err := workflow.ExecuteActivity(looking(ctx), fleet.CheckFleet).Get(ctx, &report)
	return report, err
}
