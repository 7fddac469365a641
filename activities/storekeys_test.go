package activities

import (
	"context"
	"encoding/json"
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
)

// accounts are those of an object store, by access key; it may fail.
type accounts struct {
	err   error
	there map[string]StoreAccount
	// asked is how often it was asked for anything.
	asked int
}

func (a *accounts) Issue(_ context.Context, account StoreAccount) error {
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

// keyedWith has accounts made for databases; keptTier is that of orders, and it is restored from another one.
func keyedWith(t *testing.T, objects ...client.Object) (*Kubernetes, *accounts) {
	t.Helper()
	k, issued := kubernetesWith(t, objects...), &accounts{there: map[string]StoreAccount{}}
	k.Databases, k.Buckets, k.Keys = restoredOrders{}, &store{}, issued
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

// keysIn are those in the Secret of orders; ok is whether it is there.
func keysIn(t *testing.T, k *Kubernetes, secret string) (accessKey, secretKey string, ok bool) {
	t.Helper()
	var found corev1.Secret
	err := k.Client.Get(t.Context(), client.ObjectKey{Namespace: daap.Namespace(orders.ID), Name: secret}, &found)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	accessKey, secretKey = manifest.StoreKeys(&found)
	return accessKey, secretKey, err == nil
}

func TestPolicyReachesOneDatabaseAlone(t *testing.T) {
	t.Parallel()
	db := orders.With(*keptTier())
	for name, tt := range map[string]struct {
		policy []byte
		want   string
	}{
		"archive": {archivePolicy(db), `{"Version":"2012-10-17","Statement":[
			{"Effect":"Deny","Action":["admin:*"]},
			{"Effect":"Deny","Action":["s3:DeleteObjectVersion"],"Resource":["arn:aws:s3:::backups/*"]},
			{"Effect":"Allow","Action":["s3:AbortMultipartUpload","s3:DeleteObject","s3:GetObject","s3:ListMultipartUploadParts","s3:PutObject"],
			 "Resource":["arn:aws:s3:::backups/shop/0190a0a0-0000-7000-8000-000000000002/*"]},
			{"Effect":"Allow","Action":["s3:HeadBucket"],"Resource":["arn:aws:s3:::backups"]},
			{"Effect":"Allow","Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::backups"],"Condition":{
			 "ForAllValues:StringLike":{"s3:prefix":["shop/0190a0a0-0000-7000-8000-000000000002/*"]},
			 "StringLike":{"s3:prefix":["shop/0190a0a0-0000-7000-8000-000000000002/*"]}}}]}`},
		"source": {sourcePolicy(sourceOfOrders), `{"Version":"2012-10-17","Statement":[
			{"Effect":"Deny","Action":["admin:*"]},
			{"Effect":"Deny","Action":["s3:DeleteObjectVersion"],"Resource":["arn:aws:s3:::backups/*"]},
			{"Effect":"Allow","Action":["s3:GetObject"],
			 "Resource":["arn:aws:s3:::backups/shop/0190a0a0-0000-7000-8000-000000000001/pg-2/*"]},
			{"Effect":"Allow","Action":["s3:HeadBucket"],"Resource":["arn:aws:s3:::backups"]},
			{"Effect":"Allow","Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::backups"],"Condition":{
			 "ForAllValues:StringLike":{"s3:prefix":["shop/0190a0a0-0000-7000-8000-000000000001/pg-2/*"]},
			 "StringLike":{"s3:prefix":["shop/0190a0a0-0000-7000-8000-000000000001/pg-2/*"]}}}]}`},
	} {
		if got, want := compact(t, tt.policy), compact(t, []byte(tt.want)); got != want {
			t.Errorf("%s: the policy is\n%s\nwant\n%s", name, got, want)
		}
	}
}

func compact(t *testing.T, text []byte) string {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(again)
}

func TestEachSecretHasAnAccountOfItsOwnAndKeepsItsKeys(t *testing.T) {
	t.Parallel()
	k, issued := keyedWith(t)
	var first map[string]StoreAccount
	for range 2 {
		if err := errors.Join(run(t, k.ApplySource), run(t, k.ApplyArchive)); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = maps.Clone(issued.there)
		}
	}
	db, err := k.Databases.Database(t.Context(), daap.EveryTeam, orders.ID)
	if err != nil {
		t.Fatal(err)
	}
	for secret, policy := range map[string][]byte{
		manifest.ArchiveCredentials: archivePolicy(db), manifest.SourceCredentials: sourcePolicy(sourceOfOrders),
	} {
		accessKey, secretKey, _ := keysIn(t, k, secret)
		account := issued.there[accessKey]
		if len(accessKey) != 20 || len(secretKey) < 20 || len(secretKey) > 40 {
			t.Errorf("%s has keys of %d and %d characters, which MinIO does not take", secret, len(accessKey), len(secretKey))
		}
		if account.SecretKey != secretKey || string(account.Policy) != string(policy) {
			t.Errorf("the account %s of %s has another key, or the policy %s", accessKey, secret, account.Policy)
		}
		if first[accessKey].SecretKey != secretKey {
			t.Errorf("the key in %s changed", secret)
		}
	}
	if len(issued.there) != 2 {
		t.Errorf("there are %d accounts, want one for each Secret", len(issued.there))
	}
}

func TestKeysThatAreNotTheDatabasesOwnAreReplaced(t *testing.T) {
	t.Parallel()
	own := accessKeyOf(orders.ID, manifest.ArchiveCredentials)
	for name, had := range map[string][2]string{"the platform's": {"root", "of-the-platform"}, "half there": {own, ""}} {
		k, issued := keyedWith(t, manifest.StoreSecret(orders, manifest.ArchiveCredentials, had[0], had[1]))
		if err := run(t, k.ApplyArchive); err != nil {
			t.Fatal(err)
		}
		accessKey, secretKey, _ := keysIn(t, k, manifest.ArchiveCredentials)
		if accessKey != own || secretKey == had[1] || issued.there[own].SecretKey != secretKey {
			t.Errorf("%s: the keys are those of %s afterwards", name, accessKey)
		}
	}
}

func TestAccountThatCannotBeMadeIsMadeWithTheSameKeyLater(t *testing.T) {
	t.Parallel()
	k, issued := keyedWith(t)
	issued.err = errors.New("Access Denied")
	if cause := Cause(run(t, k.ApplyArchive), "Create"); cause.Code != daap.CauseS3Denied {
		t.Errorf("the cause is %+v, want that the store denies it", cause)
	}
	_, before, _ := keysIn(t, k, manifest.ArchiveCredentials)
	issued.err = nil
	if err := run(t, k.ApplyArchive); err != nil {
		t.Fatal(err)
	}
	if accessKey, after, _ := keysIn(t, k, manifest.ArchiveCredentials); before == "" || after != before || issued.there[accessKey].SecretKey != after {
		t.Errorf("the key changed between two tries: %t", after != before)
	}
}

func TestSharedKeysAreThePlatforms(t *testing.T) {
	t.Parallel()
	k, _ := keyedWith(t)
	k.Keys, k.Platform.Archive = nil, manifest.Archive{Endpoint: "https://s3.example.com", AccessKey: "a", SecretKey: "s"}
	if err := errors.Join(run(t, k.ApplySource), run(t, k.ApplyArchive)); err != nil {
		t.Fatal(err)
	}
	for _, secret := range storeSecrets {
		if accessKey, secretKey, _ := keysIn(t, k, secret); accessKey != "a" || secretKey != "s" {
			t.Errorf("%s has the keys of %s, want those of the platform", secret, accessKey)
		}
	}
}

func TestSourceIsLeftOnceThereIsABackup(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]daap.CauseCode{"a base backup is completed": "", "it fails": daap.CauseBackupFailed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, issued := keyedWith(t, archivingCluster(metav1.ConditionTrue, ""))
			k.Watch.Reader = k.Client
			if err := errors.Join(run(t, k.ApplySource), run(t, k.ApplyArchive)); err != nil {
				t.Fatal(err)
			}
			fake, is := k.Client.(client.WithWatch)
			if !is {
				t.Fatal("the fake cannot watch")
			}
			k.Client = &takes{WithWatch: fake, fails: fails}
			b, left := &Backups{Postgres: &Postgres{Kubernetes: k}, Databases: &seen{}}, fails == ""
			if err := run(t, b.BackUp); (err == nil) != left {
				t.Fatalf("BackUp() = %v", err)
			}
			_, _, there := keysIn(t, k, manifest.SourceCredentials)
			_, account := issued.there[accessKeyOf(orders.ID, manifest.SourceCredentials)]
			if there == left || account == left {
				t.Errorf("the Secret is there: %t, the account: %t; want the source left: %t", there, account, left)
			}
			if _, _, there := keysIn(t, k, manifest.ArchiveCredentials); !there || len(issued.there) == 0 {
				t.Error("the database's own keys are gone")
			}
		})
	}
}

