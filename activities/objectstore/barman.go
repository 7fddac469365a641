package objectstore

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daap-dev/daap/activities/postgres"
)

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

// segmentOf is the postgres.SegmentPlace of the segment that an object of an archive is of, wals/<log>/<segment>; -1
// where there is none.
func segmentOf(name string) int64 {
	parts := strings.Split(name, "/")
	if len(parts) != 3 || parts[0] != "wals" {
		return -1
	}
	return postgres.SegmentPlace(parts[2])
}

// gap is the first segment that is missing between the one that the first base backup needs and the last one there is;
// empty where none is. A timeline goes on where the one before ended.
func gap(objects map[string]Object, first string) string {
	begin := postgres.SegmentPlace(first)
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
			return fmt.Sprintf("%s%08X%08X", first[:8], next/postgres.SegmentsPerLog, next%postgres.SegmentsPerLog)
		}
		next++
	}
	return ""
}

// missingWAL is what is missing between the two segments, both included; empty where nothing is.
func missingWAL(objects map[string]Object, first, last string) string {
	if gap := gap(objects, first); gap != "" {
		return fmt.Sprintf("WAL segment %s is missing in the archive", gap)
	}
	for name := range objects {
		if at := segmentOf(name); at >= 0 && at >= postgres.SegmentPlace(last) {
			return ""
		}
	}
	return fmt.Sprintf("WAL segment %s, the latest one, is missing in the archive", last)
}

// baseBackup is a base backup that is completed, as Barman notes it in its archive.
type baseBackup struct {
	// id is when it began, so that order by ID is order of time.
	id string
	// begin is the postgres.SegmentPlace of the first segment that it needs.
	begin   int64
	stopped time.Time
}

// barmanTime is how Barman writes times, which are those of Python.
const barmanTime = "2006-01-02 15:04:05.999999-07:00"

// asBaseBackup reads a backup.info; false where it is not of a base backup that is completed.
func asBaseBackup(id, text string) (baseBackup, bool) {
	said := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, is := strings.Cut(strings.TrimSpace(line), "="); is {
			said[name] = value
		}
	}
	stopped, err := time.Parse(barmanTime, said["end_time"])
	begin := postgres.SegmentPlace(said["begin_wal"])
	return baseBackup{id, begin, stopped}, err == nil && begin >= 0 && said["status"] == "DONE"
}

// before says of the names in an archive which no restore to a moment since then needs. The newest base backup that
// was completed by then is needed, and all that came after it began; where there is none, all is.
func before(completed []baseBackup, since time.Time) func(name string) bool {
	var first baseBackup
	for _, backup := range completed {
		if !backup.stopped.After(since) && backup.id > first.id {
			first = backup
		}
	}
	return func(name string) bool {
		if first.id == "" {
			return false
		}
		if id := baseOf(name); id != "" {
			return id < first.id
		}
		at := segmentOf(name) // histories of timelines are none: they are small, and what comes later needs them
		return at >= 0 && at < first.begin
	}
}

// newest is when something was written last.
func newest(objects map[string]Object) time.Time {
	var last time.Time
	for _, object := range objects {
		if object.Modified.After(last) {
			last = object.Modified
		}
	}
	return last
}
