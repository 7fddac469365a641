package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/daap-dev/daap/activities"
)

// lookAtCertificates is the Workflow Type of LookAtCertificates, and the ID of its schedule.
const lookAtCertificates = "look_at_certificates"

// LookAtCertificates records of every database which CA certificate it has by now.
func LookAtCertificates(ctx workflow.Context) error {
	var certificates *activities.Certificates
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: lookFor, HeartbeatTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	return workflow.ExecuteActivity(ctx, certificates.LookAtCertificates).Get(ctx, nil)
}
