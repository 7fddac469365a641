package objectstore

import (
	"context"
	"fmt"

	"github.com/daap-dev/daap/activities/objectstore/minioadmin"
)

// MinIO issues and revokes accounts through MinIO's admin API.
type MinIO struct{ Admin *minioadmin.Client }

// Issue creates the user of the account, with the policy of the same name as its only one; safe to repeat. It creates
// no service account: the holder of one can list and delete all others of the same parent, and a user has no parent.
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

// Revoke deletes the user with its service accounts, and its policy; safe to repeat.
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
