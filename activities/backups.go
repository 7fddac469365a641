package activities

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// backedUp are the databases that are backed up, and what is seen of that.
type backedUp interface {
	// BackedUpDatabases returns at most limit of them, in order of ID from after on.
	BackedUpDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error)
	// DatabasesWithArchives returns at most limit of those whose archives may be pruned, in order of ID from after on.
	DatabasesWithArchives(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error)
	// SaveBackups records what was seen; what was seen later stays.
	SaveBackups(ctx context.Context, db daap.Database, state daap.BackupState, backups []daap.Backup) error
	// CloseArchive records when the last change was committed; nil where changes are taken again.
	CloseArchive(ctx context.Context, database uuid.UUID, at *time.Time) error
	// ForgetBackups removes base backups by Barman's IDs.
	ForgetBackups(ctx context.Context, database uuid.UUID, server string, backupIDs []string) error
}

// Backups are the activities that look at backups.
type Backups struct {
	Postgres  *Postgres
	Databases backedUp

	// archives are what was found in archives when they were last listed, by database: that is done seldom.
	archives sync.Map
}

// BackUp has base backups of the database taken at the times of its tier, waits until WAL is archived and one is
// completed, and records what is seen of that. A database that was restored has no need of its source then.
func (b *Backups) BackUp(ctx context.Context, in Input) error {
	db, err := b.Postgres.Kubernetes.goal(ctx, in)
	if err != nil {
		return err
	}
	if err := b.Postgres.Kubernetes.apply(ctx, manifest.ScheduledBackup(db)); err != nil {
		return err
	}
	if err := b.take(ctx, in, db, wanted{prefix: "first", any: true}); err != nil {
		return err
	}
	return b.Postgres.Kubernetes.leaveSource(ctx, db)
}

// BackUpNow takes a base backup beside all others, and records what is seen of it.
func (b *Backups) BackUpNow(ctx context.Context, in Input) error {
	db, err := b.Postgres.Kubernetes.record(ctx, in)
	if err != nil {
		return err
	}
	return b.take(ctx, in, db, wanted{prefix: in.Operation.String()})
}

// Forget removes the operation's base backups from Kubernetes. What they have in the archive goes with its retention.
func (b *Backups) Forget(ctx context.Context, in Input) error {
	kube := b.Postgres.Kubernetes
	db, err := kube.record(ctx, in)
	if err != nil {
		return err
	}
	found, err := kube.wantedBackups(ctx, db, wanted{prefix: in.Operation.String()})
	if err != nil {
		return err
	}
	for i := range found {
		if err := kube.Client.Delete(ctx, &found[i]); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete backup %s: %w", found[i].Name, err)
		}
	}
	return nil
}

func (b *Backups) take(ctx context.Context, in Input, db daap.Database, want wanted) error {
	if err := b.Postgres.Kubernetes.backUp(ctx, in, db, want); err != nil {
		return err
	}
	// It is looked at again within a minute.
	b.tryLookAt(ctx, db, newStores(b.Postgres.Kubernetes.Buckets))
	return nil
}

// How databases are looked at.
const (
	// lookPage is how many are read from the rows at once, lookAtOnce how many are looked at at once.
	lookPage, lookAtOnce = 100, 8
)

// Look looks at the backups of every database that has them, and records what it sees. It heartbeats. One that cannot
// be looked at is logged and left as it was, so that its row grows stale; the others are looked at all the same.
func (b *Backups) Look(ctx context.Context) error {
	defer b.forgetArchives()
	stores := newStores(b.Postgres.Kubernetes.Buckets)
	return lookAtEach(ctx, b.Databases.BackedUpDatabases, func(ctx context.Context, db daap.Database) {
		b.tryLookAt(ctx, db, stores)
	})
}

// lookAtEach looks at every database of the pages, several at once, and heartbeats.
func lookAtEach(
	ctx context.Context, page func(context.Context, uuid.UUID, int) ([]daap.Database, error),
	look func(context.Context, daap.Database),
) error {
	after := uuid.Nil
	for {
		dbs, err := page(ctx, after, lookPage)
		if err != nil {
			return fmt.Errorf("read the databases to check: %w", err)
		}
		var group errgroup.Group
		group.SetLimit(lookAtOnce)
		for _, db := range dbs {
			group.Go(func() error {
				look(ctx, db)
				activity.RecordHeartbeat(ctx, db.ID.String())
				return nil
			})
		}
		_ = group.Wait() // none of them fails
		if len(dbs) < lookPage || ctx.Err() != nil {
			return ctx.Err()
		}
		after = dbs[len(dbs)-1].ID
	}
}

