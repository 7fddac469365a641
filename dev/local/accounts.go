package local

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"

	"github.com/google/uuid"
	"github.com/minio/madmin-go/v3"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Accounts returns the names of the object store's accounts that may write to the archive of the database.
func Accounts(ctx context.Context, database uuid.UUID) ([]string, error) {
	admin, err := administration()
	if err != nil {
		return nil, err
	}
	policies, err := admin.ListCannedPolicies(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the policies of accounts: %w", err)
	}
	var names []string
	for name, policy := range policies {
		if bytes.Contains(policy, []byte("/"+database.String()+"/*\"")) {
			names = append(names, name)
		}
	}
	return names, nil
}

// SetAccounts has the accounts of Accounts be enabled or disabled; there must be some.
func SetAccounts(ctx context.Context, database uuid.UUID, status madmin.AccountStatus) error {
	names, err := Accounts(ctx, database)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("database %s has no account of the object store", database)
	}
	admin, err := administration()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := admin.SetUserStatus(ctx, name, status); err != nil {
			return fmt.Errorf("set account %s to be %s: %w", name, status, err)
		}
	}
	return nil
}

// administration is a client of MinIO's API for administrators.
func administration() (*madmin.AdminClient, error) {
	endpoint, err := url.Parse(os.Getenv("DAAP_BACKUP_ENDPOINT"))
	if err != nil {
		return nil, fmt.Errorf("parse the object store's endpoint: %w", err)
	}
	admin, err := madmin.NewWithOptions(endpoint.Host, &madmin.Options{Creds: credentials.NewStaticV4(
		os.Getenv("DAAP_BACKUP_ACCESS_KEY"), os.Getenv("DAAP_BACKUP_SECRET_KEY"), "")})
	if err != nil {
		return nil, fmt.Errorf("make a client of MinIO's administration: %w", err)
	}
	return admin, nil
}
