package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// health is the last observation of a database.
type health struct {
	health            daap.DatabaseHealth
	since, observedAt time.Time
	conditions        daap.Conditions
	revision          int64
}

// told returns the conditions with the time of the last observation.
func (h health) told() daap.Conditions {
	told := slices.Clone(h.conditions)
	for i := range told {
		told[i].ObservedAt = h.observedAt
	}
	return told
}

// exists is an error for a database that does not exist, of which nothing can be recorded.
func (r *rows) exists(id uuid.UUID) error {
	if _, found := r.databases[id]; !found {
		return fmt.Errorf("database %s does not exist", id)
	}
	return nil
}

// RunningDatabases returns at most limit databases that run, in order of ID from after on, each with its observations.
func (s *Store) RunningDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Observed, error) {
	return read(ctx, s, func(r *rows) ([]daap.Observed, error) {
		return r.observed(oldest(r.all(), after, limit, daap.Database.Runs)), nil
	})
}

// RunningAmong returns the running ones among the given databases, with their last observations.
func (s *Store) RunningAmong(ctx context.Context, ids []uuid.UUID) ([]daap.Observed, error) {
	return read(ctx, s, func(r *rows) ([]daap.Observed, error) {
		return r.observed(oldest(r.all(), uuid.Nil, len(ids), func(db daap.Database) bool {
			return db.Runs() && slices.Contains(ids, db.ID)
		})), nil
	})
}

func (r *rows) observed(dbs []daap.Database) []daap.Observed {
	all := make([]daap.Observed, 0, len(dbs))
	for _, db := range dbs {
		h := r.health[db.ID]
		all = append(all, daap.Observed{
			Database: db, Conditions: h.told(), Revision: h.revision, Backups: r.backupStates[db.ID],
			Scan: r.scans[db.ID], Reserved: r.reserved(db),
		})
	}
	return all
}

// reserved is what is reserved for the database in the quota of its tier.
func (r *rows) reserved(db daap.Database) daap.Cost {
	return r.sum(func(of reservation) bool {
		return of.database == db.ID && db.TierID != nil && of.tier == *db.TierID
	})
}

// SaveHealth records observations of databases, and changes as events. It returns the databases that another
// observation changed meanwhile.
func (s *Store) SaveHealth(ctx context.Context, at time.Time, seen []daap.Observation) (again []uuid.UUID, err error) {
	at = *precise(&at)
	err = s.change(ctx, func(r *rows) error {
		for _, one := range seen {
			h, known := r.health[one.ID]
			switch {
			case !one.Changed():
				if known && h.observedAt.Before(at) {
					h.observedAt = at
					r.health[one.ID] = h
				}
			case known && h.revision != one.Revision:
				again = append(again, one.ID)
			default:
				if err := r.exists(one.ID); err != nil {
					return err
				}
				r.saveHealth(h, at, one)
			}
		}
		return nil
	})
	return again, err
}

func (r *rows) saveHealth(was health, at time.Time, one daap.Observation) {
	is := health{one.Now.Health(), at, at, slices.Clone(one.Now), was.revision + 1}
	if was.health == is.health {
		is.since = was.since
	}
	for i := range is.conditions {
		is.conditions[i].Since = *precise(&is.conditions[i].Since)
	}
	r.health[one.ID] = is
	if event, changed := one.Event(); changed {
		r.insertEvent(event)
	}
}
