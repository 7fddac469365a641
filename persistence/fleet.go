package persistence

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// Fleet counts all databases that are not deleted, and all open operations, at one moment: four statements in one
// snapshot.
func (s *Store) Fleet(ctx context.Context, now time.Time) (daap.Fleet, error) {
	fleet := daap.Fleet{
		ByStatus: map[daap.DatabaseStatus]int{}, ByHealth: map[daap.DatabaseHealth]daap.FleetHealth{},
	}
	read := &pgx.Batch{}
	countDatabases(read, &fleet)
	countHealths(read, &fleet, now)
	countOpen(read, &fleet)
	countParked(read, &fleet)
	return fleet, because(s.snapshot(ctx, read), "count the fleet")
}

// countDatabases scans all databases once, for any number of groups.
func countDatabases(read *pgx.Batch, fleet *daap.Fleet) {
	read.Queue(`
		SELECT d.status, d.tier_name, d.owner_team, d.profile ->> 'pg_version', count(*)
		FROM   databases d WHERE d.status <> 'deleted'
		GROUP  BY GROUPING SETS (d.status, d.tier_name, d.owner_team, d.profile ->> 'pg_version')`).Query(
		func(rows pgx.Rows) error {
			var status *daap.DatabaseStatus
			var tier, team, version *string
			var n int
			_, err := pgx.ForEachRow(rows, []any{&status, &tier, &team, &version, &n}, func() error {
				switch {
				case status != nil:
					fleet.ByStatus[*status] = n
					fleet.Databases += n
				case tier != nil:
					fleet.ByTier = append(fleet.ByTier, daap.FleetGroup{Name: *tier, Databases: n})
				case team != nil:
					fleet.ByTeam = append(fleet.ByTeam, daap.FleetGroup{Name: *team, Databases: n})
				case version != nil:
					fleet.ByPGVersion = append(fleet.ByPGVersion, daap.FleetGroup{Name: *version, Databases: n})
				}
				return nil
			})
			byName := func(a, b daap.FleetGroup) int { return cmp.Compare(a.Name, b.Name) }
			slices.SortFunc(fleet.ByTier, byName)
			slices.SortFunc(fleet.ByPGVersion, byName)
			slices.SortFunc(fleet.ByTeam, func(a, b daap.FleetGroup) int {
				return cmp.Or(cmp.Compare(b.Databases, a.Databases), byName(a, b))
			})
			fleet.ByTeam = fleet.ByTeam[:min(len(fleet.ByTeam), daap.MaxFleetTeams)]
			return err
		})
}

// countHealths follows daap.HealthObservation.AsOf.
func countHealths(read *pgx.Batch, fleet *daap.Fleet, now time.Time) {
	read.Queue(`
		WITH seen AS (
			SELECT d.id, h.observed_at, GREATEST(h.observed_at, d.updated_at) < $3 AS late,
			       CASE WHEN h.observed_at >= $1 THEN h.health ELSE 'unknown' END AS health,
			       CASE WHEN h.observed_at >= $1 OR h.health = 'unknown' THEN h.health_since
			            ELSE COALESCE(h.observed_at + $2::interval, d.created_at) END AS since`+fromDatabases+`
			WHERE `+running("$4", "$5")+`)
		SELECT health, count(*), count(*) FILTER (WHERE late), min(observed_at), max(observed_at), min(since),
		       (array_agg(id ORDER BY since, id) FILTER (WHERE health <> 'healthy'))[1]
		FROM   seen GROUP BY health`,
		daap.HealthValidSince(now), daap.HealthValidFor, now.Add(-daap.SweepLate),
		daap.RunningStatuses(), daap.RunningKinds()).Query(
		func(rows pgx.Rows) error {
			var health daap.DatabaseHealth
			var n, late int
			var first, last *time.Time
			var since time.Time
			var oldest *uuid.UUID
			sweep := &fleet.Sweep
			_, err := pgx.ForEachRow(rows, []any{&health, &n, &late, &first, &last, &since, &oldest}, func() error {
				of := daap.FleetHealth{Databases: n}
				if oldest != nil {
					of.Oldest = &daap.OldestDatabase{ID: *oldest, Since: since}
				}
				fleet.ByHealth[health] = of
				sweep.Databases, sweep.Late = sweep.Databases+n, sweep.Late+late
				if first != nil && (sweep.FirstAt == nil || first.Before(*sweep.FirstAt)) {
					sweep.FirstAt = first
				}
				if last != nil && (sweep.LastAt == nil || last.After(*sweep.LastAt)) {
					sweep.LastAt = last
				}
				return nil
			})
			return err
		})
}

func countOpen(read *pgx.Batch, fleet *daap.Fleet) {
	read.Queue(`
		SELECT kind, count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'running'),
		       count(*) FILTER (WHERE state = 'needs_attention'), count(*) FILTER (WHERE state = 'cancelling'),
		       (array_agg(id ORDER BY id))[1], (array_agg(created_at ORDER BY id))[1]
		FROM   operations WHERE state IN ` + openStates + ` GROUP BY kind ORDER BY kind`).Query(
		func(rows pgx.Rows) error {
			var of daap.OpenOperations
			_, err := pgx.ForEachRow(rows, []any{
				&of.Kind, &of.Pending, &of.Running, &of.NeedsAttention, &of.Cancelling, &of.Oldest.ID, &of.Oldest.CreatedAt,
			}, func() error {
				fleet.Open = append(fleet.Open, of)
				return nil
			})
			return err
		})
}

func countParked(read *pgx.Batch, fleet *daap.Fleet) {
	read.Queue(`
		SELECT cause_code, count(*), (array_agg(id ORDER BY id))[1], (array_agg(created_at ORDER BY id))[1]
		FROM   operations WHERE state = 'needs_attention' GROUP BY cause_code ORDER BY cause_code`).Query(
		func(rows pgx.Rows) error {
			var of daap.ParkedOperations
			_, err := pgx.ForEachRow(rows, []any{&of.Cause, &of.Operations, &of.Oldest.ID, &of.Oldest.CreatedAt}, func() error {
				fleet.Parked = append(fleet.Parked, of)
				return nil
			})
			return err
		})
}
