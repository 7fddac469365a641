package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap/activities"
)

// scanExtensions is the Workflow Type of ScanExtensions, and the ID of its schedule.
const scanExtensions = "scan_extensions"

// ScanExtensions asks the PostgreSQL of every database that is due what it has. Each is due every ten minutes, and
// within one where it changed.
func ScanExtensions(ctx workflow.Context) error {
	var sweeps *activities.Sweeps
	return workflow.ExecuteActivity(sweeping(ctx), sweeps.ScanExtensions).Get(ctx, nil)
}
