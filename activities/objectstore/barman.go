package objectstore

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daap-dev/daap/activities/postgres"
)

// baseBackups returns the sizes of all base backups in an archive, by ID.
func baseBackups(objects map[string]Object) map[string]int64 {
	sizes := map[string]int64{}
	for name, object := range objects {
		if id := baseOf(name); id != "" {
			sizes[id] += object.Size
		}
	}
	return sizes
}

// baseOf returns the ID of the base backup that contains an object of an archive, base/<id>/<file>; empty if there is
// none.
func baseOf(name string) string {
	parts := strings.Split(name, "/")
	if len(parts) < 3 || parts[0] != "base" {
		return ""
	}
	return parts[1]
}

// segmentOf returns the postgres.SegmentPlace of an object of an archive, wals/<log>/<segment>; -1 if the object is not
// a segment.
func segmentOf(name string) int64 {
	parts := strings.Split(name, "/")
	if len(parts) != 3 || parts[0] != "wals" {
		return -1
	}
	return postgres.SegmentPlace(parts[2])
}

// gap returns the first missing segment between the first one that the oldest base backup needs and the last one in the
// archive; empty if none is missing. A timeline continues where the previous one ended.
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

// missingWAL describes the first missing segment between the two segments, inclusive; empty if none is missing.
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

// baseBackup is a completed base backup in Barman's catalog.
type baseBackup struct {
	// id is the start time, so that IDs sort by time.
	id string
	// begin is the postgres.SegmentPlace of the first segment that it needs.
	begin   int64
	stopped time.Time
}

// barmanTime is Barman's time format, which is Python's.
const barmanTime = "2006-01-02 15:04:05.999999-07:00"

// asBaseBackup parses a backup.info; false if its base backup is not completed.
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

// before returns a predicate for the names in an archive that no restore to a time since then needs. Such a restore
// needs the newest base backup that was completed by then, and everything after its start; if there is none, it needs
// everything.
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
		at := segmentOf(name) // never a timeline's history: it is small, and later timelines need it
		return at >= 0 && at < first.begin
	}
}

// newest returns the time of the last change.
func newest(objects map[string]Object) time.Time {
	var last time.Time
	for _, object := range objects {
		if object.Modified.After(last) {
			last = object.Modified
		}
	}
	return last
}
