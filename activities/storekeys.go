package activities

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// issuer makes accounts of the object store, by which databases reach it.
type issuer interface {
	// Issue makes the account be there with its secret key and its policy, and with no other right. Safe to repeat.
	Issue(ctx context.Context, account StoreAccount) error
	// Revoke removes the account, and with it whatever was got by it; one that is gone is fine.
	Revoke(ctx context.Context, accessKey string) error
}

// StoreAccount is one that reaches a part of the object store.
type StoreAccount struct {
	AccessKey, SecretKey string
	// Policy is IAM's JSON.
	Policy []byte
}

// issue gives the database keys of its own, which the policy bounds, in the Secret of that name; where the platform has
// none made, its own key is there. The Secret decides: it has the only copy of the secret key, and it is written before
// the account, so that there is no account without a Secret.
func (k *Kubernetes) issue(ctx context.Context, db daap.Database, secret string, policy []byte) error {
	if k.Keys == nil {
		return k.apply(ctx, manifest.StoreSecret(db, secret, k.Platform.Archive.AccessKey, k.Platform.Archive.SecretKey))
	}
	account, err := k.account(ctx, db, secret)
	if err != nil {
		return err
	}
	account.Policy = policy
	if err := k.Keys.Issue(ctx, account); err != nil {
		return refusedByStore(err)
	}
	return nil
}

// account reads the keys in the Secret, and makes what is not there or not the database's own. Of two that make them at
// the same time, one fails and is tried again.
func (k *Kubernetes) account(ctx context.Context, db daap.Database, secret string) (StoreAccount, error) {
	account := StoreAccount{AccessKey: accessKeyOf(db.ID, secret)}
	var there corev1.Secret
	err := k.Client.Get(ctx, client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: secret}, &there)
	if client.IgnoreNotFound(err) != nil {
		return account, fmt.Errorf("get secret %s of database %s: %w", secret, db.ID, err)
	}
	if had, key := manifest.StoreKeys(&there); had == account.AccessKey && key != "" {
		account.SecretKey = key
	} else {
		account.SecretKey = rand.Text()
	}
	built := manifest.StoreSecret(db, secret, account.AccessKey, account.SecretKey)
	if apierrors.IsNotFound(err) {
		if err := k.Client.Create(ctx, built, client.FieldOwner(manifest.FieldOwner)); err != nil {
			return account, fmt.Errorf("create secret %s of database %s: %w", secret, db.ID, err)
		}
		return account, nil
	}
	built.ResourceVersion = there.ResourceVersion
	return account, k.apply(ctx, built)
}

// revoke takes the keys in the Secret of that name away from the database. The Secret goes last, so that another try
// knows of them.
func (k *Kubernetes) revoke(ctx context.Context, database uuid.UUID, secret string) error {
	if err := k.invalidate(ctx, database, secret); err != nil {
		return err
	}
	var object corev1.Secret
	object.Namespace, object.Name = daap.Namespace(database), secret
	if err := k.Client.Delete(ctx, &object); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete secret %s of database %s: %w", secret, database, err)
	}
	return nil
}

// storeSecrets name all Secrets with keys to the object store that a database may have.
var storeSecrets = []string{manifest.ArchiveCredentials, manifest.SourceCredentials}

// invalidate makes the keys in the Secrets be good for nothing. Where the platform's own are shared, there is nothing
// to do.
func (k *Kubernetes) invalidate(ctx context.Context, database uuid.UUID, secrets ...string) error {
	if k.Keys == nil {
		return nil
	}
	for _, secret := range secrets {
		if err := k.Keys.Revoke(ctx, accessKeyOf(database, secret)); err != nil {
			return refusedByStore(err)
		}
	}
	return nil
}

