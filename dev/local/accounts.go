package local

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/google/uuid"

	"github.com/daap-dev/daap/activities/objectstore/minioadmin"
)

// Accounts returns the names of the object store's accounts that may write to the archive of the database.
func Accounts(ctx context.Context, database uuid.UUID) ([]string, error) {
	admin, err := administration()
	if err != nil {
		return nil, err
	}
	answer, err := admin.Do(ctx, minioadmin.Call{Method: http.MethodGet, Name: "list-canned-policies"})
	if err != nil {
		return nil, fmt.Errorf("list the policies of accounts: %w", err)
	}
	var policies map[string]json.RawMessage
	if err := json.Unmarshal(answer, &policies); err != nil {
		return nil, fmt.Errorf("decode the policies of accounts: %w", err)
	}
	var names []string
	for name, policy := range policies {
		if bytes.Contains(policy, []byte("/"+database.String()+"/*\"")) {
			names = append(names, name)
		}
	}
	return names, nil
}

// The statuses of an account.
const (
	AccountEnabled  = "enabled"
	AccountDisabled = "disabled"
)

// SetAccounts gives the accounts of Accounts the status; there must be some.
func SetAccounts(ctx context.Context, database uuid.UUID, status string) error {
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
		_, err := admin.Do(ctx, minioadmin.Call{
			Method: http.MethodPut, Name: "set-user-status",
			Query: url.Values{"accessKey": {name}, "status": {status}},
		})
		if err != nil {
			return fmt.Errorf("set account %s to %s: %w", name, status, err)
		}
	}
	return nil
}

// administration is a client of MinIO's admin API.
func administration() (*minioadmin.Client, error) {
	endpoint, err := url.Parse(os.Getenv("DAAP_BACKUP_ENDPOINT"))
	if err != nil {
		return nil, fmt.Errorf("parse the object store's endpoint: %w", err)
	}
	return minioadmin.New(endpoint, os.Getenv("DAAP_BACKUP_ACCESS_KEY"), os.Getenv("DAAP_BACKUP_SECRET_KEY"),
		http.DefaultTransport), nil
}
