package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap/activities"
)

// checkCertificates is the Workflow Type of CheckCertificates, and the ID of its schedule.
const checkCertificates = "check_certificates"

// CheckCertificates records the current CA certificate of every database.
func CheckCertificates(ctx workflow.Context) error {
	var sweeps *activities.Sweeps
	return workflow.ExecuteActivity(sweeping(ctx), sweeps.CheckCertificates).Get(ctx, nil)
}
