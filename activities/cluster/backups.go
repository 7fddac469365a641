package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/manifest"
)

// BackupFilter selects base backups: those whose name begins with the prefix, or any.
type BackupFilter struct {
	Prefix string
	Any    bool
}

// Backups returns the selected base backups of the database's incarnation, read from the API server.
func (k *Kubernetes) Backups(ctx context.Context, db daap.Database, want BackupFilter) ([]cnpgv1.Backup, error) {
	var backups cnpgv1.BackupList
	if err := k.Client.List(ctx, &backups, client.InNamespace(daap.Namespace(db.ID))); err != nil {
		return nil, fmt.Errorf("list backups of database %s: %w", db.ID, err)
	}
	return slices.DeleteFunc(backups.Items, func(b cnpgv1.Backup) bool {
		return !OfIncarnation(db, b) || !want.Any && !strings.HasPrefix(b.Name, want.Prefix+"-")
	}), nil
}

// NewestBackup returns the selected base backup that was created last, or nil, and whether any selected one is
// completed.
func (k *Kubernetes) NewestBackup(
	ctx context.Context, db daap.Database, want BackupFilter,
) (newest *cnpgv1.Backup, completed bool, err error) {
	backups, err := k.Backups(ctx, db, want)
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

// NotArchiving returns why WAL is not archived; empty if it is.
func (k *Kubernetes) NotArchiving(ctx context.Context, db daap.Database) (string, error) {
	cluster, err := Get(ctx, k.Watch, db)
	if apierrors.IsNotFound(err) {
		return "Cluster does not exist", nil
	}
	if err != nil {
		return "", err
	}
	condition := apimeta.FindStatusCondition(cluster.Status.Conditions, string(cnpgv1.ConditionContinuousArchiving))
	switch {
	case condition == nil:
		return "No WAL has been archived yet", nil
	case condition.Status != metav1.ConditionTrue:
		return diagnosis.WithReason("WAL is not archived", diagnosis.Safe(condition.Message)), nil
	}
	return "", nil
}

// OfIncarnation reports whether the base backup belongs to the database's current incarnation: backups that people
// requested of earlier incarnations may still exist.
func OfIncarnation(db daap.Database, b cnpgv1.Backup) bool {
	return b.Spec.Cluster.Name == manifest.ClusterName(db)
}

// BackupFailed reports whether the base backup has failed, or cannot succeed.
func BackupFailed(b *cnpgv1.Backup) bool {
	switch b.Status.Phase {
	case cnpgv1.BackupPhaseFailed, cnpgv1.BackupPhaseWalArchivingFailing, cnpgv1.BackupPhaseDefinitionInvalid:
		return true
	}
	return false
}

// BackupPhase returns the phase of the base backup; pending if CloudNativePG has not set one.
func BackupPhase(b *cnpgv1.Backup) string {
	if b.Status.Phase == "" {
		return string(cnpgv1.BackupPhasePending)
	}
	return string(b.Status.Phase)
}

// ObservedBackups returns the base backups of the database's incarnation from the watch, the oldest first.
func (k *Kubernetes) ObservedBackups(ctx context.Context, db daap.Database) ([]cnpgv1.Backup, error) {
	var found cnpgv1.BackupList
	if err := k.Watch.List(ctx, &found, client.InNamespace(daap.Namespace(db.ID))); err != nil {
		return nil, fmt.Errorf("list backups of database %s: %w", db.ID, err)
	}
	all := slices.DeleteFunc(found.Items, func(b cnpgv1.Backup) bool { return !OfIncarnation(db, b) })
	slices.SortFunc(all, func(a, b cnpgv1.Backup) int {
		return cmp.Compare(a.CreationTimestamp.UnixNano(), b.CreationTimestamp.UnixNano())
	})
	return all, nil
}

// RecoveryWindow returns the times of the recovery window that the plugin reports, by their field names.
func (k *Kubernetes) RecoveryWindow(ctx context.Context, db daap.Database) (map[string]*time.Time, error) {
	store := &unstructured.Unstructured{}
	store.SetAPIVersion(manifest.ObjectStoreVersion)
	store.SetKind("ObjectStore")
	key := client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: manifest.ArchiveStore}
	if err := k.Client.Get(ctx, key, store); err != nil {
		return nil, fmt.Errorf("get object store of database %s: %w", db.ID, err)
	}
	reported, _, _ := unstructured.NestedStringMap(store.Object, "status", "serverRecoveryWindow", db.ServerName())
	window := map[string]*time.Time{}
	for name, text := range reported {
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			window[name] = &at
		}
	}
	return window, nil
}

// AsBackup converts the base backup to DAAP's record.
func AsBackup(db daap.Database, b *cnpgv1.Backup) daap.Backup {
	status := map[cnpgv1.BackupPhase]daap.BackupStatus{
		cnpgv1.BackupPhaseStarted: daap.BackupRunning, cnpgv1.BackupPhaseRunning: daap.BackupRunning,
		cnpgv1.BackupPhaseFinalizing: daap.BackupRunning, cnpgv1.BackupPhaseCompleted: daap.BackupCompleted,
	}[b.Status.Phase]
	if BackupFailed(b) {
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
		made.Error = diagnosis.Safe(diagnosis.FirstOf(b.Status.Error, BackupPhase(b)))
	}
	return made
}

// idOf returns a UUIDv7 with the time of the backup. It is the same each time the backup is observed.
func idOf(b *cnpgv1.Backup) uuid.UUID {
	id := uuid.NewSHA1(uuid.Nil, []byte(b.UID))
	milliseconds := b.CreationTimestamp.UnixMilli()
	for i := range 6 {
		id[i] = byte(milliseconds >> (8 * (5 - i))) //nolint:gosec // each byte in turn
	}
	id[6] = id[6]&0x0f | 0x70
	return id
}
