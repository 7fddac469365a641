package api

import (
	"context"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// RetryOperation retries the step at which an operation needs attention. POST /operations/{id}/retry
func (h *Handler) RetryOperation(
	ctx context.Context, req *oas.DecisionRequest, params oas.RetryOperationParams,
) (*oas.OperationAcceptedHeaders, error) {
	return h.decide(ctx, params.ID, daap.ActionRetry, req)
}

// SkipOperation continues with the next step of an operation that needs attention. POST /operations/{id}/skip
func (h *Handler) SkipOperation(
	ctx context.Context, req *oas.DecisionRequest, params oas.SkipOperationParams,
) (*oas.OperationAcceptedHeaders, error) {
	return h.decide(ctx, params.ID, daap.ActionSkip, req)
}

// AbortOperation rolls back an operation that needs attention. POST /operations/{id}/abort
func (h *Handler) AbortOperation(
	ctx context.Context, req *oas.DecisionRequest, params oas.AbortOperationParams,
) (*oas.OperationAcceptedHeaders, error) {
	return h.decide(ctx, params.ID, daap.ActionAbort, req)
}

// CancelOperation rolls back an operation that is not over. POST /operations/{id}/cancel
func (h *Handler) CancelOperation(
	ctx context.Context, req *oas.DecisionRequest, params oas.CancelOperationParams,
) (*oas.OperationAcceptedHeaders, error) {
	return h.decide(ctx, params.ID, daap.ActionCancel, req)
}

// decide returns the operation after the decision.
func (h *Handler) decide(
	ctx context.Context, id uuid.UUID, action daap.Action, req *oas.DecisionRequest,
) (*oas.OperationAcceptedHeaders, error) {
	op, err := h.operations.Decide(ctx, h.requestOf(ctx), id, decisionFromOAS(action, req))
	if err != nil {
		return nil, err
	}
	exchangeOf(ctx).note(zap.Stringer("database_id", op.DatabaseID))
	return &oas.OperationAcceptedHeaders{
		Location:   operationAt(op.ID),
		RetryAfter: retryAfter,
		Response:   oas.OperationResponse{Data: operationToOAS(op), Error: noError, Meta: meta(ctx)},
	}, nil
}

// operationAt returns the URL of an operation.
func operationAt(id uuid.UUID) string { return "/operations/" + id.String() }
