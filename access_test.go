package daap_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// second and third leave the error alone of what a use case returns.
func second[T any](_ T, err error) error { return err }

func third[T, U any](_ T, _ U, err error) error { return err }

// useCases are all use cases by what they need, on no store at all: one that reads anything before it knows
// who asks panics.
func useCases() map[daap.Permission]func(context.Context, daap.Request) error {
	databases := daap.NewDatabases(nil, nil, nil, 1)
	operations := daap.NewOperations(nil, nil, nil, nil)
	tiers := daap.NewTiers(nil, nil, nil)
	orphans := daap.NewOrphans(nil, nil)
	keys := daap.NewAPIKeys(nil, nil)
	logs := daap.NewAuditLogs(nil)
	id := uuid.New()
	decide := func(action daap.Action) func(context.Context, daap.Request) error {
		return func(ctx context.Context, req daap.Request) error {
			return second(operations.Decide(ctx, req, id, daap.Decision{Action: action, Reason: "why"}))
		}
	}
	return map[daap.Permission]func(context.Context, daap.Request) error{
		daap.MayListDatabases: func(ctx context.Context, req daap.Request) error {
			return third(databases.List(ctx, req, daap.DatabaseFilter{}))
		},
		daap.MayCreateDatabase: func(ctx context.Context, req daap.Request) error {
			spec := daap.DatabaseSpec{Name: "orders"}
			return errors.Join(second(databases.PreviewCreate(ctx, req, spec)), third(databases.Create(ctx, req, spec)))
		},
		daap.MayGetDatabase: func(ctx context.Context, req daap.Request) error { return second(databases.Describe(ctx, req, id)) },
		daap.MayUpdateDatabase: func(ctx context.Context, req daap.Request) error {
			return errors.Join(second(databases.PreviewUpdate(ctx, req, id, daap.DatabasePatch{})),
				third(databases.Update(ctx, req, id, daap.DatabasePatch{})))
		},
		daap.MayDeleteDatabase: func(ctx context.Context, req daap.Request) error {
			return third(databases.Delete(ctx, req, id, ""))
		},
		daap.MayUnfreezeDatabase: func(ctx context.Context, req daap.Request) error { return third(databases.Unfreeze(ctx, req, id)) },
		daap.MayPreviewDelete: func(ctx context.Context, req daap.Request) error {
			return second(databases.PreviewDelete(ctx, req, id, ""))
		},
		daap.MayGetDatabaseConnection: func(ctx context.Context, req daap.Request) error { return second(databases.Connection(ctx, req, id)) },
		daap.MayListDatabaseEvents: func(ctx context.Context, req daap.Request) error {
			return third(databases.Events(ctx, req, daap.EventFilter{}))
		},
		daap.MayListBackups: func(ctx context.Context, req daap.Request) error {
			return third(databases.Backups(ctx, req, daap.BackupFilter{}))
		},
		daap.MayReconcileDatabase: func(ctx context.Context, req daap.Request) error { return third(databases.Reconcile(ctx, req, id)) },
		daap.MayBackUpDatabase:    func(ctx context.Context, req daap.Request) error { return third(databases.BackUp(ctx, req, id)) },
		daap.MayRestoreDatabase: func(ctx context.Context, req daap.Request) error {
			return third(databases.Restore(ctx, req, id, daap.RestoreSpec{Name: "orders"}))
		},
		daap.MayListOperations: func(ctx context.Context, req daap.Request) error {
			return third(operations.List(ctx, req, daap.OperationFilter{}))
		},
		daap.MayGetOperation:    func(ctx context.Context, req daap.Request) error { return second(operations.Get(ctx, req, id, 0)) },
		daap.MayRetryOperation:  decide(daap.ActionRetry),
		daap.MaySkipOperation:   decide(daap.ActionSkip),
		daap.MayAbortOperation:  decide(daap.ActionAbort),
		daap.MayCancelOperation: decide(daap.ActionCancel),
		daap.MayListTiers: func(ctx context.Context, req daap.Request) error {
			return third(tiers.List(ctx, req, daap.TierFilter{}))
		},
		daap.MayCreateTier: func(ctx context.Context, req daap.Request) error {
			return second(tiers.Create(ctx, req, daap.TierSpec{}))
		},
		daap.MayGetTier: func(ctx context.Context, req daap.Request) error { return second(tiers.Get(ctx, req, id)) },
		daap.MayUpdateTier: func(ctx context.Context, req daap.Request) error {
			return second(tiers.Update(ctx, req, id, daap.TierPatch{}))
		},
		daap.MayDeleteTier:   func(ctx context.Context, req daap.Request) error { return second(tiers.Delete(ctx, req, id)) },
		daap.MayGetTierQuota: func(ctx context.Context, req daap.Request) error { return second(tiers.Quota(ctx, req, id)) },
		daap.MaySetTierQuota: func(ctx context.Context, req daap.Request) error {
			return second(tiers.SetQuota(ctx, req, id, daap.Quota{}))
		},
		daap.MayGetFleet: func(ctx context.Context, req daap.Request) error { return second(databases.Fleet(ctx, req)) },
		daap.MayListExtensions: func(ctx context.Context, req daap.Request) error {
			return second(daap.NewExtensions(nil).List(ctx, req, daap.ExtensionFilter{}))
		},
		daap.MayListOrphans: func(ctx context.Context, req daap.Request) error {
			return third(orphans.List(ctx, req, daap.OrphanFilter{}))
		},
		daap.MayRemoveOrphan: func(ctx context.Context, req daap.Request) error { return second(orphans.Remove(ctx, req, id)) },
		daap.MayListAPIKeys: func(ctx context.Context, req daap.Request) error {
			return third(keys.List(ctx, req, daap.APIKeyFilter{}))
		},
		daap.MayCreateAPIKey: func(ctx context.Context, req daap.Request) error {
			return second(keys.Create(ctx, req, daap.APIKeySpec{}))
		},
		daap.MayRevokeAPIKey: func(ctx context.Context, req daap.Request) error { return second(keys.Revoke(ctx, req, id)) },
		daap.MayRotateAPIKey: func(ctx context.Context, req daap.Request) error { return second(keys.Rotate(ctx, req, id, 0)) },
		daap.MayListAuditLogs: func(ctx context.Context, req daap.Request) error {
			return third(logs.List(ctx, req, daap.AuditFilter{}))
		},
		daap.MayExportAuditLogs: func(_ context.Context, req daap.Request) error { return second(logs.Export(req, daap.AuditFilter{})) },
	}
}