// tryLookAt is lookAt that logs its error.
func (b *Backups) tryLookAt(ctx context.Context, db daap.Database, stores *stores) {
	if err := b.lookAt(ctx, db, stores); err != nil {
		activity.GetLogger(ctx).Warn("The backups of a database cannot be checked.",
			"database_id", db.ID.String(), "error", err)
	}
}

func (b *Backups) lookAt(ctx context.Context, db daap.Database, stores *stores) error {
	state := daap.BackupState{ObservedAt: time.Now()}
	kube := b.Postgres.Kubernetes
	cluster, err := clusterOf(ctx, kube.Watch, db)
	if err != nil {
		return err
	}
	if cluster.DeletionTimestamp != nil { // its Backups go with it, and their base backups stay in the archive
		return fmt.Errorf("cluster of database %s is being deleted", db.ID)
	}
	told := apimeta.FindStatusCondition(cluster.Status.Conditions, string(cnpgv1.ConditionContinuousArchiving))
	if told != nil {
		state.Archiving, state.ArchivingMessage = told.Status == metav1.ConditionTrue, safe(told.Message)
	}
	away := stores.away(ctx, db)
	if away != nil && state.Archiving { // what archives may hang for minutes until it says so
		state.Archiving, state.ArchivingMessage = false, safe(away.Error())
	}
	if away == nil && !state.Archiving && kube.Diagnosis != nil {
		if cause, err := kube.Diagnosis.Of(ctx, db); err == nil && cause != nil { // CNPG tells an exit status alone
			state.ArchivingMessage = cause.Message
		}
	}
	window, err := b.window(ctx, db)
	if err != nil {
		return err
	}
	state.FirstRecoverableAt, state.LastSuccessAt = window["firstRecoverabilityPoint"], window["lastSuccessfulBackupTime"]
	state.LastFailureAt = window["lastFailedBackupTime"]
	backups, err := b.backups(ctx, db, &state)
	if err != nil {
		return err
	}
	if err := b.inspect(ctx, db, &state, backups, away == nil); err != nil {
		activity.GetLogger(ctx).Info("An archive cannot be listed.", "database_id", db.ID.String(), "error", err)
	}
	if err := b.archived(ctx, db, &state); err != nil {
		// A database that does not answer is another condition; what is archived is known without it.
		activity.GetLogger(ctx).Info("A database does not report its archiving status.",
			"database_id", db.ID.String(), "error", err)
	}
	return b.Databases.SaveBackups(ctx, db, state, backups)
}

// window is what the plugin tells of what can be restored.
func (b *Backups) window(ctx context.Context, db daap.Database) (map[string]*time.Time, error) {
	store := &unstructured.Unstructured{}
	store.SetAPIVersion(manifest.ObjectStoreVersion)
	store.SetKind("ObjectStore")
	key := client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: manifest.ArchiveStore}
	if err := b.Postgres.Kubernetes.Client.Get(ctx, key, store); err != nil {
		return nil, fmt.Errorf("get object store of database %s: %w", db.ID, err)
	}
	told, _, _ := unstructured.NestedStringMap(store.Object, "status", "serverRecoveryWindow", db.ServerName())
	window := map[string]*time.Time{}
	for name, text := range told {
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			window[name] = &at
		}
	}
	return window, nil
}

