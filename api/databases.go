package api

import (
	"context"
	"strings"

	"go.uber.org/zap"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// retryAfter is the number of seconds after which a client should poll an accepted operation.
const retryAfter = 2

// ListDatabases returns one page of databases. GET /databases
func (h *Handler) ListDatabases(
	ctx context.Context, params oas.ListDatabasesParams,
) (*oas.DatabaseListResponse, error) {
	filter, err := databaseFilter(params)
	if err != nil {
		return nil, err
	}
	dbs, next, err := h.databases.List(ctx, h.requestOf(ctx), filter)
	if err != nil {
		return nil, err
	}
	return &oas.DatabaseListResponse{Data: each(dbs, databaseToOAS), Error: noError, Meta: pageMeta(ctx, next)}, nil
}

// CreateDatabase accepts a new database and returns its operation. A dry run returns the effect. POST /databases
func (h *Handler) CreateDatabase(
	ctx context.Context, req *oas.CreateDatabaseRequest, params oas.CreateDatabaseParams,
) (oas.CreateDatabaseRes, error) {
	if params.DryRun.Value {
		preview, err := h.databases.PreviewCreate(ctx, h.beginDryRun(ctx), specFromOAS(req))
		if err != nil {
			return nil, err
		}
		return &oas.PreviewResponse{Data: previewToOAS(preview), Error: noError, Meta: meta(ctx)}, nil
	}
	db, op, err := h.databases.Create(ctx, h.requestOf(ctx), specFromOAS(req))
	if err != nil {
		return nil, err
	}
	return accepted(ctx, db, op), nil
}

// GetDatabase returns one database, including deleted ones. GET /databases/{id}
func (h *Handler) GetDatabase(ctx context.Context, params oas.GetDatabaseParams) (*oas.DatabaseResponse, error) {
	view, err := h.databases.Describe(ctx, h.requestOf(ctx), params.ID)
	if err != nil {
		return nil, err
	}
	return &oas.DatabaseResponse{Data: viewToOAS(view), Error: noError, Meta: meta(ctx)}, nil
}

// UpdateDatabase applies a merge patch. A tier change is accepted and returns its operation. A dry run returns the
// changes. PATCH /databases/{id}
func (h *Handler) UpdateDatabase(
	ctx context.Context, req oas.UpdateDatabaseReq, params oas.UpdateDatabaseParams,
) (oas.UpdateDatabaseRes, error) {
	result := oas.UpdateDatabaseResponse{Error: noError, Meta: meta(ctx)}
	if params.DryRun.Value {
		preview, err := h.databases.PreviewUpdate(ctx, h.beginDryRun(ctx), params.ID, patchFromOAS(req))
		if err != nil {
			return nil, err
		}
		result.Data = oas.NewPreviewUpdateDatabaseResult(previewToOAS(preview))
		return &result, nil
	}
	db, op, err := h.databases.Update(ctx, h.requestOf(ctx), params.ID, patchFromOAS(req))
	switch {
	case err != nil:
		return nil, err
	case op != nil:
		return accepted(ctx, db, *op), nil
	}
	result.Data = oas.NewDatabaseUpdateDatabaseResult(databaseToOAS(db))
	return &result, nil
}

// DeleteDatabase accepts a deletion with the tier's or the chosen strategy and returns its operation. DELETE
// /databases/{id}
func (h *Handler) DeleteDatabase(
	ctx context.Context, params oas.DeleteDatabaseParams,
) (*oas.DatabaseAcceptedHeaders, error) {
	db, op, err := h.databases.Delete(ctx, h.requestOf(ctx), params.ID, daap.DestructionStrategy(params.Strategy.Value))
	if err != nil {
		return nil, err
	}
	return accepted(ctx, db, op), nil
}

// PreviewDelete returns the effect of a deletion. GET /databases/{id}/delete-preview
func (h *Handler) PreviewDelete(
	ctx context.Context, params oas.PreviewDeleteParams,
) (*oas.DeletePreviewResponse, error) {
	strategy := daap.DestructionStrategy(params.Strategy.Value)
	preview, err := h.databases.PreviewDelete(ctx, h.requestOf(ctx), params.ID, strategy)
	if err != nil {
		return nil, err
	}
	return &oas.DeletePreviewResponse{Data: deletePreviewToOAS(preview), Error: noError, Meta: meta(ctx)}, nil
}

// UnfreezeDatabase accepts to unfreeze a database and returns its operation. POST /databases/{id}/unfreeze
func (h *Handler) UnfreezeDatabase(
	ctx context.Context, params oas.UnfreezeDatabaseParams,
) (*oas.DatabaseAcceptedHeaders, error) {
	db, op, err := h.databases.Unfreeze(ctx, h.requestOf(ctx), params.ID)
	if err != nil {
		return nil, err
	}
	return accepted(ctx, db, op), nil
}

// ReconcileDatabase accepts to apply all objects of a database again and returns its operation. POST
// /databases/{id}/reconcile
func (h *Handler) ReconcileDatabase(
	ctx context.Context, params oas.ReconcileDatabaseParams,
) (*oas.DatabaseAcceptedHeaders, error) {
	db, op, err := h.databases.Reconcile(ctx, h.requestOf(ctx), params.ID)
	if err != nil {
		return nil, err
	}
	return accepted(ctx, db, op), nil
}

// GetDatabaseConnection returns the connection details of a ready database. GET /databases/{id}/connection
func (h *Handler) GetDatabaseConnection(
	ctx context.Context, params oas.GetDatabaseConnectionParams,
) (*oas.ConnectionResponse, error) {
	connection, err := h.databases.Connection(ctx, h.requestOf(ctx), params.ID)
	if err != nil {
		return nil, err
	}
	return &oas.ConnectionResponse{Data: connectionToOAS(connection), Error: noError, Meta: meta(ctx)}, nil
}

// ListDatabaseEvents returns one page of a database's events. GET /databases/{id}/events
func (h *Handler) ListDatabaseEvents(
	ctx context.Context, params oas.ListDatabaseEventsParams,
) (*oas.EventListResponse, error) {
	page, err := daap.ParsePage(params.Limit.Value, params.Cursor.Value)
	if err != nil {
		return nil, err
	}
	events, next, err := h.databases.Events(ctx, h.requestOf(ctx), daap.EventFilter{DatabaseID: params.ID, Page: page})
	if err != nil {
		return nil, err
	}
	return &oas.EventListResponse{Data: each(events, eventToOAS), Error: noError, Meta: pageMeta(ctx, next)}, nil
}

// accepted is the response to a change that takes time.
func accepted(ctx context.Context, db daap.Database, op daap.Operation) *oas.DatabaseAcceptedHeaders {
	x := exchangeOf(ctx)
	x.note(zap.Stringer("database_id", db.ID), zap.Stringer("operation_id", op.ID))
	return &oas.DatabaseAcceptedHeaders{
		Location:   operationAt(op.ID),
		RetryAfter: retryAfter,
		Response: oas.AcceptedResponse{
			Data:  databaseToOAS(db),
			Error: noError,
			Meta:  oas.AcceptedMeta{RequestID: x.requestID, OperationID: op.ID},
		},
	}
}

func databaseFilter(params oas.ListDatabasesParams) (daap.DatabaseFilter, error) {
	page, err := daap.ParsePage(params.Limit.Value, params.Cursor.Value)
	if err != nil {
		return daap.DatabaseFilter{}, err
	}
	labels, err := labelFilter(params.Label)
	if err != nil {
		return daap.DatabaseFilter{}, err
	}
	return daap.DatabaseFilter{
		Team:   string(params.Team.Value),
		Status: daap.DatabaseStatus(params.Status.Value),
		Health: daap.DatabaseHealth(params.Health.Value),
		Labels: labels,
		Page:   page,
	}, nil
}

// labelFilter parses key=value pairs, whose form the contract's pattern guarantees. A key with two values is refused
// because no database can match both.
func labelFilter(pairs []string) (map[string]string, error) {
	labels := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		if old, given := labels[key]; given && old != value {
			return nil, daap.Invalid(daap.Detail{Field: "label", Message: "key " + key + " is given with two different values"})
		}
		labels[key] = value
	}
	return labels, nil
}
