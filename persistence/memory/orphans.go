package memory

import (
	"context"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// Orphans returns the orphans that the filter chooses, newest first.
func (s *Store) Orphans(ctx context.Context, f daap.OrphanFilter) ([]daap.Orphan, error) {
	return read(ctx, s, func(r *rows) ([]daap.Orphan, error) {
		return newest(r.orphans, f.Page, func(daap.Orphan) bool { return true }), nil
	})
}

// OrphansToRemove returns the orphans whose removal was requested.
func (s *Store) OrphansToRemove(ctx context.Context) ([]daap.Orphan, error) {
	return read(ctx, s, func(r *rows) ([]daap.Orphan, error) {
		return oldest(r.orphans, uuid.Nil, len(r.orphans), func(o daap.Orphan) bool {
			return o.RemovalRequestedAt != nil
		}), nil
	})
}

// CountOrphans returns the number of orphans.
func (s *Store) CountOrphans(ctx context.Context) (int, error) {
	return read(ctx, s, func(r *rows) (int, error) { return len(r.orphans), nil })
}

// RequestOrphanRemoval records that the orphan is to be removed. Errors: CodeNotFound, those of once.
func (s *Store) RequestOrphanRemoval(ctx context.Context, by daap.Grant, id uuid.UUID) (daap.Orphan, error) {
	return once(ctx, s, by, func(r *rows) (daap.Orphan, error) {
		o, found := r.orphans[id]
		if !found {
			return o, daap.NotFound("orphan")
		}
		if o.RemovalRequestedAt == nil {
			o.RemovalRequestedAt = new(r.now)
		}
		r.orphans[id] = o
		r.log(by.Changed(daap.Resource{Kind: daap.ResourceOrphan, ID: id}, nil, fields{
			"kind": o.Kind, "name": o.Name, "removal_requested_at": o.RemovalRequestedAt,
		}))
		return o, nil
	})
}

// SaveOrphans records all orphans that exist at the time; the others are removed.
func (s *Store) SaveOrphans(ctx context.Context, at time.Time, found []daap.Orphan) error {
	at = *precise(&at)
	return s.change(ctx, func(r *rows) error {
		for _, o := range found {
			is := daap.Orphan{
				ID: o.ID, Kind: o.Kind, Name: o.Name, DatabaseID: o.DatabaseID, Reason: o.Reason,
				FirstSeenAt: at, LastSeenAt: at,
			}
			for _, was := range r.orphans {
				if was.Kind == o.Kind && was.Name == o.Name {
					is = was
					is.Reason, is.LastSeenAt = o.Reason, at
				}
			}
			r.orphans[is.ID] = is
		}
		maps.DeleteFunc(r.orphans, func(_ uuid.UUID, o daap.Orphan) bool { return o.LastSeenAt.Before(at) })
		return nil
	})
}

// OrphanRemoved records that the orphan is gone, or why its removal failed.
func (s *Store) OrphanRemoved(ctx context.Context, id uuid.UUID, failure string) error {
	return s.change(ctx, func(r *rows) error {
		o, found := r.orphans[id]
		if failure == "" || !found {
			delete(r.orphans, id)
			return nil
		}
		o.RemovalError = storable(failure)
		r.orphans[id] = o
		return nil
	})
}