func TestUseCaseAuthorizesBeforeItReads(t *testing.T) {
	t.Parallel()
	cases := useCases()
	for _, permission := range daap.Permissions() {
		if permission.Access() == daap.AccessOpen {
			continue
		}
		use := cases[permission]
		if use == nil {
			t.Errorf("%s has no use case here", permission)
			continue
		}
		wantCode(t, string(permission)+" without a caller", use(t.Context(), daap.Request{}), daap.CodeUnauthenticated)
		unknown := daap.Request{Caller: daap.Caller{Team: "shop", Role: "root"}}
		wantCode(t, string(permission)+" of an unknown role", use(t.Context(), unknown), daap.CodeForbidden)
		if permission.Access() == daap.AccessPlatform {
			wantCode(t, string(permission)+" of a product team", use(t.Context(), product), daap.CodeForbidden)
		}
	}
}

func wantCode(t *testing.T, what string, err error, want daap.Code) {
	t.Helper()
	if e := daap.AsError(err); e == nil || e.Code != want {
		t.Errorf("%s = %v, want %s", what, err, want)
	}
}

func TestProductTeamCreatesOnlyItsOwnDatabases(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		by          daap.Request
		named, want string
	}{
		"product team, none named":     {product, "", "shop"},
		"product team, its own":        {product, "shop", "shop"},
		"product team, another":        {product, "billing", ""},
		"product team, no team's":      {product, "NO", ""},
		"platform team, none named":    {platform, "", "platform"},
		"platform team, another":       {platform, "billing", "billing"},
		"a product key without a team": {daap.Request{Caller: daap.Caller{Role: daap.RoleProductTeam}}, "billing", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			db, op, err := s.databases().Create(t.Context(), tt.by,
				daap.DatabaseSpec{Name: "orders", OwnerTeam: tt.named, Tier: "medium"})
			if tt.want == "" {
				wantCode(t, "Create()", err, daap.CodeForbidden)
				if s.recorded() > 0 {
					t.Error("an operation is recorded all the same")
				}
				return
			}
			if err != nil || db.OwnerTeam != tt.want || op.Origin.Actor != tt.by.Caller.String() {
				t.Errorf("Create() = of team %q for %q, %v; want of %q", db.OwnerTeam, op.Origin.Actor, err, tt.want)
			}
		})
	}
}

func TestZeroScopeCoversNothing(t *testing.T) {
	t.Parallel()
	for _, team := range []string{"", "shop"} {
		if (daap.Scope{}).Covers(team) {
			t.Errorf("the zero scope covers team %q", team)
		}
	}
	if !daap.EveryTeam.Covers("shop") || !daap.OfTeam("shop").Covers("shop") || daap.OfTeam("shop").Covers("billing") {
		t.Error("a scope covers what it should not, or does not what it should")
	}
}
