package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// patience bounds a step: per attempt, between heartbeats, and until it needs attention.
type patience struct {
	try, heartbeat, deadline time.Duration
}

// MaxStepDeadline is the longest time that any step may take before it needs attention.
const MaxStepDeadline = 30 * time.Minute

// The patience of steps, by purpose. At the deadline the operation parks; nothing is rolled back.
var (
	// quick is for one or two calls to Kubernetes.
	quick = patience{try: 30 * time.Second, deadline: 10 * time.Minute}
	// connecting is for a connection to a database that reports ready.
	connecting = patience{try: 30 * time.Second, deadline: 5 * time.Minute}
	// storing is for one or two calls to the object store, which may list many objects or be down for a while.
	storing = patience{try: 2 * time.Minute, deadline: MaxStepDeadline}
	// waiting is for work that Kubernetes and CNPG do at their own pace.
	waiting = patience{try: 6 * time.Minute, heartbeat: 30 * time.Second, deadline: MaxStepDeadline}
)

// records is for writes to DAAP's own rows: they are retried until they succeed, because the operation cannot end
// without them.
func records(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 10 * time.Second,
		RetryPolicy:         retry,
	})
}

// sweepFor is how long one check of all databases may take.
const sweepFor = 10 * time.Minute

// sweeping is for checks of all databases, which heartbeat: the next one makes up for one that fails, so none is
// retried.
func sweeping(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: sweepFor, HeartbeatTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
}

// retry is the same for all: bounded by the step's deadline, never by a count.
var retry = &temporal.RetryPolicy{
	InitialInterval:    500 * time.Millisecond,
	BackoffCoefficient: 2,
	MaximumInterval:    15 * time.Second,
}

func (p patience) options(summary string) workflow.ActivityOptions {
	return workflow.ActivityOptions{
		StartToCloseTimeout:    p.try,
		HeartbeatTimeout:       p.heartbeat,
		ScheduleToCloseTimeout: p.deadline,
		RetryPolicy:            retry,
		// An activity that changes something ends before the workflow does; a wait changes nothing and need not.
		WaitForCancellation: p.heartbeat == 0,
		Summary:             summary,
	}
}
