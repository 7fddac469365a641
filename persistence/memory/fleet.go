package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/daap-dev/daap"
)

// Fleet counts all databases that are not deleted, and all operations that are open.
func (s *Store) Fleet(ctx context.Context, now time.Time) (daap.Fleet, error) {
	return read(ctx, s, func(r *rows) (daap.Fleet, error) {
		fleet := daap.Fleet{
			ByStatus: map[daap.DatabaseStatus]int{}, ByHealth: map[daap.DatabaseHealth]daap.FleetHealth{},
		}
		tiers, teams, versions := map[string]int{}, map[string]int{}, map[string]int{}
		for _, db := range r.all() {
			if db.Status == daap.DatabaseDeleted {
				continue
			}
			fleet.Databases++
			fleet.ByStatus[db.Status]++
			tiers[db.Tier]++
			teams[db.OwnerTeam]++
			versions[db.Profile.PGVersion]++
			if db.Runs() {
				countHealth(&fleet, db, now)
			}
		}
		fleet.ByTier, fleet.ByTeam, fleet.ByPGVersion = groups(tiers), groups(teams), groups(versions)
		slices.SortStableFunc(fleet.ByTeam, func(a, b daap.FleetGroup) int { return cmp.Compare(b.Databases, a.Databases) })
		fleet.ByTeam = fleet.ByTeam[:min(len(fleet.ByTeam), daap.MaxFleetTeams)]
		r.countOperations(&fleet)
		return fleet, nil
	})
}

// groups are in order of their names.
func groups(of map[string]int) []daap.FleetGroup {
	var all []daap.FleetGroup
	for _, name := range slices.Sorted(maps.Keys(of)) {
		all = append(all, daap.FleetGroup{Name: name, Databases: of[name]})
	}
	return all
}

// countHealth counts a database that runs.
func countHealth(fleet *daap.Fleet, db daap.Database, now time.Time) {
	is, _ := db.HealthAt(now)
	since, checked := is.Since, db.UpdatedAt
	sweep := &fleet.Sweep
	if db.LastHealth == nil {
		since = db.CreatedAt
	} else {
		at := db.LastHealth.ObservedAt
		if at.After(checked) {
			checked = at
		}
		if sweep.FirstAt == nil || at.Before(*sweep.FirstAt) {
			sweep.FirstAt = &at
		}
		if sweep.LastAt == nil || at.After(*sweep.LastAt) {
			sweep.LastAt = &at
		}
	}
	sweep.Databases++
	if checked.Before(now.Add(-daap.SweepLate)) {
		sweep.Late++
	}
	of := fleet.ByHealth[is.Health]
	of.Databases++
	if is.Health != daap.HealthHealthy {
		first := of.Oldest
		if first == nil || cmp.Or(since.Compare(first.Since), compare(db.ID, first.ID)) < 0 {
			of.Oldest = &daap.OldestDatabase{ID: db.ID, Since: since}
		}
	}
	fleet.ByHealth[is.Health] = of
}

// countOperations counts the open operations by kind, and the parked ones by cause.
func (r *rows) countOperations(fleet *daap.Fleet) {
	open, parked := map[daap.OperationKind]daap.OpenOperations{}, map[daap.CauseCode]daap.ParkedOperations{}
	for _, op := range r.operations {
		if !op.State.Open() {
			continue
		}
		of := open[op.Kind]
		of.Kind, of.Oldest = op.Kind, older(of.Oldest, of.Operations() == 0, op)
		*map[daap.OperationState]*int{
			daap.OperationPending: &of.Pending, daap.OperationRunning: &of.Running,
			daap.OperationNeedsAttention: &of.NeedsAttention, daap.OperationCancelling: &of.Cancelling,
		}[op.State]++
		open[op.Kind] = of
		if op.State == daap.OperationNeedsAttention {
			of := parked[op.Cause.Code]
			of.Cause, of.Oldest = op.Cause.Code, older(of.Oldest, of.Operations == 0, op)
			of.Operations++
			parked[op.Cause.Code] = of
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(open)) {
		fleet.Open = append(fleet.Open, open[kind])
	}
	for _, cause := range slices.Sorted(maps.Keys(parked)) {
		fleet.Parked = append(fleet.Parked, parked[cause])
	}
}

// older is the operation that was accepted first.
func older(first daap.OldestOperation, none bool, op operation) daap.OldestOperation {
	if none || compare(op.ID, first.ID) < 0 {
		return daap.OldestOperation{ID: op.ID, CreatedAt: op.CreatedAt}
	}
	return first
}
