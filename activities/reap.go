package activities

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/objectstore"
)

// Reaper are the activities that find and remove objects without a database.
type Reaper struct {
	Steps   *Steps
	Owners  ownerRows
	Orphans orphanRows
	Expiry  expirer
}

// ownerRows find the database that owns an object.
type ownerRows interface {
	DatabasesByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]daap.Database, error)
	Destinations(ctx context.Context) ([]string, error)
}

// orphanRows are the objects that belong to no database.
type orphanRows interface {
	// SaveOrphans replaces the recorded orphans by those found at that time.
	SaveOrphans(ctx context.Context, at time.Time, found []daap.Orphan) error
	OrphansToRemove(ctx context.Context) ([]daap.Orphan, error)
	// OrphanRemoved records that the orphan is gone, or why its removal failed.
	OrphanRemoved(ctx context.Context, id uuid.UUID, failure string) error
}

// expirer requests the deletion of expired archived databases, and returns their number.
type expirer interface {
	Run(ctx context.Context) (int, error)
}

// ReaperReport counts the checked objects by verdict.
type ReaperReport struct{ Owned, Expected, Orphans int }

// ExpireArchives requests the deletion of archived databases whose retention has ended, and returns their number.
func (r *Reaper) ExpireArchives(ctx context.Context) (int, error) { return r.Expiry.Run(ctx) }

// FindOrphans compares the objects with a database's ID, in Kubernetes and in the object store, with the databases, and
// records those without an owner. It records nothing if a list fails. It does not change the objects.
func (r *Reaper) FindOrphans(ctx context.Context) (ReaperReport, error) {
	var report ReaperReport
	at := time.Now()
	found, err := r.find(ctx)
	if err != nil {
		return report, err
	}
	ids := make([]uuid.UUID, 0, len(found))
	for _, f := range found {
		ids = append(ids, f.DatabaseID)
	}
	// Read the rows after the lists: a database's row exists before its objects.
	dbs, err := r.Owners.DatabasesByID(ctx, ids)
	if err != nil {
		return report, fmt.Errorf("read the owner: %w", err)
	}
	var orphans []daap.Orphan
	for _, f := range found {
		verdict, reason := f.Verdict(rowOf(dbs, f.DatabaseID), at)
		switch verdict {
		case daap.VerdictOwned:
			report.Owned++
		case daap.VerdictExpected:
			report.Expected++
		case daap.VerdictOrphan:
			report.Orphans++
			id, err := uuid.NewV7()
			if err != nil {
				return report, fmt.Errorf("create an orphan ID: %w", err)
			}
			orphans = append(orphans, daap.Orphan{
				ID: id, Kind: f.Kind, Name: f.Name, DatabaseID: f.DatabaseID, Reason: reason,
			})
		}
	}
	if err := r.Orphans.SaveOrphans(ctx, at, orphans); err != nil {
		return report, fmt.Errorf("record orphans: %w", err)
	}
	return report, nil
}

func rowOf(dbs map[uuid.UUID]daap.Database, id uuid.UUID) *daap.Database {
	if db, is := dbs[id]; is {
		return &db
	}
	return nil
}

// find lists all objects with a database's ID.
func (r *Reaper) find(ctx context.Context) ([]daap.Found, error) {
	var all []daap.Found
	for _, list := range []func(context.Context) ([]daap.Found, error){
		r.namespaces, r.secrets, r.volumes, r.archives,
	} {
		found, err := list(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
		activity.RecordHeartbeat(ctx, len(all))
	}
	return all, nil
}

// ofDAAP selects DAAP's objects.
var ofDAAP = client.MatchingLabels{manifest.LabelManagedBy: manifest.FieldOwner}

func (r *Reaper) namespaces(ctx context.Context) ([]daap.Found, error) {
	var list corev1.NamespaceList
	if err := r.Steps.Cluster.Client.List(ctx, &list, ofDAAP); err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	var found []daap.Found
	for _, n := range list.Items {
		if id, is := daap.DatabaseIn(n.Name); is {
			found = append(found, daap.Found{
				Kind: daap.OrphanNamespace, Name: n.Name, DatabaseID: id, CreatedAt: n.CreationTimestamp.Time,
				GoesSince: goesSince(&n),
			})
		}
	}
	return found, nil
}

// goesSince returns when Kubernetes began to delete the object; nil if it has not.
func goesSince(object client.Object) *time.Time {
	if at := object.GetDeletionTimestamp(); at != nil {
		return &at.Time
	}
	return nil
}

// secrets returns the Secrets outside of their database's namespace: the others are deleted with the namespace. A
// worker without the right to list the Secrets of all namespaces, which it does not need, returns none: it has created
// none elsewhere.
func (r *Reaper) secrets(ctx context.Context) ([]daap.Found, error) {
	if may, err := r.Steps.Cluster.May(ctx, "list", "secrets", ""); !may || err != nil {
		return nil, err
	}
	var list corev1.SecretList
	if err := r.Steps.Cluster.Client.List(ctx, &list, ofDAAP); err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	var found []daap.Found
	for _, s := range list.Items {
		id, err := uuid.Parse(s.Labels[manifest.LabelDatabaseID])
		if err != nil || s.Namespace == daap.Namespace(id) {
			continue
		}
		found = append(found, daap.Found{
			Kind: daap.OrphanSecret, Name: s.Namespace + "/" + s.Name, DatabaseID: id, CreatedAt: s.CreationTimestamp.Time,
			GoesSince: goesSince(&s),
		})
	}
	return found, nil
}

func (r *Reaper) volumes(ctx context.Context) ([]daap.Found, error) {
	var list corev1.PersistentVolumeList
	if err := r.Steps.Cluster.Client.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list persistent volumes: %w", err)
	}
	var found []daap.Found
	for _, v := range list.Items {
		if v.Spec.ClaimRef == nil {
			continue
		}
		if id, is := daap.DatabaseIn(v.Spec.ClaimRef.Namespace); is {
			found = append(found, daap.Found{
				Kind: daap.OrphanPersistentVolume, Name: v.Name, DatabaseID: id, CreatedAt: v.CreationTimestamp.Time,
				GoesSince: goesSince(&v), Retained: v.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRetain,
			})
		}
	}
	return found, nil
}

