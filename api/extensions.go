package api

import (
	"context"
	"time"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// ListExtensions returns one page of installed extension versions. GET /extensions
func (h *Handler) ListExtensions(
	ctx context.Context, params oas.ListExtensionsParams,
) (*oas.ExtensionListResponse, error) {
	page, err := daap.ParseExtensionPage(params.Limit.Value, params.Cursor.Value)
	if err != nil {
		return nil, err
	}
	list, err := h.extensions.List(ctx, h.requestOf(ctx), daap.ExtensionFilter{
		Name: params.Name.Value, OlderThan: params.OlderThan.Value, Page: page,
	})
	if err != nil {
		return nil, err
	}
	return &oas.ExtensionListResponse{
		Data: each(list.Groups, extensionGroupToOAS), Error: noError,
		Meta: oas.ExtensionsMeta{
			RequestID: exchangeOf(ctx).requestID, NextCursor: nilString(list.Next), UnscannedDatabases: list.Unscanned,
		},
	}, nil
}

func extensionGroupToOAS(g daap.ExtensionGroup) oas.ExtensionVersion {
	return oas.ExtensionVersion{
		Name:              g.Name,
		Version:           g.Version,
		AvailableVersion:  nilString(g.AvailableVersion()),
		Databases:         g.Databases,
		OutdatedDatabases: g.Outdated,
		LastCheckedAt:     g.LastCheckedAt.UTC(),
	}
}

func extensionToOAS(e daap.Extension) oas.Extension {
	return oas.Extension{
		PostgresDatabase: e.PostgresDatabase,
		Name:             e.Name,
		Version:          e.Version,
		AvailableVersion: nilString(e.AvailableVersion),
		LastCheckedAt:    e.LastCheckedAt.UTC(),
	}
}

func extensionsToOAS(scan daap.Scan, extensions []daap.Extension) oas.NilDatabaseExtensions {
	state, reason, message := scan.Extensions(time.Now())
	return oas.NewNilDatabaseExtensions(oas.DatabaseExtensions{
		State:         oas.ExtensionsState(state),
		Reason:        nilString(reason),
		Message:       nilString(message),
		LastCheckedAt: nilTime(scan.ListedAt),
		Items:         each(extensions, extensionToOAS),
	})
}

func storageToOAS(db daap.Database, scan daap.Scan) oas.NilStorage {
	return oas.NewNilStorage(oas.Storage{
		State:      oas.StorageState(scan.Storage(db.Profile, time.Now())),
		SizeBytes:  db.Profile.StorageSize.Value(),
		UsedBytes:  nilInt64(given(scan.UsedBytes, scan.ScannedAt != nil)),
		WalBytes:   nilInt64(given(scan.WALBytes, scan.WALBytes > 0)),
		ObservedAt: nilTime(scan.ScannedAt),
	})
}
