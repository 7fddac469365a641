package activities

import (
	"context"
	"fmt"

	"github.com/minio/madmin-go/v3"
)

// MinIO makes accounts by MinIO's own API for administrators.
type MinIO struct{ Admin *madmin.AdminClient }

// Issue makes a user of the account, and the policy of the same name be the only one of that user. Users have no
// parent: whoever has the keys of a service account may delete and look at all others of the same parent.
func (m *MinIO) Issue(ctx context.Context, account StoreAccount) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := m.Admin.AddCannedPolicy(ctx, account.AccessKey, account.Policy); err != nil {
		return fmt.Errorf("make policy %s: %w", account.AccessKey, err)
	}
	if err := m.Admin.AddUser(ctx, account.AccessKey, account.SecretKey); err != nil {
		return fmt.Errorf("make user %s: %w", account.AccessKey, err)
	}
	// What is to come instead of it is encrypted both ways, which takes a hundred times as long, and cannot be repeated.
	//nolint:staticcheck // see above
	if err := m.Admin.SetPolicy(ctx, account.AccessKey, account.AccessKey, false); err != nil {
		return fmt.Errorf("give user %s its policy: %w", account.AccessKey, err)
	}
	return nil
}

// Revoke removes the user with all that it made of its rights, and its policy.
func (m *MinIO) Revoke(ctx context.Context, accessKey string) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := m.Admin.RemoveUser(ctx, accessKey)
	if err != nil && madmin.ToErrorResponse(err).Code != noSuchUser {
		return fmt.Errorf("remove user %s: %w", accessKey, err)
	}
	if err := m.Admin.RemoveCannedPolicy(ctx, accessKey); err != nil {
		return fmt.Errorf("remove policy %s: %w", accessKey, err)
	}
	return nil
}

// noSuchUser is MinIO's own code.
const noSuchUser = "XMinioAdminNoSuchUser"
