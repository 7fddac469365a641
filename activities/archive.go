package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// buckets makes what backups go to.
type buckets interface {
	// EnsureBucket makes the bucket where it is missing.
	EnsureBucket(ctx context.Context, bucket string) error
	// Reach says why the bucket does not answer; nil where it does.
	Reach(ctx context.Context, bucket string) error
	// Count counts all that is under the prefix, with all versions and unfinished uploads.
	Count(ctx context.Context, bucket, prefix string) (Removed, error)
	// AbortUploads gives up what is being uploaded under the prefix, or was and never ended.
	AbortUploads(ctx context.Context, bucket, prefix string) error
	// RemoveSome removes some of what is under the prefix, of the names that which says, with all versions, and says what
	// that was: nothing where nothing is left, nor the bucket. Names begin after the prefix.
	RemoveSome(ctx context.Context, bucket, prefix string, which func(name string) bool) (Removed, error)
	// Objects returns all that is under the prefix by its name.
	Objects(ctx context.Context, bucket, prefix string) (map[string]Object, error)
	// Prefixes returns the first parts of all names under the prefix that have more than one.
	Prefixes(ctx context.Context, bucket, prefix string) ([]string, error)
	// Read returns a small object.
	Read(ctx context.Context, bucket, name string) ([]byte, error)
}

// goal is the database as the operation makes it, or as it was where the operation takes back.
func (k *Kubernetes) goal(ctx context.Context, in Input) (daap.Database, error) {
	db, err := k.record(ctx, in)
	if err != nil || in.Undo {
		return db, err
	}
	op, err := k.Databases.Operation(ctx, daap.EveryTeam, in.Operation)
	if err != nil {
		return db, fmt.Errorf("read operation %s: %w", in.Operation, err)
	}
	if op.Tier != nil {
		db = db.With(*op.Tier)
	}
	return db, nil
}

// ApplyArchive makes the database's archive be there: the bucket, the keys to it, and the ObjectStore that the Cluster
// is to archive to.
func (k *Kubernetes) ApplyArchive(ctx context.Context, in Input) error {
	db, err := k.goal(ctx, in)
	if err != nil {
		return err
	}
	if k.Buckets == nil {
		return noStore()
	}
	bucket, _ := bucketOf(db.Profile.ObjectStorageDestination)
	if err := k.Buckets.EnsureBucket(ctx, bucket); err != nil {
		return refusedByStore(err)
	}
	if err := k.issue(ctx, db, manifest.ArchiveCredentials, archivePolicy(db)); err != nil {
		return err
	}
	return k.apply(ctx, manifest.ObjectStore(db, k.Platform))
}

// ApplySource lets the database read the archive that it is restored from.
func (k *Kubernetes) ApplySource(ctx context.Context, in Input) error {
	db, err := k.record(ctx, in)
	if err != nil {
		return err
	}
	if err := k.issue(ctx, db, manifest.SourceCredentials, sourcePolicy(*db.Source)); err != nil {
		return err
	}
	return k.apply(ctx, manifest.RestoreStore(db, k.Platform))
}

// RemoveArchive removes all backups of a database whose workloads are gone: nobody writes there any more. It is done
// when nothing is left in the object store. Its keys are good for nothing first, wherever they are.
func (k *Kubernetes) RemoveArchive(ctx context.Context, in Input) error {
	db, err := k.record(ctx, in)
	if err != nil {
		return err
	}
	if k.Buckets == nil {
		return noStore()
	}
	return alive(ctx, func() error { return k.removeArchive(ctx, in, db) })
}

