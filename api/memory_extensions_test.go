package api_test

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// told has the database's PostgreSQL tell the scan and the extensions.
func (m *memory) told(id uuid.UUID, scan daap.Scan, extensions ...daap.Extension) {
	defer m.mu.Unlock()
	m.mu.Lock()
	m.scans[id] = scan
	for _, e := range extensions {
		e.DatabaseID, e.LastCheckedAt = id, *scan.ListedAt
		m.extensions = append(m.extensions, e)
	}
}

func (m *memory) ExtensionGroups(
	ctx context.Context, scope daap.Scope, f daap.ExtensionFilter,
) ([]daap.ExtensionGroup, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	var groups []daap.ExtensionGroup
	for _, e := range m.extensions {
		group := daap.ExtensionGroup{
			Name: e.Name, Version: e.Version, AvailableVersions: []string{e.AvailableVersion}, Databases: 1, LastCheckedAt: e.LastCheckedAt,
		}
		after := cmp.Or(cmp.Compare(e.Name, f.Page.AfterName), cmp.Compare(e.Version, f.Page.AfterVersion)) > 0
		if f.Name != "" && e.Name != f.Name || f.OlderThan != "" && !slices.Contains(f.Versions, e.Version) || !after ||
			!scope.Covers(m.databases[e.DatabaseID].OwnerTeam) {
			continue
		}
		groups = append(groups, group)
	}
	slices.SortFunc(groups, func(a, b daap.ExtensionGroup) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return groups[:min(len(groups), f.Page.Limit)], nil
}

func (m *memory) ExtensionVersions(ctx context.Context, _ daap.Scope, name string) ([]string, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	var all []string
	for _, e := range m.extensions {
		if e.Name == name {
			all = append(all, e.Version)
		}
	}
	return all, nil
}

func (m *memory) UnscannedDatabases(ctx context.Context, scope daap.Scope, _ time.Time) (int, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return 0, err
	}
	n := 0
	for _, db := range m.databases {
		if scope.Covers(db.OwnerTeam) && m.scans[db.ID].ListedAt == nil {
			n++
		}
	}
	return n, nil
}
