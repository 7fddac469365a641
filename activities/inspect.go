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
	// backups is how many base backups were completed by then.
	backups int
	// sizes are of base backups, by Barman's IDs.
	sizes map[string]int64
	gap   string
}

// inspectEvery is how often an archive is listed: a fortnight of it is some thousand objects.
const inspectEvery = time.Hour

// inspect notes what base backups take in the archive, and whether WAL is missing there. It lists the archive each
// inspectEvery, and where there is a base backup that it does not know.
func (b *Backups) inspect(
	ctx context.Context, db daap.Database, state *daap.BackupState, backups []daap.Backup,
) error {
	completed := slices.DeleteFunc(slices.Clone(backups), func(b daap.Backup) bool {
		return b.Status != daap.BackupCompleted
	})
	known, _ := b.archives.Load(db.ID)
	found, is := known.(archive)
	if !is || found.backups != len(completed) || time.Since(found.at) > inspectEvery {
		var err error
		if found, err = b.list(ctx, db, completed); err != nil {
			return err
		}
		b.archives.Store(db.ID, found)
	}
	state.Gap = found.gap
	for i := range backups {
		if size, there := found.sizes[backups[i].BackupID]; there && backups[i].Status == daap.BackupCompleted {
			backups[i].SizeBytes = &size
		}
	}
	return nil
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
	return archive{time.Now(), len(completed), baseBackups(objects), gap(objects, first)}, nil
}

// baseBackups are the sizes of all base backups in an archive, by their IDs: base/<id>/<file>.
func baseBackups(objects map[string]int64) map[string]int64 {
	sizes := map[string]int64{}
	for name, size := range objects {
		parts := strings.Split(name, "/")
		if len(parts) >= 3 && parts[0] == "base" {
			sizes[parts[1]] += size
		}
	}
	return sizes
}

// segmentsPerLog is how many segments of 16 MiB have the same middle part of their name.
const segmentsPerLog = 1 << 32 / (16 << 20)

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

// gap is the first segment that is missing between the one that the first base backup needs and the last one there is;
// empty where none is. A timeline goes on where the one before ended.
func gap(objects map[string]int64, first string) string {
	begin := place(first)
	if begin < 0 {
		return ""
	}
	var there []int64
	for name := range objects {
		parts := strings.Split(name, "/")
		if len(parts) == 3 && parts[0] == "wals" {
			if at := place(parts[2]); at >= begin {
				there = append(there, at)
			}
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
