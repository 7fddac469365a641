package activities

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/daap-dev/daap"
)

// RetentionReport says what was pruned.
type RetentionReport struct {
	// Databases is how many were looked at, Failed how many of them could not be: the log says why.
	Databases, Failed int
	// Objects and Bytes are all that was removed, versions and markers too.
	Objects int
	Bytes   int64
	// Archives are those that something was removed from, the first reportedArchives of them.
	Archives []PrunedArchive
}

// PrunedArchive is what was removed from one archive.
type PrunedArchive struct {
	Database uuid.UUID
	Server   string
	// Backups are Barman's IDs of the base backups that were removed.
	Backups []string
	Objects int
	Bytes   int64
}

// reportedArchives keeps a report well under what Temporal takes.
const reportedArchives = 500

// ErrorNotPruned is the type of the error that some archives could not be pruned; its details are the report.
const ErrorNotPruned = "NotPruned"

// PruneArchives removes from archives that no Cluster writes to any more what is older than the retention of their
// databases: the plugin prunes the archive of a live Cluster alone. It heartbeats. One that cannot be pruned does not
// keep the others from it. Errors: ErrorNotPruned. Safe to repeat.
func (b *Backups) PruneArchives(ctx context.Context) (RetentionReport, error) {
	var report RetentionReport
	if b.Postgres.Kubernetes.Buckets == nil {
		return report, nil
	}
	after := uuid.Nil
	for {
		dbs, err := b.Databases.DatabasesWithArchives(ctx, after, lookPage)
		if err != nil {
			return report, fmt.Errorf("read databases with archives: %w", err)
		}
		for _, db := range dbs {
			activity.RecordHeartbeat(ctx, db.ID.String())
			report.Databases++
			if err := b.pruneArchivesOf(ctx, db, &report); err != nil {
				report.Failed++
				activity.GetLogger(ctx).Error("The retired archives of a database cannot be pruned.",
					"database_id", db.ID.String(), "error", err)
			}
		}
		if len(dbs) < lookPage {
			break
		}
		after = dbs[len(dbs)-1].ID
	}
	if report.Failed > 0 {
		return report, temporal.NewApplicationError(
			fmt.Sprintf("%d of %d databases could not be checked or pruned", report.Failed, report.Databases),
			ErrorNotPruned, report)
	}
	return report, nil
}

func (b *Backups) pruneArchivesOf(ctx context.Context, db daap.Database, report *RetentionReport) error {
	bucket, prefix := bucketOf(db.Destination())
	servers, err := b.Postgres.Kubernetes.Buckets.Prefixes(ctx, bucket, prefix+"/")
	if err != nil {
		return err
	}
	for _, server := range servers {
		if !db.Retired(server) {
			continue
		}
		pruned, err := b.prune(ctx, db, server)
		if err != nil {
			return fmt.Errorf("prune archive %s: %w", server, err)
		}
		if pruned.Objects == 0 {
			continue
		}
		report.Objects += pruned.Objects
		report.Bytes += pruned.Bytes
		if len(report.Archives) < reportedArchives {
			report.Archives = append(report.Archives, pruned)
		}
		activity.GetLogger(ctx).Info("A retired archive is pruned.", "database_id", db.ID.String(), "server", server,
			"backups", pruned.Backups, "objects", pruned.Objects, "bytes", pruned.Bytes)
	}
	return nil
}

// prune removes what no restore needs from one archive that nothing is written to any more.
func (b *Backups) prune(ctx context.Context, db daap.Database, server string) (PrunedArchive, error) {
	pruned := PrunedArchive{Database: db.ID, Server: server}
	buckets := b.Postgres.Kubernetes.Buckets
	bucket, prefix := bucketOf(db.Destination())
	under := prefix + "/" + server + "/"
	objects, err := buckets.Objects(ctx, bucket, under)
	if err != nil {
		return pruned, err
	}
	completed, err := b.completed(ctx, bucket, under, objects)
	if err != nil {
		return pruned, err
	}
	since := time.Now().AddDate(0, 0, -db.Profile.BackupRetentionDays)
	gone := before(completed, since)
	if newest(objects).Before(since) {
		instead, err := b.hasBackup(ctx, db, db.ServerName())
		if err != nil {
			return pruned, err
		}
		if instead { // else its last base backup is the last there is of the database
			gone = everything
		}
	}
	for {
		removed, err := buckets.RemoveSome(ctx, bucket, under, gone)
		pruned.Objects, pruned.Bytes = pruned.Objects+removed.Objects, pruned.Bytes+removed.Bytes
		if err != nil {
			return pruned, err
		}
		if removed.Objects == 0 {
			break
		}
		activity.RecordHeartbeat(ctx, db.ID.String())
	}
	for _, backup := range completed {
		if gone("base/" + backup.id + "/") {
			pruned.Backups = append(pruned.Backups, backup.id)
		}
	}
	if len(pruned.Backups) == 0 {
		return pruned, nil
	}
	return pruned, b.Databases.ForgetBackups(ctx, db.ID, server, pruned.Backups)
}

// hasBackup says whether the archive of the database of that server name has a base backup that is completed.
func (b *Backups) hasBackup(ctx context.Context, db daap.Database, server string) (bool, error) {
	bucket, prefix := bucketOf(db.Destination())
	under := prefix + "/" + server + "/"
	objects, err := b.Postgres.Kubernetes.Buckets.Objects(ctx, bucket, under+"base/")
	if err != nil {
		return false, err
	}
	base := map[string]Object{}
	for name, object := range objects {
		base["base/"+name] = object
	}
	completed, err := b.completed(ctx, bucket, under, base)
	return len(completed) > 0, err
}

// completed reads what Barman notes of the base backups of an archive, and returns those that are completed.
func (b *Backups) completed(
	ctx context.Context, bucket, under string, objects map[string]Object,
) ([]baseBackup, error) {
	var all []baseBackup
	for name := range objects {
		parts := strings.Split(name, "/")
		if len(parts) != 3 || parts[0] != "base" || parts[2] != "backup.info" {
			continue
		}
		text, err := b.Postgres.Kubernetes.Buckets.Read(ctx, bucket, under+name)
		if err != nil {
			return nil, err
		}
		if backup, is := asBaseBackup(parts[1], string(text)); is {
			all = append(all, backup)
		}
	}
	return all, nil
}

// baseBackup is a base backup that is completed, as Barman notes it in its archive.
type baseBackup struct {
	// id is when it began, so that order by ID is order of time.
	id string
	// begin is the place of the first segment that it needs.
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
	begin := place(said["begin_wal"])
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
