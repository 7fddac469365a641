package activities

import (
	"context"
	"fmt"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// MarkLast has all archived that was ever committed to the database, into which no client is let any more, and records
// when that was: up to then it can be restored.
func (b *Backups) MarkLast(ctx context.Context, in Input) error {
	pg := b.Postgres
	db, err := pg.Kubernetes.record(ctx, in)
	if err != nil {
		return err
	}
	if err := b.lookAt(ctx, db, newStores(pg.Kubernetes.Buckets)); err != nil {
		return err
	}
	segment, at := "", time.Time{}
	return pg.Kubernetes.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		if segment == "" {
			err := pg.closed(ctx, db, func(ctx context.Context, conn *pgx.Conn) error {
				err := conn.QueryRow(ctx, `SELECT pg_catalog.clock_timestamp()`).Scan(&at)
				if err == nil {
					err = believed(at)
				}
				if err != nil {
					return fmt.Errorf("read the time: %w", err)
				}
				segment, err = mark(ctx, conn)
				return err
			})
			if err != nil {
				return false, err.Error(), nil // why PostgreSQL does not answer is found out meanwhile
			}
		}
		last, err := pg.lastArchived(ctx, db)
		switch {
		case err != nil:
			return false, err.Error(), nil
		case last < segment:
			return false, "Waiting for PostgreSQL to archive segment " + segment, nil
		}
		return true, "", b.Databases.CloseArchive(ctx, db.ID, &at)
	})
}

// lastArchived is what the database's PostgreSQL has archived last; empty where it has archived nothing.
func (p *Postgres) lastArchived(ctx context.Context, db daap.Database) (name string, err error) {
	err = p.beside(ctx, db, func(ctx context.Context, conn *pgx.Conn) error {
		name, _, err = lastArchived(ctx, conn)
		return err
	})
	return name, err
}

// VerifyArchive finds out whether the archive has all that a restore of the database needs: the base backup that the
// operation took, as Barman notes it, and every segment from its first one to the last that PostgreSQL has archived.
// It records what is seen of the archive then.
func (b *Backups) VerifyArchive(ctx context.Context, in Input) error {
	kube := b.Postgres.Kubernetes
	db, err := kube.record(ctx, in)
	if err != nil {
		return err
	}
	last, err := b.Postgres.lastArchived(ctx, db)
	if err != nil {
		return err
	}
	if err := b.Postgres.stillClosed(ctx, db); err != nil {
		return err
	}
	backups, err := kube.wantedBackups(ctx, db, wanted{prefix: in.Operation.String()})
	if err != nil {
		return err
	}
	missing := "The Backup object of the operation no longer exists in Kubernetes; retry to take another base backup"
	for i := range backups {
		if backups[i].Status.Phase != cnpgv1.BackupPhaseCompleted {
			continue
		}
		if missing, err = b.missingInArchive(ctx, db, &backups[i], last); err != nil {
			return err
		}
		if missing == "" {
			return b.lookAt(ctx, db, newStores(kube.Buckets))
		}
	}
	return withCause(fmt.Errorf("the archive is incomplete: %s", missing), because(daap.CauseBackupFailed, "%s", missing))
}

// missingInArchive says what the archive lacks of the base backup and of the WAL from there to the last segment.
func (b *Backups) missingInArchive(
	ctx context.Context, db daap.Database, backup *cnpgv1.Backup, last string,
) (string, error) {
	bucket, prefix := bucketOf(db.Destination())
	under := prefix + "/" + db.ServerName() + "/"
	objects, err := b.Postgres.Kubernetes.Buckets.Objects(ctx, bucket, under)
	if err != nil {
		return "", refusedByStore(err)
	}
	completed, err := b.completed(ctx, bucket, under, objects)
	if err != nil {
		return "", refusedByStore(err)
	}
	id := backup.Status.BackupID
	for _, found := range completed {
		if found.id == id {
			return missingWAL(objects, backup.Status.BeginWal, last), nil
		}
	}
	return fmt.Sprintf("Base backup %s (%s) is not complete in the archive", backup.Name, id), nil
}

// missingWAL is what is missing between the two segments, both included; empty where nothing is.
func missingWAL(objects map[string]Object, first, last string) string {
	if gap := gap(objects, first); gap != "" {
		return fmt.Sprintf("WAL segment %s is missing in the archive", gap)
	}
	for name := range objects {
		if at := segmentOf(name); at >= 0 && at >= place(last) {
			return ""
		}
	}
	return fmt.Sprintf("WAL segment %s, the latest one, is missing in the archive", last)
}

// CloseAgain lets nobody into the database any more, and has archived what was committed while clients were let in.
func (b *Backups) CloseAgain(ctx context.Context, in Input) error {
	db, err := b.Postgres.Kubernetes.record(ctx, in)
	if err != nil {
		return err
	}
	if db.Profile.BackupEnabled {
		return b.MarkLast(ctx, in)
	}
	return b.Postgres.closed(ctx, db, nil)
}

// Reopen records that changes are archived again.
func (b *Backups) Reopen(ctx context.Context, in Input) error {
	if err := b.Databases.CloseArchive(ctx, in.Database, nil); err != nil {
		return fmt.Errorf("open the archive: %w", err)
	}
	return nil
}

// SuspendAgain takes back BackUpAgain.
func (b *Backups) SuspendAgain(ctx context.Context, in Input) error {
	if err := b.Forget(ctx, in); err != nil {
		return err
	}
	return b.Postgres.Kubernetes.SuspendBackups(ctx, in)
}

// BackUpAgain lets base backups begin at the times of the tier again, takes one now, and records that changes are
// archived again.
func (b *Backups) BackUpAgain(ctx context.Context, in Input) error {
	db, err := b.Postgres.Kubernetes.record(ctx, in)
	if err != nil {
		return err
	}
	if err := b.Postgres.Kubernetes.apply(ctx, manifest.ScheduledBackup(db)); err != nil {
		return err
	}
	if err := b.Reopen(ctx, in); err != nil {
		return err
	}
	return b.take(ctx, in, db, wanted{prefix: in.Operation.String()})
}
