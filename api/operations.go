package api

import (
	"context"
	"fmt"
	"time"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// ListOperations returns one page of operations without their steps. GET /operations
func (h *Handler) ListOperations(
	ctx context.Context, params oas.ListOperationsParams,
) (*oas.OperationListResponse, error) {
	filter, err := operationFilter(params)
	if err != nil {
		return nil, err
	}
	ops, next, err := h.operations.List(ctx, h.requestOf(ctx), filter)
	if err != nil {
		return nil, err
	}
	return &oas.OperationListResponse{Data: each(ops, operationToOAS), Error: noError, Meta: pageMeta(ctx, next)}, nil
}

// GetOperation returns one operation with its steps; if the client waits, once it is settled. GET /operations/{id}
func (h *Handler) GetOperation(ctx context.Context, params oas.GetOperationParams) (*oas.OperationResponse, error) {
	wait, err := time.ParseDuration(params.Wait.Or("0s"))
	if err != nil {
		return nil, fmt.Errorf("parse wait: %w", err)
	}
	op, err := h.operations.Get(ctx, h.requestOf(ctx), params.ID, wait)
	if err != nil {
		return nil, err
	}
	return &oas.OperationResponse{Data: operationToOAS(op), Error: noError, Meta: meta(ctx)}, nil
}

func operationFilter(params oas.ListOperationsParams) (daap.OperationFilter, error) {
	page, err := daap.ParsePage(params.Limit.Value, params.Cursor.Value)
	if err != nil {
		return daap.OperationFilter{}, err
	}
	filter := daap.OperationFilter{
		State: daap.OperationState(params.State.Value),
		Kind:  daap.OperationKind(params.Kind.Value),
		Cause: daap.CauseCode(params.Cause.Value),
		Page:  page,
	}
	if id, given := params.DatabaseID.Get(); given {
		filter.DatabaseID = &id
	}
	return filter, nil
}
