package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap/activities"
)

// scanExtensions is the Workflow Type of ScanExtensions, and the ID of its schedule.
const scanExtensions = "scan_extensions"

// ScanExtensions scans the PostgreSQL of every database that is due: every ten minutes, and within a minute after a
// change.
func ScanExtensions(ctx workflow.Context) error {
	var sweeps *activities.Sweeps
	return workflow.ExecuteActivity(sweeping(ctx), sweeps.ScanExtensions).Get(ctx, nil)
}