func (k *Kubernetes) removeArchive(ctx context.Context, in Input, db daap.Database) error {
	if err := k.invalidate(ctx, db.ID, manifest.ArchiveCredentials); err != nil {
		return err
	}
	bucket, prefix := bucketOf(db.Destination())
	there, err := k.Buckets.Count(ctx, bucket, prefix+"/")
	if err != nil {
		return refusedByStore(err)
	}
	counted := daap.Receipt{Objects: int64(there.Objects), Bytes: there.Bytes}
	if err := k.Receipts.SaveReceipt(ctx, in.Operation, counted); err != nil {
		return fmt.Errorf("save the receipt: %w", err)
	}
	if err := k.Buckets.AbortUploads(ctx, bucket, prefix+"/"); err != nil {
		return refusedByStore(err)
	}
	removed := 0
	err = k.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		for range removalsAtOnce {
			some, err := k.Buckets.RemoveSome(ctx, bucket, prefix+"/", everything)
			if err != nil {
				return false, "", refusedByStore(err)
			}
			if some.Objects == 0 {
				return true, "", nil
			}
			removed += some.Objects
		}
		return false, fmt.Sprintf("%d of %d objects are removed", removed, there.Objects), nil
	})
	if err != nil {
		return err
	}
	if there, err = k.Buckets.Count(ctx, bucket, prefix+"/"); err != nil {
		return refusedByStore(err)
	}
	if there.Objects > 0 {
		return fmt.Errorf("%d objects reappeared: something still writes to the archive", there.Objects)
	}
	now := time.Now()
	return k.Receipts.SaveReceipt(ctx, in.Operation, daap.Receipt{RelistedAt: &now})
}

// everything chooses all names.
func everything(string) bool { return true }

// refusedByStore is the error of an object store, with its cause.
func refusedByStore(err error) error {
	if lockWords.in(err.Error()) {
		return final(because(daap.CauseObjectLocked, "%s", err.Error()))
	}
	return withCause(err, because(daap.CauseS3Denied, "%s", err.Error()))
}

// removalsAtOnce is after how many removals people are told of them.
const removalsAtOnce = 10

func noStore() error {
	return final(because(daap.CauseS3Denied,
		"The database has backups, but the worker has no object store: DAAP_BACKUP_ENDPOINT is not set"))
}

// RevertArchive removes the archive's objects in Kubernetes, and its keys, from a database that had none before.
func (k *Kubernetes) RevertArchive(ctx context.Context, in Input) error {
	db, err := k.record(ctx, in)
	if err != nil || db.Profile.BackupEnabled {
		return err
	}
	store := manifest.ObjectStore(db, k.Platform)
	if err := k.Client.Delete(ctx, store); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete object store %s: %w", store.GetName(), err)
	}
	return k.revoke(ctx, db.ID, manifest.ArchiveCredentials)
}

// wanted is which base backup is waited for: one whose name begins with the prefix, or any.
type wanted struct {
	prefix string
	any    bool
}

// backUp waits until WAL is archived and a base backup as wanted is completed. It takes one where none is on its way;
// one that fails is followed by another at the next try.
func (k *Kubernetes) backUp(ctx context.Context, in Input, db daap.Database, want wanted) error {
	asked := false
	return k.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		if missing, err := k.notArchiving(ctx, db); missing != "" || err != nil {
			return false, missing, err
		}
		newest, completed, err := k.newestBackup(ctx, db, want)
		if err != nil || completed {
			return completed, "", err
		}
		if newest == nil || backupFailed(newest) && !asked {
			asked = true
			newest = manifest.Backup(db, fmt.Sprintf("%s-%d", want.prefix, time.Now().UnixMilli()))
			if err := k.createBackup(ctx, in, newest); err != nil {
				return false, "", err
			}
		}
		if backupFailed(newest) {
			return false, "", k.backupError(ctx, db, newest)
		}
		return newest.Status.Phase == cnpgv1.BackupPhaseCompleted, "The base backup is " + backupPhase(newest), nil
	})
}