func (r *Reaper) archives(ctx context.Context) ([]daap.Found, error) {
	if r.Steps.Archives.Store == nil {
		return nil, nil
	}
	destinations, err := r.Owners.Destinations(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the backup destinations: %w", err)
	}
	var found []daap.Found
	for _, destination := range destinations {
		bucket, prefix := objectstore.Locate(destination)
		if prefix != "" {
			prefix += "/"
		}
		names, err := r.Steps.Archives.Store.Prefixes(ctx, bucket, prefix)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if id, err := uuid.Parse(name); err == nil {
				found = append(found, daap.Found{
					Kind: daap.OrphanArchive, Name: strings.TrimSuffix(destination, "/") + "/" + name, DatabaseID: id,
				})
			}
		}
	}
	return found, nil
}

// RemoveOrphans removes the orphans whose removal was requested, if they still are orphans, and records the errors of
// the others. An object that Kubernetes takes long to delete is found again until it is gone.
func (r *Reaper) RemoveOrphans(ctx context.Context) error {
	asked, err := r.Orphans.OrphansToRemove(ctx)
	if err != nil || len(asked) == 0 {
		return err
	}
	found, err := r.find(ctx)
	if err != nil {
		return err
	}
	for _, orphan := range asked {
		failure := ""
		if err := r.remove(ctx, orphan, found); err != nil {
			activity.GetLogger(ctx).Warn("An orphan cannot be removed.", "kind", orphan.Kind, "name", orphan.Name, "error", err)
			failure = diagnosis.Safe(err.Error())
		}
		if err := r.Orphans.OrphanRemoved(ctx, orphan.ID, failure); err != nil {
			return fmt.Errorf("record the removal of orphan %s: %w", orphan.ID, err)
		}
		activity.RecordHeartbeat(ctx, orphan.ID.String())
	}
	return nil
}

func (r *Reaper) remove(ctx context.Context, orphan daap.Orphan, found []daap.Found) error {
	for _, f := range found {
		if f.Kind != orphan.Kind || f.Name != orphan.Name {
			continue
		}
		dbs, err := r.Owners.DatabasesByID(ctx, []uuid.UUID{f.DatabaseID})
		if err != nil {
			return fmt.Errorf("read the owner: %w", err)
		}
		if verdict, reason := f.Verdict(rowOf(dbs, f.DatabaseID), time.Now()); verdict != daap.VerdictOrphan {
			return fmt.Errorf("it is no longer an orphan: %s", reason)
		}
		return r.delete(ctx, f)
	}
	return nil // it is gone
}

func (r *Reaper) delete(ctx context.Context, f daap.Found) error {
	if f.Kind == daap.OrphanNamespace || f.Kind == daap.OrphanArchive {
		if err := r.Steps.Keys.Invalidate(ctx, f.DatabaseID, objectstore.Secrets...); err != nil {
			return err
		}
	}
	var object client.Object
	switch f.Kind {
	case daap.OrphanNamespace:
		object = &corev1.Namespace{}
		object.SetName(f.Name)
	case daap.OrphanPersistentVolume:
		object = &corev1.PersistentVolume{}
		object.SetName(f.Name)
	case daap.OrphanSecret:
		object = &corev1.Secret{}
		namespace, name, _ := strings.Cut(f.Name, "/")
		object.SetNamespace(namespace)
		object.SetName(name)
	case daap.OrphanArchive:
		return r.Steps.Archives.Empty(ctx, f.Name, func() { activity.RecordHeartbeat(ctx, f.Name) })
	}
	if err := r.Steps.Cluster.Client.Delete(ctx, object); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete %s %s: %w", f.Kind, f.Name, err)
	}
	return nil
}
