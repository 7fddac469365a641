package api

import (
	"context"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// RetryOperation tries the step again at which an operation needs attention.
//
// POST /operations/{id}/retry
func (h *Handler) RetryOperation(
	ctx context.Context, req *oas.DecisionRequest, params oas.RetryOperationParams,
) (*oas.OperationAcceptedHeaders, error) {
	return h.decide(ctx, params.ID, daap.ActionRetry, req)
}

// SkipOperation goes on with the next step of an operation that needs attention.
//
// POST /operations/{id}/skip
func (h *Handler) SkipOperation(
	ctx context.Context, req *oas.DecisionRequest, params oas.SkipOperationParams,
) (*oas.OperationAcceptedHeaders, error) {
	return h.decide(ctx, params.ID, daap.ActionSkip, req)
}

// AbortOperation gives up an operation that needs attention, and undoes what it did.
//
// POST /operations/{id}/abort
func (h *Handler) AbortOperation(
	ctx context.Context, req *oas.DecisionRequest, params oas.AbortOperationParams,
) (*oas.OperationAcceptedHeaders, error) {
	return h.decide(ctx, params.ID, daap.ActionAbort, req)
}

// CancelOperation gives up an operation that is not over, and undoes what it did.
//
// POST /operations/{id}/cancel
func (h *Handler) CancelOperation(
	ctx context.Context, req *oas.DecisionRequest, params oas.CancelOperationParams,
) (*oas.OperationAcceptedHeaders, error) {
	return h.decide(ctx, params.ID, daap.ActionCancel, req)
}

// decide answers with the operation as it stands once the decision is taken.
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

// operationAt is the address of an operation.
func operationAt(id uuid.UUID) string { return "/operations/" + id.String() }
