package objectstore

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
	"github.com/daap-dev/daap/activities/manifest"
)

// Keys provides databases with keys to the object store, in Secrets in their namespaces.
type Keys struct {
	Kubernetes *cluster.Kubernetes
	// Issuer creates keys for each database; nil if all use the shared ones.
	Issuer issuer
	// Shared are the platform's own keys, for platforms without an Issuer.
	Shared manifest.Archive
}

// Issue gives the database keys of its own, restricted by the policy, in the Secret of that name; without an Issuer,
// the platform's own keys. The Secret is authoritative: it has the only copy of the secret key. It is written before
// the account, so that no account exists without a Secret.
func (k *Keys) Issue(ctx context.Context, db daap.Database, secret string, policy []byte) error {
	if k.Issuer == nil {
		return k.Kubernetes.Apply(ctx, manifest.StoreSecret(db, secret, k.Shared.AccessKey, k.Shared.SecretKey))
	}
	account, err := k.account(ctx, db, secret)
	if err != nil {
		return err
	}
	account.Policy = policy
	if err := k.Issuer.Issue(ctx, account); err != nil {
		return &Error{err}
	}
	return nil
}

// account reads the keys in the Secret, and creates those that are missing or not the database's own. Of two concurrent
// callers, one fails and is retried.
func (k *Keys) account(ctx context.Context, db daap.Database, secret string) (StoreAccount, error) {
	account := StoreAccount{AccessKey: AccessKey(db.ID, secret)}
	var there corev1.Secret
	err := k.Kubernetes.Client.Get(ctx, client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: secret}, &there)
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
		if err := k.Kubernetes.Client.Create(ctx, built, client.FieldOwner(manifest.FieldOwner)); err != nil {
			return account, fmt.Errorf("create secret %s of database %s: %w", secret, db.ID, err)
		}
		return account, nil
	}
	built.ResourceVersion = there.ResourceVersion
	return account, k.Kubernetes.Apply(ctx, built)
}

// Revoke takes the keys in the Secret of that name away from the database. It deletes the Secret last, so that a retry
// still finds them.
func (k *Keys) Revoke(ctx context.Context, database uuid.UUID, secret string) error {
	if err := k.Invalidate(ctx, database, secret); err != nil {
		return err
	}
	var object corev1.Secret
	object.Namespace, object.Name = daap.Namespace(database), secret
	return k.Kubernetes.Delete(ctx, &object)
}

// Secrets name all Secrets with keys to the object store that a database may have.
var Secrets = []string{manifest.ArchiveCredentials, manifest.SourceCredentials}

// Invalidate makes the keys in the Secrets useless. It does nothing if the platform's own keys are shared.
func (k *Keys) Invalidate(ctx context.Context, database uuid.UUID, secrets ...string) error {
	if k.Issuer == nil {
		return nil
	}
	for _, secret := range secrets {
		if err := k.Issuer.Revoke(ctx, AccessKey(database, secret)); err != nil {
			return &Error{err}
		}
	}
	return nil
}

// InvalidateIssued makes all keys of a deleted database useless. A database without keys does not need the object store
// for that; if its namespace stays, InvalidateIssued also checks there for keys that an unfinished operation issued.
func (k *Keys) InvalidateIssued(ctx context.Context, db daap.Database, stays bool) error {
	had := map[string]bool{
		manifest.ArchiveCredentials: db.Profile.BackupEnabled, manifest.SourceCredentials: db.Source != nil,
	}
	for _, secret := range Secrets {
		issued := had[secret]
		if !issued && stays {
			var err error
			if issued, err = k.Issued(ctx, db.ID, secret); err != nil {
				return err
			}
		}
		if !issued {
			continue
		}
		if err := k.Invalidate(ctx, db.ID, secret); err != nil {
			return err
		}
	}
	return nil
}

// Issued reports whether the database has the Secret.
func (k *Keys) Issued(ctx context.Context, database uuid.UUID, secret string) (bool, error) {
	key := client.ObjectKey{Namespace: daap.Namespace(database), Name: secret}
	err := k.Kubernetes.Client.Get(ctx, key, &corev1.Secret{})
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("get secret %s of database %s: %w", secret, database, err)
	}
	return err == nil, nil
}
