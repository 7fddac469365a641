package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap/activities"
)

// lookAtCertificates is the Workflow Type of LookAtCertificates, and the ID of its schedule.
const lookAtCertificates = "look_at_certificates"

// LookAtCertificates records the current CA certificate of every database.
func LookAtCertificates(ctx workflow.Context) error {
	var certificates *activities.Certificates
	return workflow.ExecuteActivity(looking(ctx), certificates.LookAtCertificates).Get(ctx, nil)
}
