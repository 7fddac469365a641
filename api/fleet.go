package api

import (
	"context"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// GetFleet returns the summary of all databases. GET /fleet
func (h *Handler) GetFleet(ctx context.Context) (*oas.FleetResponse, error) {
	fleet, err := h.databases.Fleet(ctx, h.requestOf(ctx))
	if err != nil {
		return nil, err
	}
	return &oas.FleetResponse{Data: fleetToOAS(fleet), Error: noError, Meta: meta(ctx)}, nil
}

func fleetToOAS(f daap.Fleet) oas.Fleet {
	return oas.Fleet{
		Databases: oas.FleetDatabases{
			Total:    f.Databases,
			ByStatus: byStatusToOAS(f),
			ByHealth: each(daap.DatabaseHealths(), func(h daap.DatabaseHealth) oas.FleetDatabasesByHealthItem {
				of := f.ByHealth[h]
				return oas.FleetDatabasesByHealthItem{
					Health: oas.DatabaseHealth(h), Databases: of.Databases, Oldest: oldestDatabaseToOAS(of.Oldest),
				}
			}),
			ByTier: each(f.ByTier, func(g daap.FleetGroup) oas.FleetDatabasesByTierItem {
				return oas.FleetDatabasesByTierItem{Tier: g.Name, Databases: g.Databases}
			}),
			ByTeam: each(f.ByTeam, func(g daap.FleetGroup) oas.FleetDatabasesByTeamItem {
				return oas.FleetDatabasesByTeamItem{Team: g.Name, Databases: g.Databases}
			}),
			ByPgVersion: each(f.ByPGVersion, func(g daap.FleetGroup) oas.FleetDatabasesByPgVersionItem {
				return oas.FleetDatabasesByPgVersionItem{PgVersion: g.Name, Databases: g.Databases}
			}),
		},
		Operations: oas.FleetOperations{
			Open: each(f.Open, openOperationsToOAS), Parked: each(f.Parked, parkedOperationsToOAS),
		},
		Sweep: oas.FleetSweep{
			LastAt: nilTime(f.Sweep.LastAt), FirstAt: nilTime(f.Sweep.FirstAt),
			Databases: f.Sweep.Databases, Late: f.Sweep.Late, Behind: f.Sweep.Late > 0,
		},
	}
}

func byStatusToOAS(f daap.Fleet) []oas.FleetDatabasesByStatusItem {
	var all []oas.FleetDatabasesByStatusItem
	for _, status := range daap.DatabaseStatuses() {
		if status != daap.DatabaseDeleted {
			all = append(all, oas.FleetDatabasesByStatusItem{
				Status: oas.DatabaseStatus(status), Databases: f.ByStatus[status],
			})
		}
	}
	return all
}

func oldestDatabaseToOAS(oldest *daap.OldestDatabase) oas.NilOldestDatabase {
	if oldest == nil {
		return oas.NilOldestDatabase{Null: true}
	}
	return oas.NewNilOldestDatabase(oas.OldestDatabase{DatabaseID: oldest.ID, Since: oldest.Since.UTC()})
}

func openOperationsToOAS(o daap.OpenOperations) oas.OpenOperations {
	return oas.OpenOperations{
		Kind: oas.OperationKind(o.Kind), Operations: o.Operations(),
		Pending: o.Pending, Running: o.Running, NeedsAttention: o.NeedsAttention, Cancelling: o.Cancelling,
		Oldest: oldestOperationToOAS(o.Oldest),
	}
}

func parkedOperationsToOAS(p daap.ParkedOperations) oas.ParkedOperations {
	return oas.ParkedOperations{
		Cause: oas.CauseCode(p.Cause), Operations: p.Operations, Oldest: oldestOperationToOAS(p.Oldest),
	}
}

func oldestOperationToOAS(o daap.OldestOperation) oas.OldestOperation {
	return oas.OldestOperation{OperationID: o.ID, CreatedAt: o.CreatedAt.UTC()}
}
