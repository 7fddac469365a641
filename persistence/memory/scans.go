package memory

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// The intervals of package persistence.
const scanEvery, scanSoon = 10 * time.Minute, 50 * time.Second

// DatabasesToScan returns at most limit databases that run and whose scan is due, in order of ID from after on.
func (s *Store) DatabasesToScan(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error) {
	return read(ctx, s, func(r *rows) ([]daap.Database, error) {
		return oldest(r.all(), after, limit, func(db daap.Database) bool { return db.Runs() && r.scanIsDue(db) }), nil
	})
}

func (r *rows) scanIsDue(db daap.Database) bool {
	scan, seen := r.scans[db.ID]
	listed := db.CreatedAt
	if scan.ListedAt != nil {
		listed = *scan.ListedAt
	}
	fails := scan.Reason != "" && scan.AttemptedAt.Before(listed.Add(scanEvery))
	size := r.reserved(db).StorageBytes
	fillsUp := size > 0 && scan.UsedBytes >= daap.StorageFillsUpFrom*size/100
	return !seen || scan.AttemptedAt.Before(db.UpdatedAt) || scan.AttemptedAt.Before(r.now.Add(-scanEvery)) ||
		scan.AttemptedAt.Before(r.now.Add(-scanSoon)) && (fails || fillsUp)
}

// SaveScan records an answer: of storage and connections where ScannedAt is given, and of extensions where ListedAt is.
// A later answer stays.
func (s *Store) SaveScan(ctx context.Context, id uuid.UUID, is daap.Scan, extensions []daap.Extension) error {
	return s.change(ctx, func(r *rows) error {
		if err := r.exists(id); err != nil {
			return err
		}
		was := r.scans[id]
		is.AttemptedAt, is.Message = *precise(&is.AttemptedAt), storable(is.Message)
		is.ScannedAt, is.ListedAt = precise(is.ScannedAt), precise(is.ListedAt)
		if was.AttemptedAt.After(is.AttemptedAt) {
			return nil
		}
		if is.ListedAt != nil {
			r.extensions[id] = distinct(id, *is.ListedAt, extensions)
		} else {
			is.ListedAt = was.ListedAt
		}
		if is.ScannedAt == nil {
			is.ScannedAt, is.UsedBytes, is.WALBytes = was.ScannedAt, was.UsedBytes, was.WALBytes
			is.Connections, is.MaxConnections = was.Connections, was.MaxConnections
		}
		r.scans[id] = is
		return nil
	})
}

// distinct are the extensions in order of PostgreSQL database and name, each once.
func distinct(id uuid.UUID, at time.Time, extensions []daap.Extension) []daap.Extension {
	all := make([]daap.Extension, 0, len(extensions))
	for _, e := range extensions {
		all = append(all, daap.Extension{
			DatabaseID: id, PostgresDatabase: storable(e.PostgresDatabase), Name: storable(e.Name),
			Version: storable(e.Version), AvailableVersion: storable(e.AvailableVersion), LastCheckedAt: at,
		})
	}
	slices.SortStableFunc(all, func(a, b daap.Extension) int {
		return cmp.Or(cmp.Compare(a.PostgresDatabase, b.PostgresDatabase), cmp.Compare(a.Name, b.Name))
	})
	return slices.CompactFunc(all, func(a, b daap.Extension) bool {
		return a.PostgresDatabase == b.PostgresDatabase && a.Name == b.Name
	})
}

// extensionsIn are the extensions of databases that run and are in scope.
func (r *rows) extensionsIn(scope daap.Scope) (all []daap.Extension) {
	for id, db := range r.all() {
		if db.Runs() && scope.Covers(db.OwnerTeam) {
			all = append(all, r.extensions[id]...)
		}
	}
	return all
}

// ExtensionGroups returns the groups that the filter chooses, in order of name and version.
func (s *Store) ExtensionGroups(
	ctx context.Context, scope daap.Scope, f daap.ExtensionFilter,
) ([]daap.ExtensionGroup, error) {
	return read(ctx, s, func(r *rows) ([]daap.ExtensionGroup, error) {
		type group struct{ name, version string }
		members := map[group][]daap.Extension{}
		for _, e := range r.extensionsIn(scope) {
			after := cmp.Or(cmp.Compare(e.Name, f.Page.AfterName), cmp.Compare(e.Version, f.Page.AfterVersion)) > 0
			if (f.Name == "" || e.Name == f.Name) && (f.OlderThan == "" || slices.Contains(f.Versions, e.Version)) &&
				(f.Page.AfterName == "" || after) {
				members[group{e.Name, e.Version}] = append(members[group{e.Name, e.Version}], e)
			}
		}
		groups := make([]daap.ExtensionGroup, 0, len(members))
		for _, extensions := range members {
			groups = append(groups, groupOf(extensions))
		}
		slices.SortFunc(groups, func(a, b daap.ExtensionGroup) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
		})
		return groups[:min(len(groups), f.Page.Limit)], nil
	})
}

// groupOf sums up extensions of one name and version.
func groupOf(extensions []daap.Extension) daap.ExtensionGroup {
	has, outdated, available := map[uuid.UUID]bool{}, map[uuid.UUID]bool{}, map[string]bool{}
	first := extensions[0]
	g := daap.ExtensionGroup{Name: first.Name, Version: first.Version, LastCheckedAt: first.LastCheckedAt}
	for _, e := range extensions {
		has[e.DatabaseID] = true
		if e.AvailableVersion != "" {
			available[e.AvailableVersion] = true
			if e.AvailableVersion != e.Version {
				outdated[e.DatabaseID] = true
			}
		}
		if e.LastCheckedAt.Before(g.LastCheckedAt) {
			g.LastCheckedAt = e.LastCheckedAt
		}
	}
	g.Databases, g.Outdated, g.AvailableVersions = len(has), len(outdated), slices.Sorted(maps.Keys(available))
	return g
}

// ExtensionVersions returns all versions of the extension in databases that run and are in scope.
func (s *Store) ExtensionVersions(ctx context.Context, scope daap.Scope, name string) ([]string, error) {
	return read(ctx, s, func(r *rows) ([]string, error) {
		all := map[string]bool{}
		for _, e := range r.extensionsIn(scope) {
			all[e.Version] = all[e.Version] || e.Name == name
		}
		return sortedKeys(all), nil
	})
}

// sortedKeys are the keys that are set.
func sortedKeys(of map[string]bool) []string {
	all := []string{}
	for _, key := range slices.Sorted(maps.Keys(of)) {
		if of[key] {
			all = append(all, key)
		}
	}
	return all
}

// UnscannedDatabases returns how many databases that run and are in scope have no list of extensions since then.
func (s *Store) UnscannedDatabases(ctx context.Context, scope daap.Scope, since time.Time) (int, error) {
	return read(ctx, s, func(r *rows) (n int, err error) {
		for id, db := range r.all() {
			scan := r.scans[id]
			if db.Runs() && scope.Covers(db.OwnerTeam) &&
				(scan.Reason != "" || scan.ListedAt == nil || scan.ListedAt.Before(since)) {
				n++
			}
		}
		return n, nil
	})
}
