package objectstore

import (
	"context"
	"slices"
	"time"

	"github.com/daap-dev/daap"
)

// Pruned describes the objects that were removed from one archive.
type Pruned struct {
	// Backups are Barman's IDs of the removed base backups.
	Backups []string
	Objects int
	Bytes   int64
}

// Retired returns the server names of the database's archives that no Cluster writes to any more.
func (a *Archives) Retired(ctx context.Context, db daap.Database) ([]string, error) {
	bucket, prefix := Locate(db.Destination())
	servers, err := a.Store.Prefixes(ctx, bucket, prefix+"/")
	return slices.DeleteFunc(servers, func(server string) bool { return !db.Retired(server) }), ensured(err)
}

// Prune removes objects from a retired archive that no restore within the retention needs, and calls alive after each
// removal. It returns the removed objects even with an error.
func (a *Archives) Prune(
	ctx context.Context, db daap.Database, server string, alive func(),
) (Pruned, error) {
	var pruned Pruned
	bucket, under := archiveOf(db, server)
	objects, err := a.Store.Objects(ctx, bucket, under)
	if err != nil {
		return pruned, err
	}
	completed, err := a.completed(ctx, bucket, under, objects)
	if err != nil {
		return pruned, err
	}
	since := time.Now().AddDate(0, 0, -db.Profile.BackupRetentionDays)
	gone := before(completed, since)
	if newest(objects).Before(since) {
		instead, err := a.hasBackup(ctx, db, db.ServerName())
		if err != nil {
			return pruned, err
		}
		if instead { // otherwise, this archive has the only backup of the database
			gone = everything
		}
	}
	for {
		removed, err := a.Store.RemoveSome(ctx, bucket, under, gone)
		pruned.Objects, pruned.Bytes = pruned.Objects+removed.Objects, pruned.Bytes+removed.Bytes
		if err != nil {
			return pruned, err
		}
		if removed.Objects == 0 {
			break
		}
		alive()
	}
	for _, backup := range completed {
		if gone("base/" + backup.id + "/") {
			pruned.Backups = append(pruned.Backups, backup.id)
		}
	}
	return pruned, nil
}
