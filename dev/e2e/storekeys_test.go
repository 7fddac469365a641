//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/objectstore/minioadmin"
	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// bucket is that of destination.
const bucket = "daap-e2e"

// keyholder reaches the object store with the keys of a database.
type keyholder struct {
	access, secret string
	store          *minio.Client
	admin          *minioadmin.Client
}

// holding is whoever has read the Secret of the database; nil while that is not there.
func holding(ctx context.Context, t *testing.T, id uuid.UUID, name string) *keyholder {
	t.Helper()
	var secret corev1.Secret
	err := stack.Kubernetes.Get(ctx, client.ObjectKey{Namespace: daap.Namespace(id), Name: name}, &secret)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if err != nil {
		return nil
	}
	endpoint, err := url.Parse(os.Getenv("DAAP_BACKUP_ENDPOINT"))
	if err != nil {
		t.Fatal(err)
	}
	k := &keyholder{access: string(secret.Data["ACCESS_KEY_ID"]), secret: string(secret.Data["ACCESS_SECRET_KEY"])}
	creds := credentials.NewStaticV4(k.access, k.secret, "")
	if k.store, err = minio.New(endpoint.Host, &minio.Options{Creds: creds, Region: "us-east-1", MaxRetries: 1}); err != nil {
		t.Fatal(err)
	}
	k.admin = minioadmin.New(endpoint, k.access, k.secret, http.DefaultTransport)
	return k
}

// list returns the names under the prefix.
func (k *keyholder) list(ctx context.Context, bucket, prefix string) ([]string, error) {
	var names []string
	for object := range k.store.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if object.Err != nil {
			return nil, object.Err
		}
		names = append(names, object.Key)
	}
	return names, nil
}

func (k *keyholder) get(ctx context.Context, bucket, name string) error {
	_, err := k.store.StatObject(ctx, bucket, name, minio.StatObjectOptions{})
	return err
}

func (k *keyholder) put(ctx context.Context, name string, content []byte) error {
	_, err := k.store.PutObject(ctx, bucket, name, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{PartSize: 5 << 20})
	return err
}

func (k *keyholder) delete(ctx context.Context, name string) error {
	return k.store.RemoveObject(ctx, bucket, name, minio.RemoveObjectOptions{})
}

func (k *keyholder) copy(ctx context.Context, from, to string) error {
	_, err := k.store.CopyObject(ctx, minio.CopyDestOptions{Bucket: bucket, Object: to}, minio.CopySrcOptions{Bucket: bucket, Object: from})
	return err
}

// call calls a function of MinIO's admin API that takes no arguments.
func (k *keyholder) call(ctx context.Context, method, name string) error {
	_, err := k.admin.Do(ctx, minioadmin.Call{Method: method, Name: name})
	return err
}

func (k *keyholder) addServiceAccount(ctx context.Context, access, secret string) error {
	body, err := json.Marshal(map[string]string{"accessKey": access, "secretKey": secret})
	if err != nil {
		return err
	}
	_, err = k.admin.Do(ctx, minioadmin.Call{
		Method: http.MethodPut, Name: "add-service-account", Body: body, Encrypt: true,
	})
	return err
}

// valid is an error where the keys are good for nothing.
func (k *keyholder) valid(ctx context.Context) error {
	_, err := k.store.BucketExists(ctx, bucket)
	return err
}

// denied fails the test unless every one of the attempts was refused.
func denied(t *testing.T, attempts map[string]error) {
	t.Helper()
	for what, err := range attempts {
		if code := minio.ToErrorResponse(err).Code; err == nil || code != minio.AccessDenied {
			t.Errorf("%s: %v, want that access is denied", what, err)
		}
	}
}

// gone fails the test unless nobody is known by the keys any more.
func gone(ctx context.Context, t *testing.T, k *keyholder) {
	t.Helper()
	_, err := k.list(ctx, bucket, "backups/")
	if code := minio.ToErrorResponse(err).Code; code != "InvalidAccessKeyId" {
		t.Errorf("the keys of %s are still known: %v", k.access, err)
	}
}