// createBackup makes the base backup, unless the operation is given up: a wait may go on for a while after that, and
// its base backups are removed meanwhile. What removes them may have looked before this one was there, hence the
// second question.
func (k *Kubernetes) createBackup(ctx context.Context, in Input, backup *cnpgv1.Backup) error {
	if err := k.Holds.HoldsDatabase(ctx, in.Operation, in.Undo); err != nil {
		return fmt.Errorf("create backup %s: %w", backup.Name, err)
	}
	if err := k.Client.Create(ctx, backup); err != nil {
		return fmt.Errorf("create backup %s: %w", backup.Name, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	err := k.Holds.HoldsDatabase(ctx, in.Operation, in.Undo)
	if !errors.Is(err, daap.ErrSuperseded) {
		return err
	}
	if gone := k.Client.Delete(ctx, backup); client.IgnoreNotFound(gone) != nil {
		return fmt.Errorf("delete backup %s: %w", backup.Name, gone)
	}
	return fmt.Errorf("create backup %s: %w", backup.Name, err)
}

// notArchiving says why WAL is not archived; empty when it is.
func (k *Kubernetes) notArchiving(ctx context.Context, db daap.Database) (string, error) {
	cluster, err := clusterOf(ctx, k.Watch, db)
	if apierrors.IsNotFound(err) {
		return "Cluster does not exist", nil
	}
	if err != nil {
		return "", err
	}
	told := apimeta.FindStatusCondition(cluster.Status.Conditions, string(cnpgv1.ConditionContinuousArchiving))
	switch {
	case told == nil:
		return "No WAL has been archived yet", nil
	case told.Status != metav1.ConditionTrue:
		return withReason("WAL is not archived", safe(told.Message)), nil
	}
	return "", nil
}

// newestBackup returns the base backup as wanted that was asked for last, nil where there is none, and whether any of
// them is completed.
func (k *Kubernetes) newestBackup(
	ctx context.Context, db daap.Database, want wanted,
) (newest *cnpgv1.Backup, completed bool, err error) {
	backups, err := k.wantedBackups(ctx, db, want)
	if err != nil {
		return nil, false, err
	}
	for i := range backups {
		b := &backups[i]
		completed = completed || b.Status.Phase == cnpgv1.BackupPhaseCompleted
		if newest == nil || newest.CreationTimestamp.Before(&b.CreationTimestamp) {
			newest = b
		}
	}
	return newest, completed, nil
}

// wantedBackups are the base backups of the database's incarnation that Kubernetes itself has and that are as wanted.
func (k *Kubernetes) wantedBackups(ctx context.Context, db daap.Database, want wanted) ([]cnpgv1.Backup, error) {
	var backups cnpgv1.BackupList
	if err := k.Client.List(ctx, &backups, client.InNamespace(daap.Namespace(db.ID))); err != nil {
		return nil, fmt.Errorf("list backups of database %s: %w", db.ID, err)
	}
	return slices.DeleteFunc(backups.Items, func(b cnpgv1.Backup) bool {
		return !ofIncarnation(db, b) || !want.any && !strings.HasPrefix(b.Name, want.prefix+"-")
	}), nil
}

// ofIncarnation says whether the base backup is of the database's present incarnation: those of the ones before are
// still there, where a person asked for them.
func ofIncarnation(db daap.Database, b cnpgv1.Backup) bool {
	return b.Spec.Cluster.Name == manifest.ClusterName(db)
}

func backupFailed(b *cnpgv1.Backup) bool {
	switch b.Status.Phase {
	case cnpgv1.BackupPhaseFailed, cnpgv1.BackupPhaseWalArchivingFailing, cnpgv1.BackupPhaseDefinitionInvalid:
		return true
	}
	return false
}

func backupPhase(b *cnpgv1.Backup) string {
	if b.Status.Phase == "" {
		return string(cnpgv1.BackupPhasePending)
	}
	return string(b.Status.Phase)
}

// backupError is the error of a base backup that failed; the next try takes another one.
func (k *Kubernetes) backupError(ctx context.Context, db daap.Database, b *cnpgv1.Backup) error {
	code := daap.CauseBackupFailed
	if storeWords.in(b.Status.Error) {
		code = daap.CauseS3Denied
	}
	cause := because(code, "Base backup %s is %s: %s", b.Name, backupPhase(b), firstOf(b.Status.Error, "it reported "+
		"no error"))
	if code == daap.CauseBackupFailed && k.Diagnosis != nil { // the plugin may tell an exit status alone
		if found, err := k.Diagnosis.Of(ctx, db); err == nil && found != nil {
			cause = found
		}
	}
	return withCause(fmt.Errorf("base backup %s is %s", b.Name, backupPhase(b)), cause)
}
