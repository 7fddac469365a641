package workflows

import (
	"context"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/daap-dev/daap"
)

// startTimeout bounds a start: a request waits for it, and the Dispatcher makes up for what it misses.
const startTimeout = 2 * time.Second

// Starter starts the workflows of operations.
type Starter struct{ Client client.Client }

// Start starts the operation's workflow within two seconds or fails. It may be repeated: an operation has
// one Workflow ID, which runs at most once.
func (s Starter) Start(ctx context.Context, op daap.Operation) error {
	// A client that hangs up must not take back the start of what was recorded for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	defer cancel()
	options := client.StartWorkflowOptions{
		ID:                       op.WorkflowID(),
		TaskQueue:                TaskQueue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		TypedSearchAttributes:    startAttributes(op),
		StaticSummary:            fmt.Sprintf("%s %s of team %s", op.Kind, op.DatabaseName, op.OwnerTeam),
		StaticDetails: fmt.Sprintf("Operation `%s` on database `%s`.\n\nA parked operation goes on after "+
			"`temporal workflow update execute --name %s --input '{\"action\":\"retry\"}' --workflow-id %s`.",
			op.ID, op.DatabaseID, DecideName, op.WorkflowID()),
	}
	in := Input{Operation: op.ID, Database: op.DatabaseID}
	if _, err := s.Client.ExecuteWorkflow(ctx, options, string(op.Kind), in); err != nil {
		return fmt.Errorf("start workflow %s: %w", options.ID, err)
	}
	return nil
}
