package objectstore

import (
	"context"
	"fmt"

	"github.com/daap-dev/daap/activities/objectstore/minioadmin"
)

// MinIO makes accounts by MinIO's own API for administrators.
type MinIO struct{ Admin *minioadmin.Client }

// Issue makes a user of the account, and the policy of the same name be the only one of that user. Users have no
// parent: whoever has the keys of a service account may delete and look at all others of the same parent.
func (m *MinIO) Issue(ctx context.Context, account StoreAccount) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := m.Admin.PutPolicy(ctx, account.AccessKey, account.Policy); err != nil {
		return fmt.Errorf("put policy %s: %w", account.AccessKey, err)
	}
	if err := m.Admin.PutUser(ctx, account.AccessKey, account.SecretKey); err != nil {
		return fmt.Errorf("put user %s: %w", account.AccessKey, err)
	}
	if err := m.Admin.SetUserPolicy(ctx, account.AccessKey, account.AccessKey); err != nil {
		return fmt.Errorf("set the policy of user %s: %w", account.AccessKey, err)
	}
	return nil
}

// Revoke removes the user with all that it made of its rights, and its policy.
func (m *MinIO) Revoke(ctx context.Context, accessKey string) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := m.Admin.DeleteUser(ctx, accessKey); err != nil {
		return fmt.Errorf("delete user %s: %w", accessKey, err)
	}
	if err := m.Admin.DeletePolicy(ctx, accessKey); err != nil {
		return fmt.Errorf("delete policy %s: %w", accessKey, err)
	}
	return nil
}
