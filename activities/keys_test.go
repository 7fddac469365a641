package activities

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/objectstore"
)

// accounts are the accounts of an object store, by access key; it may fail.
type accounts struct {
	err   error
	there map[string]objectstore.StoreAccount
	// asked is the number of calls.
	asked int
}

func (a *accounts) Issue(_ context.Context, account objectstore.StoreAccount) error {
	a.asked++
	if a.err == nil {
		a.there[account.AccessKey] = account
	}
	return a.err
}

func (a *accounts) Revoke(_ context.Context, accessKey string) error {
	a.asked++
	if a.err == nil {
		delete(a.there, accessKey)
	}
	return a.err
}

// keyedWith gives databases accounts of their own; orders has the tier keptTier and is restored from another database.
func keyedWith(t *testing.T, objects ...client.Object) (*Steps, *accounts) {
	t.Helper()
	k, issued := stepsWith(t, objects...), &accounts{there: map[string]objectstore.StoreAccount{}}
	k.Rows, k.Archives.Store, k.Keys.Issuer = rowsOf{restoredOrders{}, &holding{}}, &store{}, issued
	k.Platform.Archive = manifest.Archive{Endpoint: "https://s3.example.com"}
	return k, issued
}

var sourceOfOrders = daap.Source{
	DatabaseID: uuid.MustParse("0190a0a0-0000-7000-8000-000000000001"), ServerName: "pg-2",
	Destination: "s3://backups/shop/0190a0a0-0000-7000-8000-000000000001",
}

// restoredOrders is the record of orders, which has backups and was restored.
type restoredOrders struct{ oneDatabase }

func (restoredOrders) Database(context.Context, daap.Scope, uuid.UUID) (daap.Database, error) {
	db := orders.With(*keptTier())
	db.Source = &sourceOfOrders
	return db, nil
}

// keysIn returns the keys in the Secret of orders; ok is false if it does not exist.
func keysIn(t *testing.T, k *Steps, secret string) (accessKey, secretKey string, ok bool) {
	t.Helper()
	var found corev1.Secret
	err := k.Cluster.Client.Get(t.Context(), client.ObjectKey{Namespace: daap.Namespace(orders.ID), Name: secret}, &found)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	accessKey, secretKey = manifest.StoreKeys(&found)
	return accessKey, secretKey, err == nil
}

func TestEachSecretHasAnAccountOfItsOwnAndKeepsItsKeys(t *testing.T) {
	t.Parallel()
	k, issued := keyedWith(t)
	var first map[string]objectstore.StoreAccount
	for range 2 {
		if err := errors.Join(run(t, k.ApplySource), run(t, k.ApplyArchive)); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = maps.Clone(issued.there)
		}
	}
	db, err := k.Rows.Database(t.Context(), daap.EveryTeam, orders.ID)
	if err != nil {
		t.Fatal(err)
	}
	for secret, policy := range map[string][]byte{
		manifest.ArchiveCredentials: objectstore.ArchivePolicy(db), manifest.SourceCredentials: objectstore.SourcePolicy(sourceOfOrders),
	} {
		accessKey, secretKey, _ := keysIn(t, k, secret)
		account := issued.there[accessKey]
		if len(accessKey) != 20 || len(secretKey) < 20 || len(secretKey) > 40 {
			t.Errorf("%s has keys of %d and %d characters, which MinIO rejects", secret, len(accessKey), len(secretKey))
		}
		if account.SecretKey != secretKey || string(account.Policy) != string(policy) {
			t.Errorf("the account %s of %s has another key, or policy %s", accessKey, secret, account.Policy)
		}
		if first[accessKey].SecretKey != secretKey {
			t.Errorf("the key in %s changed", secret)
		}
	}
	if len(issued.there) != 2 {
		t.Errorf("there are %d accounts, want one for each Secret", len(issued.there))
	}
}

func TestForeignKeysAreReplaced(t *testing.T) {
	t.Parallel()
	own := objectstore.AccessKey(orders.ID, manifest.ArchiveCredentials)
	for name, had := range map[string][2]string{"the platform's": {"root", "of-the-platform"}, "incomplete": {own, ""}} {
		k, issued := keyedWith(t, manifest.StoreSecret(orders, manifest.ArchiveCredentials, had[0], had[1]))
		if err := run(t, k.ApplyArchive); err != nil {
			t.Fatal(err)
		}
		accessKey, secretKey, _ := keysIn(t, k, manifest.ArchiveCredentials)
		if accessKey != own || secretKey == had[1] || issued.there[own].SecretKey != secretKey {
			t.Errorf("%s: the keys are of account %s afterwards", name, accessKey)
		}
	}
}

func TestAccountIsRetriedWithTheSameKey(t *testing.T) {
	t.Parallel()
	k, issued := keyedWith(t)
	issued.err = errors.New("Access Denied")
	if cause := Cause(run(t, k.ApplyArchive), "Create"); cause.Code != daap.CauseS3Denied {
		t.Errorf("the cause is %+v, want that the store denied access", cause)
	}
	_, before, _ := keysIn(t, k, manifest.ArchiveCredentials)
	issued.err = nil
	if err := run(t, k.ApplyArchive); err != nil {
		t.Fatal(err)
	}
	if accessKey, after, _ := keysIn(t, k, manifest.ArchiveCredentials); before == "" || after != before || issued.there[accessKey].SecretKey != after {
		t.Errorf("the key changed between two attempts: %t", after != before)
	}
}