// invalidateIssued makes all keys of a database that goes be good for nothing. One that never had any does not need
// the object store for it; where its namespace stays, that is asked for keys that an operation was to give it.
func (k *Kubernetes) invalidateIssued(ctx context.Context, db daap.Database, stays bool) error {
	had := map[string]bool{
		manifest.ArchiveCredentials: db.Profile.BackupEnabled, manifest.SourceCredentials: db.Source != nil,
	}
	for _, secret := range storeSecrets {
		issued := had[secret]
		if !issued && stays {
			var err error
			if issued, err = k.issued(ctx, db.ID, secret); err != nil {
				return err
			}
		}
		if !issued {
			continue
		}
		if err := k.invalidate(ctx, db.ID, secret); err != nil {
			return err
		}
	}
	return nil
}

// issued says whether the database has the Secret.
func (k *Kubernetes) issued(ctx context.Context, database uuid.UUID, secret string) (bool, error) {
	err := k.Client.Get(ctx, client.ObjectKey{Namespace: daap.Namespace(database), Name: secret}, &corev1.Secret{})
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("get secret %s of database %s: %w", secret, database, err)
	}
	return err == nil, nil
}

// leaveSource takes the keys to the source's archive away from a database that is restored: from now on it needs that
// no more. CloudNativePG still wants the ObjectStore to be there.
func (k *Kubernetes) leaveSource(ctx context.Context, db daap.Database) error {
	if db.Source == nil {
		return nil
	}
	issued, err := k.issued(ctx, db.ID, manifest.SourceCredentials)
	if err != nil || !issued {
		return err
	}
	return k.revoke(ctx, db.ID, manifest.SourceCredentials)
}

// accessKeyOf is the name of the account whose keys are in the Secret. It tells nobody which database it is of, and
// MinIO has names of at most twenty characters.
func accessKeyOf(database uuid.UUID, secret string) string {
	sum := sha256.Sum256([]byte(database.String() + "/" + secret))
	return "daap-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:15]
}

// What an account may do with the objects under its prefix.
var (
	archiving = []string{
		"s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject",
	}
	reading = []string{"s3:GetObject"}
)

// archivePolicy lets a database archive.
func archivePolicy(db daap.Database) []byte { return storePolicy(db.Destination(), archiving) }

// sourcePolicy lets a database read what it is restored from.
func sourcePolicy(source daap.Source) []byte {
	return storePolicy(source.Destination+"/"+source.ServerName, reading)
}

// statement is one of a policy.
type statement struct {
	Effect    string
	Action    []string
	Resource  []string                       `json:",omitempty"`
	Condition map[string]map[string][]string `json:",omitempty"`
}

// storePolicy lets an account do so to what is under the prefix, and list that. Barman asks before all it does whether
// the bucket is there; that has a right of its own (s3:HeadBucket), which lists nothing. What is denied MinIO otherwise
// allows: users change their password and make accounts of their own, and who may delete an object may delete its old
// versions. Where the bucket keeps those, they outlive who deletes with stolen keys.
func storePolicy(destination string, may []string) []byte {
	bucket, prefix := bucketOf(destination)
	resource, under := "arn:aws:s3:::"+bucket, map[string][]string{"s3:prefix": {prefix + "/*"}}
	text, err := json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", []statement{
		{Effect: "Deny", Action: []string{"admin:*"}},
		{Effect: "Deny", Action: []string{"s3:DeleteObjectVersion"}, Resource: []string{resource + "/*"}},
		{Effect: "Allow", Action: may, Resource: []string{resource + "/" + prefix + "/*"}},
		{Effect: "Allow", Action: []string{"s3:HeadBucket"}, Resource: []string{resource}},
		{
			// One condition holds where any of several prefixes matches, the other where there is none.
			Effect: "Allow", Action: []string{"s3:ListBucket"}, Resource: []string{resource},
			Condition: map[string]map[string][]string{"StringLike": under, "ForAllValues:StringLike": under},
		},
	}})
	if err != nil {
		panic(err) // it is made of strings
	}
	return text
}
