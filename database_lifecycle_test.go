package daap_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

func TestEachStatusAllowsItsOperations(t *testing.T) {
	t.Parallel()
	kept := daap.Profile{Backups: daily}
	held := uuid.New()
	for name, tt := range map[string]struct {
		db      daap.Database
		allowed []daap.OperationKind
	}{
		"ready": {daap.Database{Status: daap.DatabaseReady, Profile: kept}, []daap.OperationKind{
			daap.UpdateDatabase, daap.BackUpDatabase, daap.ReconcileDatabase, daap.RestoreDatabase, daap.FreezeDatabase, daap.ArchiveDatabase, daap.DeleteDatabase,
		}},
		"ready, without backups": {daap.Database{Status: daap.DatabaseReady}, []daap.OperationKind{
			daap.UpdateDatabase, daap.ReconcileDatabase, daap.FreezeDatabase, daap.DeleteDatabase,
		}},
		"ready, protected": {daap.Database{Status: daap.DatabaseReady, Profile: kept, DeletionProtection: true}, []daap.OperationKind{
			daap.UpdateDatabase, daap.BackUpDatabase, daap.ReconcileDatabase, daap.RestoreDatabase,
		}},
		"ready, and backed up now": {daap.Database{Status: daap.DatabaseReady, Profile: kept, OperationID: &held}, []daap.OperationKind{
			daap.RestoreDatabase, daap.DeleteDatabase,
		}},
		"frozen":   {daap.Database{Status: daap.DatabaseFrozen, Profile: kept}, []daap.OperationKind{daap.RestoreDatabase, daap.UnfreezeDatabase, daap.DeleteDatabase}},
		"archived": {daap.Database{Status: daap.DatabaseArchived, Profile: kept}, []daap.OperationKind{daap.RestoreDatabase, daap.DeleteDatabase}},
		"in error": {daap.Database{Status: daap.DatabaseError, OperationID: &held}, []daap.OperationKind{daap.DeleteDatabase}},
		"deleting": {daap.Database{Status: daap.DatabaseDeleting, OperationID: &held}, nil},
		"deleted":  {daap.Database{Status: daap.DatabaseDeleted}, nil},
	} {
		allowed, restricted := tt.db.Actions()
		if !slices.Equal(allowed, tt.allowed) {
			t.Errorf("%s: allowed are %v, want %v", name, allowed, tt.allowed)
		}
		if len(allowed)+len(restricted) != len(daap.OperationKinds())-1 { // a database that is there is not provisioned
			t.Errorf("%s: %v and %v are not all operations", name, allowed, restricted)
		}
		for _, r := range restricted {
			if !strings.HasSuffix(r.Reason, ".") {
				t.Errorf("%s: %s is restricted for the reason %q, want a sentence", name, r.Operation, r.Reason)
			}
		}
	}
}

func TestEveryUndeletedStatusCanBeHardDeleted(t *testing.T) {
	t.Parallel()
	for _, status := range daap.DatabaseStatuses() {
		err := daap.Database{Status: status}.Refuses(daap.DeleteDatabase)
		if refused := err != nil; refused != (status == daap.DatabaseDeleting || status == daap.DatabaseDeleted) {
			t.Errorf("%s: Refuses(delete) = %v", status, err)
		}
		if err == nil && !status.CanMoveTo(daap.DatabaseDeleting) {
			t.Errorf("%s may be deleted and cannot move to deleting", status)
		}
	}
}