func TestSharedKeysAreThePlatforms(t *testing.T) {
	t.Parallel()
	k, _ := keyedWith(t)
	k.Keys.Issuer, k.Keys.Shared = nil, manifest.Archive{AccessKey: "a", SecretKey: "s"}
	if err := errors.Join(run(t, k.ApplySource), run(t, k.ApplyArchive)); err != nil {
		t.Fatal(err)
	}
	for _, secret := range objectstore.Secrets {
		if accessKey, secretKey, _ := keysIn(t, k, secret); accessKey != "a" || secretKey != "s" {
			t.Errorf("%s has the keys of %s, want the platform's", secret, accessKey)
		}
	}
}

func TestSourceKeysAreRevokedAfterTheFirstBackup(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]daap.CauseCode{"a base backup is completed": "", "the base backup fails": daap.CauseBackupFailed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, issued := keyedWith(t, archivingCluster(metav1.ConditionTrue, ""))
			k.Cluster.Watch.Reader = k.Cluster.Client
			if err := errors.Join(run(t, k.ApplySource), run(t, k.ApplyArchive)); err != nil {
				t.Fatal(err)
			}
			fake, is := k.Cluster.Client.(client.WithWatch)
			if !is {
				t.Fatal("the fake cannot watch")
			}
			k.Cluster.Client = &takes{WithWatch: fake, fails: fails}
			k.Backups = &seen{}
			left := fails == ""
			if err := run(t, k.EnableBackups); (err == nil) != left {
				t.Fatalf("EnableBackups() = %v", err)
			}
			_, _, there := keysIn(t, k, manifest.SourceCredentials)
			_, account := issued.there[objectstore.AccessKey(orders.ID, manifest.SourceCredentials)]
			if there == left || account == left {
				t.Errorf("the Secret exists: %t, the account: %t; want the source's keys revoked: %t", there, account, left)
			}
			if _, _, there := keysIn(t, k, manifest.ArchiveCredentials); !there || len(issued.there) == 0 {
				t.Error("the database's own keys are gone")
			}
		})
	}
}

func TestDeletingTheNamespaceInvalidatesKeys(t *testing.T) {
	t.Parallel()
	k, issued := keyedWith(t, manifest.Namespace(orders))
	if err := errors.Join(run(t, k.ApplySource), run(t, k.ApplyArchive), run(t, k.DeleteNamespace)); err != nil {
		t.Fatal(err)
	}
	if len(issued.there) > 0 {
		t.Errorf("the accounts %v are left", slices.Collect(maps.Keys(issued.there)))
	}
	k, issued = keyedWith(t, manifest.Namespace(orders))
	k.Rows, issued.err = rowsOf{oneDatabase{}, &holding{}}, errors.New("connection refused")
	if err := run(t, k.DeleteNamespace); err != nil || issued.asked > 0 {
		t.Errorf("DeleteNamespace() = %v, with %d requests to the object store: a database without backups does not need it", err, issued.asked)
	}
}

func TestKeysAreInvalidatedBeforeTheArchiveIsDeleted(t *testing.T) {
	t.Parallel()
	k, issued := keyedWith(t)
	buckets := &store{}
	buckets.put("backups/shop/"+orders.ID.String()+"/pg-1/wals/1", 1, metav1.Now().Time)
	k.Archives.Store, issued.err = buckets, errors.New("Access Denied")
	if err := run(t, k.DeleteArchive); err == nil || len(buckets.objects) != 1 {
		t.Errorf("DeleteArchive() = %v with %v left: objects are removed while keys are valid", err, buckets.objects)
	}
	issued.err = nil
	if err := run(t, k.DeleteArchive); err != nil || len(buckets.objects) > 0 {
		t.Errorf("DeleteArchive() = %v with %v left", err, buckets.objects)
	}
}

func TestRevertedArchiveLeavesNoKeys(t *testing.T) {
	t.Parallel()
	k, issued := keyedWith(t)
	k.Rows = rowsOf{oneDatabase{keptTier()}, &holding{}}
	if err := run(t, k.ApplyArchive); err != nil || len(issued.there) != 1 {
		t.Fatalf("ApplyArchive() = %v with %d accounts", err, len(issued.there))
	}
	if err := run(t, k.RevertArchive); err != nil {
		t.Fatal(err)
	}
	if _, _, there := keysIn(t, k, manifest.ArchiveCredentials); there || len(issued.there) > 0 {
		t.Errorf("the Secret exists: %t, and %d accounts", there, len(issued.there))
	}
}

func TestKeysAreInvalidatedWithoutTheNamespace(t *testing.T) {
	t.Parallel()
	k, issued := keyedWith(t)
	for _, secret := range objectstore.Secrets {
		issued.there[objectstore.AccessKey(orders.ID, secret)] = objectstore.StoreAccount{}
	}
	intercept(t, k, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, o ...client.GetOption) error {
			if _, is := object.(*corev1.Secret); is {
				return forbiddenTo("get secrets")
			}
			return c.Get(ctx, key, object, o...)
		},
	})
	if err := run(t, k.DeleteNamespace); err != nil {
		t.Fatal(err)
	}
	if len(issued.there) > 0 {
		t.Errorf("the accounts %v are left, want none", issued.there)
	}
}
