package activities

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daap-dev/daap"
)

// archive is what was found where a database archives.
type archive struct {
	at time.Time
	// server is the server name that it was listed under.
	server string
	// backups is how many base backups were completed by then.
	backups int
	// sizes are of base backups, by Barman's IDs.
	sizes map[string]int64
	gap   string
}

// inspectEvery is how often an archive is listed: a fortnight of it is some thousand objects.
const inspectEvery = time.Hour

// inspect notes what base backups take in the archive, and whether WAL is missing there. It lists the archive each
// inspectEvery, and where there is a base backup that it does not know. Where it cannot, or may not, what it found
// before stands.
func (b *Backups) inspect(
	ctx context.Context, db daap.Database, state *daap.BackupState, backups []daap.Backup, mayList bool,
) (err error) {
	completed := slices.DeleteFunc(slices.Clone(backups), func(b daap.Backup) bool {
		return b.Status != daap.BackupCompleted
	})
	known, _ := b.archives.Load(db.ID)
	found, is := known.(archive)
	if found.server != db.ServerName() {
		found, is = archive{}, false
	}
	if mayList && (!is || found.backups != len(completed) || time.Since(found.at) > inspectEvery) {
		var now archive
		if now, err = b.list(ctx, db, completed); err == nil {
			found = now
			b.archives.Store(db.ID, found)
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

// forgetArchives drops what was found in archives that nobody has asked about since: their databases are deleted.
func (b *Backups) forgetArchives() {
	b.archives.Range(func(id, found any) bool {
		if kept, is := found.(archive); !is || time.Since(kept.at) > 2*inspectEvery {
			b.archives.Delete(id)
		}
		return true
	})
}

func (b *Backups) list(ctx context.Context, db daap.Database, completed []daap.Backup) (archive, error) {
	if b.Postgres.Kubernetes.Buckets == nil {
		return archive{}, noStore()
	}
	bucket, prefix := bucketOf(db.Destination())
	objects, err := b.Postgres.Kubernetes.Buckets.Objects(ctx, bucket, prefix+"/"+db.ServerName()+"/")
	if err != nil {
		return archive{}, fmt.Errorf("list the archive of database %s: %w", db.ID, err)
	}
	first := ""
	for _, backup := range completed {
		if first == "" || place(backup.BeginWAL) < place(first) {
			first = backup.BeginWAL
		}
	}
	return archive{time.Now(), db.ServerName(), len(completed), baseBackups(objects), gap(objects, first)}, nil
}

// baseBackups are the sizes of all base backups in an archive, by their IDs.
func baseBackups(objects map[string]Object) map[string]int64 {
	sizes := map[string]int64{}
	for name, object := range objects {
		if id := baseOf(name); id != "" {
			sizes[id] += object.Size
		}
	}
	return sizes
}

// baseOf is the ID of the base backup that an object of an archive is of, base/<id>/<file>; empty where it is of none.
func baseOf(name string) string {
	parts := strings.Split(name, "/")
	if len(parts) < 3 || parts[0] != "base" {
		return ""
	}
	return parts[1]
}

// segmentBytes is the size of a segment, and segmentsPerLog how many have the same middle part of their name.
const (
	segmentBytes   = 16 << 20
	segmentsPerLog = 1 << 32 / segmentBytes
)

// place is where in the log a segment is, whatever its timeline: -1 for what is no segment.
func place(segment string) int64 {
	segment, _, _ = strings.Cut(segment, ".")
	if len(segment) != 24 {
		return -1
	}
	log, err := strconv.ParseInt(segment[8:16], 16, 64)
	at, wrong := strconv.ParseInt(segment[16:], 16, 64)
	if err != nil || wrong != nil {
		return -1
	}
	return log*segmentsPerLog + at
}

// segmentOf is the place of the segment that an object of an archive is of, wals/<log>/<segment>; -1 where there is
// none.
func segmentOf(name string) int64 {
	parts := strings.Split(name, "/")
	if len(parts) != 3 || parts[0] != "wals" {
		return -1
	}
	return place(parts[2])
}

// gap is the first segment that is missing between the one that the first base backup needs and the last one there is;
// empty where none is. A timeline goes on where the one before ended.
func gap(objects map[string]Object, first string) string {
	begin := place(first)
	if begin < 0 {
		return ""
	}
	var there []int64
	for name := range objects {
		if at := segmentOf(name); at >= begin {
			there = append(there, at)
		}
	}
	slices.Sort(there)
	next := begin
	for _, at := range slices.Compact(there) {
		if at != next {
			return fmt.Sprintf("%s%08X%08X", first[:8], next/segmentsPerLog, next%segmentsPerLog)
		}
		next++
	}
	return ""
}