func TestKeysGoWithTheNamespace(t *testing.T) {
	t.Parallel()
	k, issued := keyedWith(t, manifest.Namespace(orders))
	if err := errors.Join(run(t, k.ApplySource), run(t, k.ApplyArchive), run(t, k.DeleteNamespace)); err != nil {
		t.Fatal(err)
	}
	if len(issued.there) > 0 {
		t.Errorf("left are the accounts %v", slices.Collect(maps.Keys(issued.there)))
	}
	k, issued = keyedWith(t, manifest.Namespace(orders))
	k.Databases, issued.err = oneDatabase{}, errors.New("connection refused")
	if err := run(t, k.DeleteNamespace); err != nil || issued.asked > 0 {
		t.Errorf("DeleteNamespace() = %v, and the object store was asked %d times: a database without backups does not need it", err, issued.asked)
	}
}

func TestKeysGoBeforeTheArchive(t *testing.T) {
	t.Parallel()
	k, issued := keyedWith(t)
	buckets := &store{}
	buckets.put("backups/shop/"+orders.ID.String()+"/pg-1/wals/1", 1, metav1.Now().Time)
	k.Buckets, issued.err = buckets, errors.New("Access Denied")
	if err := run(t, k.RemoveArchive); err == nil || len(buckets.objects) != 1 {
		t.Errorf("RemoveArchive() = %v with %v left: something is removed while keys are valid", err, buckets.objects)
	}
	issued.err = nil
	if err := run(t, k.RemoveArchive); err != nil || len(buckets.objects) > 0 {
		t.Errorf("RemoveArchive() = %v with %v left", err, buckets.objects)
	}
}

func TestArchiveThatIsTakenBackLeavesNoKeys(t *testing.T) {
	t.Parallel()
	k, issued := keyedWith(t)
	k.Databases = oneDatabase{keptTier()}
	if err := run(t, k.ApplyArchive); err != nil || len(issued.there) != 1 {
		t.Fatalf("ApplyArchive() = %v with %d accounts", err, len(issued.there))
	}
	if err := run(t, k.RevertArchive); err != nil {
		t.Fatal(err)
	}
	if _, _, there := keysIn(t, k, manifest.ArchiveCredentials); there || len(issued.there) > 0 {
		t.Errorf("the Secret is there: %t, and %d accounts", there, len(issued.there))
	}
}

func TestKeysGoAlsoWhereTheNamespaceIsGoneAndMayNotBeLookedInto(t *testing.T) {
	t.Parallel()
	k, issued := keyedWith(t)
	for _, secret := range storeSecrets {
		issued.there[accessKeyOf(orders.ID, secret)] = StoreAccount{}
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
		t.Errorf("left are the accounts %v, want none", issued.there)
	}
}
