package api

import (
	"context"
	"encoding/json"

	"github.com/go-faster/jx"
	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// ListAuditLogs returns one page of audit log entries. GET /audit-logs
func (h *Handler) ListAuditLogs(
	ctx context.Context, params oas.ListAuditLogsParams,
) (*oas.AuditLogListResponse, error) {
	filter, err := auditPage(params)
	if err != nil {
		return nil, err
	}
	entries, next, err := h.auditLogs.List(ctx, h.requestOf(ctx), filter)
	if err != nil {
		return nil, err
	}
	return &oas.AuditLogListResponse{Data: each(entries, auditEntryToOAS), Error: noError, Meta: pageMeta(ctx, next)}, nil
}

// ExportAuditLogs streams all entries as NDJSON, at the client's pace. GET /audit-logs/export
func (h *Handler) ExportAuditLogs(
	ctx context.Context, params oas.ExportAuditLogsParams,
) (oas.ExportAuditLogsOK, error) {
	export, err := h.auditLogs.Export(h.requestOf(ctx), auditFilter(params))
	if err != nil {
		return oas.ExportAuditLogsOK{}, err
	}
	lines, err := h.stream(ctx, export)
	return oas.ExportAuditLogsOK{Data: lines}, err
}

func auditPage(params oas.ListAuditLogsParams) (daap.AuditFilter, error) {
	filter := auditFilter(oas.ExportAuditLogsParams{
		Team: params.Team, KeyID: params.KeyID, Action: params.Action, ResourceID: params.ResourceID,
		Outcome: params.Outcome, From: params.From, Until: params.Until,
	})
	var err error
	filter.Page, err = daap.ParsePage(params.Limit.Value, params.Cursor.Value)
	return filter, err
}

func auditFilter(params oas.ExportAuditLogsParams) daap.AuditFilter {
	filter := daap.AuditFilter{
		Team:    string(params.Team.Value),
		Action:  params.Action.Value,
		Outcome: daap.Outcome(params.Outcome.Value),
		From:    params.From.Value,
		Until:   params.Until.Value,
	}
	if id, given := params.KeyID.Get(); given {
		filter.KeyID = &id
	}
	if id, given := params.ResourceID.Get(); given {
		filter.Resource = &id
	}
	return filter
}

func auditEntryToOAS(e daap.AuditEntry) oas.AuditEntry {
	entry := oas.AuditEntry{
		ID:        e.ID,
		At:        e.At.UTC(),
		Actor:     nilString(e.Actor),
		KeyID:     oas.NilUUID{Value: e.KeyID, Null: e.KeyID == uuid.Nil},
		Team:      nilString(e.Team),
		Role:      oas.NilRole{Value: oas.Role(e.Role), Null: e.Role == ""},
		Action:    e.Action,
		Resource:  oas.NilAuditResource{Null: e.Resource.ID == uuid.Nil},
		Outcome:   oas.AuditOutcome(e.Outcome),
		Status:    oas.NilInt{Value: e.Status, Null: e.Status == 0},
		RequestID: nilString(e.RequestID),
		Address:   nilString(e.Address),
		Before:    oas.NilAuditEntryBefore{Value: rawFields(e.Before), Null: e.Before == nil},
		After:     oas.NilAuditEntryAfter{Value: oas.AuditEntryAfter(rawFields(e.After)), Null: e.After == nil},
	}
	if !entry.Resource.Null {
		entry.Resource.Value = oas.AuditResource{Kind: oas.AuditResourceKind(e.Resource.Kind), ID: e.Resource.ID}
	}
	return entry
}

// rawFields returns the fields as raw JSON; they were read from JSON.
func rawFields(fields map[string]any) map[string]jx.Raw {
	raw := make(map[string]jx.Raw, len(fields))
	for name, value := range fields {
		text, err := json.Marshal(value)
		if err != nil {
			text = []byte("null")
		}
		raw[name] = text
	}
	return raw
}
