package api

import (
	"context"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// ListOrphans returns one page of orphans. GET /orphans
func (h *Handler) ListOrphans(ctx context.Context, params oas.ListOrphansParams) (*oas.OrphanListResponse, error) {
	page, err := daap.ParsePage(params.Limit.Value, params.Cursor.Value)
	if err != nil {
		return nil, err
	}
	orphans, next, err := h.orphans.List(ctx, h.requestOf(ctx), daap.OrphanFilter{Page: page})
	if err != nil {
		return nil, err
	}
	return &oas.OrphanListResponse{Data: each(orphans, orphanToOAS), Error: noError, Meta: pageMeta(ctx, next)}, nil
}

// RemoveOrphan requests the removal of an orphan. DELETE /orphans/{id}
func (h *Handler) RemoveOrphan(ctx context.Context, params oas.RemoveOrphanParams) (*oas.OrphanResponse, error) {
	orphan, err := h.orphans.Remove(ctx, h.requestOf(ctx), params.ID)
	if err != nil {
		return nil, err
	}
	return &oas.OrphanResponse{Data: orphanToOAS(orphan), Error: noError, Meta: meta(ctx)}, nil
}

func orphanToOAS(o daap.Orphan) oas.Orphan {
	return oas.Orphan{
		ID:                 o.ID,
		Kind:               oas.OrphanKind(o.Kind),
		Name:               o.Name,
		DatabaseID:         o.DatabaseID,
		Reason:             o.Reason,
		FirstSeenAt:        o.FirstSeenAt.UTC(),
		LastSeenAt:         o.LastSeenAt.UTC(),
		RemovalRequestedAt: nilTime(o.RemovalRequestedAt),
		RemovalError:       nilString(o.RemovalError),
	}
}
