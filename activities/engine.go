package activities

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
)

// superseded finds the operations that lost their database to another operation.
type superseded interface {
	SupersededOperations(ctx context.Context, database uuid.UUID) ([]daap.Operation, error)
}

// Engine are the activities that act on other workflows.
type Engine struct {
	Client     client.Client
	Operations superseded
	Watch      *cluster.Watch
	// Holds reports to waits that their operation is over.
	Holds holds
}

// StopSuperseded cancels the workflows of operations that lost the database and waits until none of them runs, so that
// none creates objects again while the database is deleted. A workflow that never began is no problem: its first
// activity finds that its operation is over.
func (e *Engine) StopSuperseded(ctx context.Context, in Input) error {
	ops, err := e.Operations.SupersededOperations(ctx, in.Database)
	if err != nil {
		return fmt.Errorf("list superseded operations of database %s: %w", in.Database, err)
	}
	for _, op := range ops {
		if err := e.Client.CancelWorkflow(ctx, op.WorkflowID(), ""); err != nil && !notFound(err) {
			return fmt.Errorf("cancel workflow %s: %w", op.WorkflowID(), err)
		}
	}
	return waiter{watch: e.Watch, operations: e.Holds}.until(ctx, in,
		func(ctx context.Context) (bool, string, error) {
			for _, op := range ops {
				if running, err := e.running(ctx, op.WorkflowID()); err != nil || running {
					return false, "Workflow " + op.WorkflowID() + " is still running", err
				}
			}
			return true, "", nil
		})
}

func (e *Engine) running(ctx context.Context, workflowID string) (bool, error) {
	found, err := e.Client.DescribeWorkflowExecution(ctx, workflowID, "")
	if notFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("describe workflow %s: %w", workflowID, err)
	}
	return found.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

// notFound reports whether Temporal has no such workflow, or only a closed one.
func notFound(err error) bool {
	var missing *serviceerror.NotFound
	return errors.As(err, &missing)
}
