package activities

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/testsuite"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/objectstore"
)

// reapedRows are the existing databases, and the recorded orphans.
type reapedRows struct {
	dbs     map[uuid.UUID]daap.Database
	asked   []daap.Orphan
	orphans []daap.Orphan
	saved   bool
	// became is the result of each requested removal: empty if it succeeded.
	became map[uuid.UUID]string
}

func (r *reapedRows) DatabasesByID(context.Context, []uuid.UUID) (map[uuid.UUID]daap.Database, error) {
	return r.dbs, nil
}

func (r *reapedRows) Destinations(context.Context) ([]string, error) {
	return []string{"s3://backups/shop", "s3://backups"}, nil
}

func (r *reapedRows) SaveOrphans(_ context.Context, _ time.Time, found []daap.Orphan) error {
	r.orphans, r.saved = found, true
	return nil
}

func (r *reapedRows) OrphansToRemove(context.Context) ([]daap.Orphan, error) { return r.asked, nil }

func (r *reapedRows) OrphanRemoved(_ context.Context, id uuid.UUID, failure string) error {
	r.became[id] = failure
	return nil
}

func (r *reapedRows) names() []string {
	var all []string
	for _, o := range r.orphans {
		all = append(all, string(o.Kind)+" "+o.Name)
	}
	slices.Sort(all)
	return all
}

// labelled is the metadata of an object that DAAP created long ago.
func labelled(namespace, name string, id uuid.UUID) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(time.Now().Add(-100 * time.Hour)),
		Labels: map[string]string{manifest.LabelManagedBy: manifest.FieldOwner, manifest.LabelDatabaseID: id.String()},
	}
}

// leftBehind is a world with objects of a database, and of another one that no longer exists.
func leftBehind(t *testing.T) (*Reaper, *reapedRows, *store, uuid.UUID) {
	t.Helper()
	gone := uuid.MustParse("0190a0a0-0000-7000-8000-0000000000ff")
	var objects []client.Object
	for _, id := range []uuid.UUID{orders.ID, gone} {
		namespace := daap.Namespace(id)
		objects = append(objects, &corev1.Namespace{ObjectMeta: labelled("", namespace, id)},
			&corev1.Secret{ObjectMeta: labelled(namespace, "credentials", id)},
			&corev1.PersistentVolume{
				ObjectMeta: labelled("", "pv-"+id.String(), id),
				Spec:       corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: namespace}},
			})
	}
	objects = append(objects, &corev1.Secret{ObjectMeta: labelled("elsewhere", "copied", gone)},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "daap-system"}},
		&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "unbound"}})
	k := stepsWith(t, objects...)
	buckets := &store{}
	buckets.put("backups/shop/"+orders.ID.String()+"/pg-1/wals/1", 1, time.Time{})
	buckets.put("backups/shop/"+gone.String()+"/pg-1/wals/1", 1, time.Time{})
	buckets.put("backups/shop/notes/readme", 1, time.Time{})
	k.Archives.Store = buckets
	rows := &reapedRows{dbs: map[uuid.UUID]daap.Database{orders.ID: orders}, became: map[uuid.UUID]string{}}
	return &Reaper{Steps: k, Owners: rows, Orphans: rows}, rows, buckets, gone
}

func reapWith[T any](t *testing.T, do any) (T, error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(do)
	var result T
	value, err := env.ExecuteActivity(do)
	if err == nil && value.HasValue() {
		err = value.Get(&result)
	}
	return result, err
}

func TestOnlyOrphansAreFound(t *testing.T) {
	t.Parallel()
	r, rows, _, gone := leftBehind(t)
	report, err := reapWith[ReaperReport](t, r.FindOrphans)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"archive s3://backups/shop/" + gone.String(), "namespace daap-" + gone.String(), "persistent_volume pv-" + gone.String(),
		"secret elsewhere/copied",
	}
	if got := rows.names(); !slices.Equal(got, want) {
		t.Errorf("orphans are %v, want %v", got, want)
	}
	if report.Owned != 3 || report.Orphans != 4 || report.Expected != 0 {
		t.Errorf("the report is %+v, want three owned and four orphans", report)
	}
}

func TestWorkerWithoutSecretRightsFindsTheOtherOrphans(t *testing.T) {
	t.Parallel()
	r, rows, _, _ := leftBehind(t)
	intercept(t, r.Steps, rightsFrom(0))
	intercept(t, r.Steps, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
			if _, is := list.(*corev1.SecretList); is {
				return forbiddenTo("list secrets")
			}
			return c.List(ctx, list, o...)
		},
	})
	if _, err := reapWith[ReaperReport](t, r.FindOrphans); err != nil || len(rows.orphans) != 3 {
		t.Errorf("orphans are %v (%v), want all three but the secret", rows.names(), err)
	}
}

func TestFailedListRecordsNoOrphans(t *testing.T) {
	t.Parallel()
	r, rows, buckets, _ := leftBehind(t)
	buckets.err = errors.New("AccessDenied")
	if _, err := reapWith[ReaperReport](t, r.FindOrphans); err == nil || rows.saved {
		t.Errorf("FindOrphans() = %v, and orphans were recorded: %t", err, rows.saved)
	}
}

func TestOnlyRemainingOrphansAreRemoved(t *testing.T) {
	t.Parallel()
	r, rows, buckets, gone := leftBehind(t)
	asked := map[string]daap.Orphan{}
	for name, o := range map[string]daap.Orphan{
		"namespace": {Kind: daap.OrphanNamespace, Name: daap.Namespace(gone)},
		"archive":   {Kind: daap.OrphanArchive, Name: "s3://backups/shop/" + gone.String()},
		"owned":     {Kind: daap.OrphanArchive, Name: "s3://backups/shop/" + orders.ID.String()},
		"gone":      {Kind: daap.OrphanPersistentVolume, Name: "pv-gone"},
	} {
		o.ID = uuid.New()
		asked[name] = o
		rows.asked = append(rows.asked, o)
	}
	issued := &accounts{there: map[string]objectstore.StoreAccount{}}
	for _, id := range []uuid.UUID{gone, orders.ID} {
		issued.there[objectstore.AccessKey(id, manifest.ArchiveCredentials)] = objectstore.StoreAccount{}
	}
	r.Steps.Keys.Issuer = issued
	if _, err := reapWith[struct{}](t, r.RemoveOrphans); err != nil {
		t.Fatal(err)
	}
	if _, left := issued.there[objectstore.AccessKey(orders.ID, manifest.ArchiveCredentials)]; !left || len(issued.there) != 1 {
		t.Errorf("the accounts %v are left, want only the database's", issued.there)
	}
	for name, o := range asked {
		became, looked := rows.became[o.ID]
		if stays := strings.Contains(became, "no longer an orphan"); !looked || stays != (name == "owned") || became != "" && !stays {
			t.Errorf("%s became %q (%t)", name, became, looked)
		}
	}
	if err := r.Steps.Cluster.Client.Get(t.Context(), client.ObjectKey{Name: daap.Namespace(gone)}, &corev1.Namespace{}); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the namespace still exists: %v", err)
	}
	if _, there := buckets.objects["backups/shop/"+orders.ID.String()+"/pg-1/wals/1"]; !there || len(buckets.objects) != 2 {
		t.Errorf("left in the object store: %v, want the database's objects and the unowned ones", buckets.objects)
	}
}
