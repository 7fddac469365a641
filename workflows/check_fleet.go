package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap/activities"
)

// checkFleet is the Workflow Type of CheckFleet, and the ID of its schedule.
const checkFleet = "check_fleet"

// CheckFleet observes every database that runs. Its result says how many changed, and why the check falls behind, if
// so.
func CheckFleet(ctx workflow.Context) (activities.FleetReport, error) {
	var fleet *activities.Fleet
	var report activities.FleetReport
	err := workflow.ExecuteActivity(sweeping(ctx), fleet.CheckFleet).Get(ctx, &report)
	return report, err
}
