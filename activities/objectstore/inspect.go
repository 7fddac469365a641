package objectstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/postgres"
)

// archive is the result of listing an archive.
type archive struct {
	at time.Time
	// server is the server name of the listed archive.
	server string
	// backups is the number of base backups that were completed at that time.
	backups int
	// sizes are the sizes of base backups, by Barman's IDs.
	sizes map[string]int64
	gap   string
}

// inspectEvery is the interval between listings of an archive: a fortnight of WAL is several thousand objects.
const inspectEvery = time.Hour

// Inspect records the sizes of base backups in the archive, and whether WAL is missing there. It lists the archive
// every inspectEvery, and if there is a new base backup. If it cannot or may not list, the last result stays.
func (a *Archives) Inspect(
	ctx context.Context, db daap.Database, state *daap.BackupState, backups []daap.Backup, mayList bool,
) (err error) {
	completed := slices.DeleteFunc(slices.Clone(backups), func(b daap.Backup) bool {
		return b.Status != daap.BackupCompleted
	})
	known, _ := a.inspected.Load(db.ID)
	found, is := known.(archive)
	if found.server != db.ServerName() {
		found, is = archive{}, false
	}
	if mayList && (!is || found.backups != len(completed) || time.Since(found.at) > inspectEvery) {
		var now archive
		if now, err = a.list(ctx, db, completed); err == nil {
			found = now
			a.inspected.Store(db.ID, found)
		}
	}
	state.Gap = found.gap
	for i := range backups {
		if size, there := found.sizes[backups[i].BackupID]; there && backups[i].Status == daap.BackupCompleted {
			backups[i].SizeBytes = &size
		}
	}
	return err
}

// Forget drops old results of archives that are no longer inspected: their databases are deleted.
func (a *Archives) Forget() {
	a.inspected.Range(func(id, found any) bool {
		if kept, is := found.(archive); !is || time.Since(kept.at) > 2*inspectEvery {
			a.inspected.Delete(id)
		}
		return true
	})
}

func (a *Archives) list(ctx context.Context, db daap.Database, completed []daap.Backup) (archive, error) {
	if a.Store == nil {
		return archive{}, ErrNoStore
	}
	bucket, prefix := Locate(db.Destination())
	objects, err := a.Store.Objects(ctx, bucket, prefix+"/"+db.ServerName()+"/")
	if err != nil {
		return archive{}, fmt.Errorf("list the archive of database %s: %w", db.ID, err)
	}
	first := ""
	for _, backup := range completed {
		if first == "" || postgres.SegmentPlace(backup.BeginWAL) < postgres.SegmentPlace(first) {
			first = backup.BeginWAL
		}
	}
	return archive{time.Now(), db.ServerName(), len(completed), baseBackups(objects), gap(objects, first)}, nil
}

// Reachable checks whether buckets respond, each only once, so that a sweep over many databases waits only once for an
// unavailable store.
type Reachable struct {
	store store
	mu    sync.Mutex
	asked map[string]func() error
}

// NewReachable returns a Reachable that has not checked any bucket.
func NewReachable(store store) *Reachable {
	return &Reachable{store: store, asked: map[string]func() error{}}
}

// Unavailable returns why the bucket of the database's backups is unavailable; nil if it responds.
func (s *Reachable) Unavailable(ctx context.Context, db daap.Database) error {
	if s.store == nil {
		return ErrNoStore
	}
	bucket, _ := Locate(db.Destination())
	s.mu.Lock()
	ask, is := s.asked[bucket]
	if !is {
		ask = sync.OnceValue(func() error { return s.store.Reach(ctx, bucket) })
		s.asked[bucket] = ask
	}
	s.mu.Unlock()
	return ask()
}
