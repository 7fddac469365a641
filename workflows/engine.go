package workflows

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

const (
	// startTimeout bounds a start: a request waits for it, and the Dispatcher retries a failed one.
	startTimeout = 2 * time.Second
	// decideTimeout bounds a decision: a worker must take it and write it to the rows.
	decideTimeout = 5 * time.Second
	// describeTimeout bounds one request for the state of a workflow.
	describeTimeout = 5 * time.Second
)

// Engine starts the workflows of operations, sends them decisions, and describes them.
type Engine struct{ Client client.Client }

// StartWorkflow starts the operation's workflow within two seconds or fails. It may be repeated: an operation has one
// Workflow ID, which runs at most once, plus once for each restart. A second run after that is harmless: the operation
// is over, which the run's first activity detects.
func (e Engine) StartWorkflow(ctx context.Context, op daap.Operation) error {
	// A client that disconnects must not cancel the start of a recorded operation.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	defer cancel()
	reuse := enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE
	if op.Restarts > 0 {
		reuse = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	}
	options := client.StartWorkflowOptions{
		ID:                       op.WorkflowID(),
		TaskQueue:                TaskQueue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    reuse,
		TypedSearchAttributes:    startAttributes(op),
		StaticSummary:            fmt.Sprintf("%s %s of team %s", op.Kind, op.DatabaseName, op.OwnerTeam),
		StaticDetails: fmt.Sprintf("Operation `%s` on database `%s`.\n\nIf it needs attention: `POST "+
			"/operations/%s/retry`, or `skip`, `abort`, `cancel`; or send the action with the Update or Signal `%s`. "+
			"docs/operators/runbook.md has the commands.", op.ID, op.DatabaseID, op.ID, DecideName),
	}
	in := Input{Operation: op.ID, Database: op.DatabaseID, Undo: op.CancelledBy != "", BacksUp: op.BacksUp}
	if _, err := e.Client.ExecuteWorkflow(ctx, options, string(op.Kind), in); err != nil {
		return fmt.Errorf("start workflow %s: %w", options.ID, err)
	}
	return nil
}

// Decide sends the decision to the operation's workflow and returns when the rows show it, within five seconds. The
// same id twice is one decision. Errors: CodeDecisionRefused, CodeUnavailable, daap.ErrNoWorkflow.
func (e Engine) Decide(ctx context.Context, op daap.Operation, d daap.Decision, id string) error {
	ctx, cancel := context.WithTimeout(ctx, decideTimeout)
	defer cancel()
	handle, err := e.Client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: op.WorkflowID(), UpdateID: id, UpdateName: DecideName, Args: []any{d},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(ctx, nil)
	}
	var refused *temporal.ApplicationError
	var missing *serviceerror.NotFound
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && refused.Type() == activities.ErrorRefused:
		return daap.Refused(refused.Message())
	case errors.As(err, &missing):
		return fmt.Errorf("decide on workflow %s: %w", op.WorkflowID(), daap.ErrNoWorkflow)
	}
	away := daap.Unavailable("The decision was sent but not confirmed: Temporal or the workers do not answer. Check " +
		"the operation before you send the decision again.")
	return fmt.Errorf("decide on workflow %s: %w: %w", op.WorkflowID(), away, err)
}

// Describe reports the state of an operation's workflow within five seconds.
func (e Engine) Describe(ctx context.Context, workflowID string) (Execution, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	found, err := e.Client.DescribeWorkflowExecution(ctx, workflowID, "")
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		return Execution{}, nil
	}
	if err != nil {
		return Execution{}, fmt.Errorf("describe workflow %s: %w", workflowID, err)
	}
	status := found.GetWorkflowExecutionInfo().GetStatus()
	if status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return Execution{Found: true, Open: true}, nil
	}
	end, err := e.end(ctx, workflowID, status)
	return Execution{Found: true, End: end}, err
}

// end returns how a closed workflow ended, and who ended it.
func (e Engine) end(ctx context.Context, workflowID string, status enumspb.WorkflowExecutionStatus) (string, error) {
	how := map[enumspb.WorkflowExecutionStatus]string{
		enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:  "completed, but its end was not recorded",
		enumspb.WORKFLOW_EXECUTION_STATUS_FAILED:     "failed",
		enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:   "cancelled",
		enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED: "terminated",
		enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:  "timed out",
	}[status]
	if how == "" {
		how = status.String()
	}
	if status != enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED {
		return how, nil
	}
	last := e.Client.GetWorkflowHistory(ctx, workflowID, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT)
	event, err := last.Next()
	if err != nil {
		return "", fmt.Errorf("read the result of workflow %s: %w", workflowID, err)
	}
	by := event.GetWorkflowExecutionTerminatedEventAttributes()
	how += " by " + by.GetIdentity()
	if reason := by.GetReason(); reason != "" {
		how += ": " + reason
	}
	return how, nil
}