// backups are the database's base backups in Kubernetes. What begins, fails and succeeds last is noted in the state.
func (b *Backups) backups(ctx context.Context, db daap.Database, state *daap.BackupState) ([]daap.Backup, error) {
	var found cnpgv1.BackupList
	if err := b.Postgres.Kubernetes.Watch.List(ctx, &found, client.InNamespace(daap.Namespace(db.ID))); err != nil {
		return nil, fmt.Errorf("list backups of database %s: %w", db.ID, err)
	}
	found.Items = slices.DeleteFunc(found.Items, func(b cnpgv1.Backup) bool { return !ofIncarnation(db, b) })
	slices.SortFunc(found.Items, func(a, b cnpgv1.Backup) int {
		return cmp.Compare(a.CreationTimestamp.UnixNano(), b.CreationTimestamp.UnixNano())
	})
	var all []daap.Backup
	for i := range found.Items {
		backup := asBackup(db, &found.Items[i])
		state.LastBegunAt = &found.Items[i].CreationTimestamp.Time // they are in order of it
		switch backup.Status {
		case daap.BackupFailed:
			at := cmp.Or(backup.StoppedAt, &found.Items[i].CreationTimestamp.Time)
			state.LastFailureAt, state.LastFailureMessage = at, backup.Error
		case daap.BackupCompleted:
			if state.LastSuccessAt == nil || backup.StoppedAt.After(*state.LastSuccessAt) {
				state.LastSuccessAt = backup.StoppedAt
			}
			// The plugin tells each five minutes, and after some of the base backups.
			if state.FirstRecoverableAt == nil {
				state.FirstRecoverableAt = backup.StoppedAt
			}
		case daap.BackupPending, daap.BackupRunning:
		}
		all = append(all, backup)
	}
	return all, nil
}

func asBackup(db daap.Database, b *cnpgv1.Backup) daap.Backup {
	status := map[cnpgv1.BackupPhase]daap.BackupStatus{
		cnpgv1.BackupPhaseStarted: daap.BackupRunning, cnpgv1.BackupPhaseRunning: daap.BackupRunning,
		cnpgv1.BackupPhaseFinalizing: daap.BackupRunning, cnpgv1.BackupPhaseCompleted: daap.BackupCompleted,
	}[b.Status.Phase]
	if backupFailed(b) {
		status = daap.BackupFailed
	}
	made := daap.Backup{
		ID: idOf(b), DatabaseID: db.ID, Name: b.Name, ServerName: db.ServerName(), BackupID: b.Status.BackupID,
		Status: cmp.Or(status, daap.BackupPending), BeginWAL: b.Status.BeginWal, EndWAL: b.Status.EndWal,
	}
	if b.Status.StartedAt != nil {
		made.StartedAt = &b.Status.StartedAt.Time
	}
	if b.Status.StoppedAt != nil {
		made.StoppedAt = &b.Status.StoppedAt.Time
	}
	if made.Status == daap.BackupFailed {
		made.Error = safe(firstOf(b.Status.Error, backupPhase(b)))
	}
	return made
}

// idOf is a UUIDv7 of the time of the backup, and the same whenever it is seen.
func idOf(b *cnpgv1.Backup) uuid.UUID {
	id := uuid.NewSHA1(uuid.Nil, []byte(b.UID))
	milliseconds := b.CreationTimestamp.UnixMilli()
	for i := range 6 {
		id[i] = byte(milliseconds >> (8 * (5 - i))) //nolint:gosec // each byte in turn
	}
	id[6] = id[6]&0x0f | 0x70
	return id
}

// idleBytes is what PostgreSQL writes into a new segment when nobody changes anything: a header, a checkpoint, and that
// nothing runs; 96 to 272 bytes were seen. As much of what somebody wrote is not counted either, until the segment is
// closed, which is within archive_timeout.
const idleBytes = 512

// archived notes what PostgreSQL itself says that it has archived, and what it has written since.
func (b *Backups) archived(ctx context.Context, db daap.Database, state *daap.BackupState) error {
	return b.Postgres.beside(ctx, db, func(ctx context.Context, conn *pgx.Conn) error {
		last, at, err := lastArchived(ctx, conn)
		if err != nil || place(last) < 0 { // it has archived nothing yet
			return err
		}
		all, err := written(ctx, conn)
		if err != nil {
			return err
		}
		state.LastArchivedAt, state.UnarchivedBytes = at, unarchived(last, all)
		return nil
	})
}

// written is how much was ever written to the log, in bytes.
func written(ctx context.Context, conn *pgx.Conn) (n int64, err error) {
	err = conn.QueryRow(ctx, `
		SELECT pg_catalog.int8(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0'::pg_catalog.pg_lsn))`,
	).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("read the WAL position: %w", err)
	}
	return n, nil
}

// unarchived is how much is written after the segment, where that much is written in all.
func unarchived(segment string, written int64) int64 {
	since := written - (place(segment)+1)*segmentBytes
	if since <= idleBytes {
		return 0
	}
	return since
}
