package api_test

import (
	"context"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

func (m *memory) Orphans(ctx context.Context, filter daap.OrphanFilter) ([]daap.Orphan, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	var all []daap.Orphan
	for _, o := range m.orphans {
		if len(all) < filter.Page.Limit {
			all = append(all, o)
		}
	}
	return all, nil
}

func (m *memory) RequestOrphanRemoval(ctx context.Context, by daap.Grant, id uuid.UUID) (daap.Orphan, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return daap.Orphan{}, err
	}
	return answerOnce(m, by, daap.Resource{Kind: daap.ResourceOrphan, ID: id}, func() (daap.Orphan, error) {
		o, is := m.orphans[id]
		if !is {
			return o, daap.NotFound("orphan")
		}
		return o, nil
	})
}

func (m *memory) CountOrphans(context.Context) (int, error) { return len(m.orphans), nil }

func (m *memory) Reap(context.Context) error { return nil }