func TestKeysOfADatabaseReachItsOwnBackupsAlone(t *testing.T) {
	other := parallelOn(t, sharedKept)
	ctx := t.Context()
	keepingTier(ctx, t, "e2e-keys")
	mine, mineOp := createOn(ctx, t, "e2e-keys", "rival", "keys-mine")
	succeed(ctx, t, mineOp)
	k, rival := holding(ctx, t, mine.ID, "archive-credentials"), holding(ctx, t, other, "archive-credentials")
	own, others := "backups/"+mine.ID.String()+"/", "backups/"+other.String()+"/"

	if accounts, err := local.Accounts(ctx, mine.ID); err != nil || len(accounts) != 1 || accounts[0] != k.access {
		t.Errorf("the accounts of the database are %v, %v; want %s alone", accounts, err, k.access)
	}
	names, err := k.list(ctx, bucket, own)
	if err != nil || len(names) == 0 {
		t.Fatalf("the database has %d objects, %v", len(names), err)
	}
	for what, content := range map[string][]byte{"small": []byte("text"), "large": make([]byte, 11<<20)} {
		name := own + "try/" + what
		if err := k.put(ctx, name, content); err != nil {
			t.Errorf("write what is %s: %v", what, err)
		}
		if err := k.get(ctx, bucket, name); err != nil {
			t.Errorf("read what is %s: %v", what, err)
		}
		if err := k.delete(ctx, name); err != nil {
			t.Errorf("delete what is %s: %v", what, err)
		}
	}

	target, err := rival.list(ctx, bucket, others)
	if err != nil || len(target) == 0 {
		t.Fatalf("the neighbour has %d objects, %v", len(target), err)
	}
	attempts := map[string]error{
		"get of a neighbour":      k.get(ctx, bucket, target[0]),
		"put to a neighbour":      k.put(ctx, others+"mine", []byte("text")),
		"delete of a neighbour":   k.delete(ctx, target[0]),
		"copy from a neighbour":   k.copy(ctx, target[0], own+"copy"),
		"copy to a neighbour":     k.copy(ctx, names[0], others+"copy"),
		"get of the audit log":    k.get(ctx, "daap-audit", "heads"),
		"removal of the bucket":   k.store.RemoveBucket(ctx, bucket),
		"another password":        k.admin.PutUser(ctx, k.access, "a-password-of-mine"),
		"removal of a neighbour":  k.admin.DeleteUser(ctx, rival.access),
		"a policy of its own":     k.admin.PutPolicy(ctx, k.access, []byte(`{}`)),
		"how the server is":       k.call(ctx, http.MethodGet, "info"),
		"a version of its own":    k.store.RemoveObject(ctx, bucket, names[0], minio.RemoveObjectOptions{VersionID: uuid.NewString()}),
		"a policy of the bucket":  k.store.SetBucketPolicy(ctx, bucket, "{}"),
		"the list of all buckets": second(k.store.ListBuckets(ctx)),
		"the list of all users":   k.call(ctx, http.MethodGet, "list-users"),
		"an account of its own":   k.addServiceAccount(ctx, "daap-of-mine", "a-password-of-mine"),
	}
	for _, prefix := range []string{"", "b", "backups/", others, strings.TrimSuffix(own, "/"), others + "pg-1/"} {
		attempts["list of "+prefix] = second(k.list(ctx, bucket, prefix))
	}
	attempts["list of the audit log"] = second(k.list(ctx, "daap-audit", ""))
	denied(t, attempts)
	if err := rival.get(ctx, bucket, target[0]); err != nil {
		t.Errorf("the neighbour's own object afterwards: %v", err)
	}
	platformsKeysAreNowhere(ctx, t)

	remove(ctx, t, mine.ID)
	gone(ctx, t, k)
	nothingLeft(ctx, t, mine.ID)
	if err := rival.valid(ctx); err != nil {
		t.Errorf("the neighbour's keys afterwards: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// platformsKeysAreNowhere looks for the platform's own keys in every Secret of every database.
func platformsKeysAreNowhere(ctx context.Context, t *testing.T) {
	t.Helper()
	secret := os.Getenv("DAAP_BACKUP_SECRET_KEY")
	var all corev1.SecretList
	if err := stack.Kubernetes.List(ctx, &all); err != nil || secret == "" {
		t.Fatalf("list secrets: %v; the platform's key has %d characters", err, len(secret))
	}
	looked := 0
	for _, s := range all.Items {
		if !strings.HasPrefix(s.Namespace, "daap-") {
			continue
		}
		for key, value := range s.Data {
			looked++
			if strings.Contains(string(value), secret) {
				t.Errorf("the platform's key is in secret %s/%s, %s", s.Namespace, s.Name, key)
			}
		}
	}
	if looked == 0 {
		t.Error("no database has any Secret")
	}
}

// readsItsSource waits until a database that is being restored has keys to its source, and fails the test unless they
// read the source and do nothing else.
func readsItsSource(ctx context.Context, t *testing.T, source, restored uuid.UUID) *keyholder {
	t.Helper()
	var k *keyholder
	until(ctx, t, "the restored database has keys to its source", func() bool {
		if k == nil {
			k = holding(ctx, t, restored, "source-credentials")
		}
		return k != nil && k.valid(ctx) == nil
	})
	names, err := k.list(ctx, bucket, "backups/"+source.String()+"/pg-1/")
	if err != nil || len(names) == 0 {
		t.Fatalf("it sees %d objects of its source, %v", len(names), err)
	}
	denied(t, map[string]error{
		"put to the source": k.put(ctx, names[0], []byte("text")), "delete of the source": k.delete(ctx, names[0]),
		"list of itself": second(k.list(ctx, bucket, "backups/"+restored.String()+"/")),
	})
	return k
}

// needsNoSource fails the test unless the keys to the source are gone from a database that was restored, and it comes
// up without them: CloudNativePG still has the source in its Cluster when it makes another pod.
func needsNoSource(ctx context.Context, t *testing.T, keys *keyholder, restored uuid.UUID, want string) {
	t.Helper()
	gone(ctx, t, keys)
	if holding(ctx, t, restored, "source-credentials") != nil {
		t.Error("the Secret with the keys to the source is still there")
	}
	pod := &corev1.Pod{}
	key := client.ObjectKey{Namespace: daap.Namespace(restored), Name: "pg-1-1"}
	if err := stack.Kubernetes.Get(ctx, key, pod); err != nil {
		t.Fatal(err)
	}
	before := pod.UID
	if err := stack.Kubernetes.Delete(ctx, pod); err != nil {
		t.Fatal(err)
	}
	psql := psqlOf(ctx, t, restored)
	until(ctx, t, "another pod answers", func() bool {
		again := &corev1.Pod{}
		if err := stack.Kubernetes.Get(ctx, key, again); err != nil || again.UID == before {
			return false
		}
		got, err := psql.Run(ctx, checksum)
		return err == nil && got == want
	})
	demanded, err := stack.API.BackUpDatabase(ctx, oas.BackUpDatabaseParams{ID: restored})
	if err != nil {
		t.Fatal(err)
	}
	succeed(ctx, t, demanded.Response.Meta.OperationID)
}
