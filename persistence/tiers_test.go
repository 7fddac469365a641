package persistence_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/daap-dev/daap"
)

var catalog = daap.Catalog{"17": "localhost/postgresql:17"}

func (s suite) TierIsKeptAsItWasAskedFor(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	asked := newTier(t, "large")
	asked.Description, asked.CPU, asked.StorageClass = "For the shop", resource.MustParse("1.5"), "fast"
	asked.PGAuditLog = []daap.PGAuditClass{daap.PGAuditDDL, daap.PGAuditRole, daap.PGAuditWrite}
	made, err := f.CreateTier(t.Context(), everyone, asked)
	f.must(err)
	kept, err := f.Tier(t.Context(), made.ID)
	f.must(err)
	want(t, "tier", kept, made)
	want(t, "as asked for", kept.Values(), asked.Values())
	_, err = f.CreateTier(t.Context(), everyone, newTier(t, "large"))
	wantCode(t, err, daap.CodeNameTaken)

	more := "2Gi"
	patched, err := f.PatchTier(t.Context(), everyone, made.ID, daap.TierPatch{"memory": more}, catalog)
	f.must(err)
	want(t, "memory", patched.Memory.String(), more)
	entries := f.logged(made.ID)
	want(t, "before of the patch", entries[1].Before, map[string]any{"memory": "512Mi"})
	want(t, "after of the patch", entries[1].After, map[string]any{"memory": "2Gi"})

	none := "lots"
	_, err = f.PatchTier(t.Context(), everyone, made.ID, daap.TierPatch{"cpu": none}, catalog)
	wantCode(t, err, daap.CodeValidationFailed)
	_, err = f.PatchTier(t.Context(), everyone, uuid.New(), daap.TierPatch{}, catalog)
	wantCode(t, err, daap.CodeNotFound)
	all, err := f.Tiers(t.Context(), daap.TierFilter{Page: daap.Page{Limit: 10}})
	f.must(err)
	want(t, "newest first", all[0].ID, made.ID)
}

func (s suite) DatabaseKeepsItsTierAsItWas(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.ready("shop", "orders")
	want(t, "tier", db.Tier, "small")
	more := "2Gi"
	_, err := f.PatchTier(t.Context(), everyone, *db.TierID, daap.TierPatch{"memory": more}, catalog)
	f.must(err)
	want(t, "profile", f.database(db.ID).Profile, db.Profile)
	later, _ := f.created("shop", "carts")
	want(t, "memory of the next", later.Profile.Memory.String(), more)
}

func (s suite) TierThatIsNotThereIsRefused(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	for _, named := range []string{"nowhere", uuid.NewString(), ""} {
		db, op := newDatabase(t, "shop", "orders")
		db.Tier = named
		_, _, err := f.CreateDatabase(t.Context(), everyone, db, nil, op)
		wantCode(t, err, daap.CodeValidationFailed)
	}
}

func (s suite) TierGoesOnceNoDatabaseHasIt(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.ready("shop", "orders")
	tier := *db.TierID
	_, err := f.DeleteTier(t.Context(), everyone, tier)
	wantCode(t, err, daap.CodeTierInUse)
	op := f.accepted(daap.DeleteDatabase, db.ID)
	_, err = f.DeleteTier(t.Context(), everyone, tier)
	wantCode(t, err, daap.CodeTierInUse)
	f.must(f.BeginOperation(t.Context(), op.ID, false))
	f.must(f.FinishOperation(t.Context(), op.ID))
	_, err = f.DeleteTier(t.Context(), everyone, tier)
	f.must(err)
	gone := f.database(db.ID)
	if gone.TierID != nil || gone.Tier != "small" {
		t.Errorf("the deleted database has tier %s %v, want its name alone", gone.Tier, gone.TierID)
	}
	_, err = f.DeleteTier(t.Context(), everyone, tier)
	wantCode(t, err, daap.CodeNotFound)
}

func (s suite) DatabaseAndTheEndOfItsTierDoNotMeet(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	for range 20 {
		tier, err := f.CreateTier(t.Context(), everyone, newTier(t, "fleeting"))
		f.must(err)
		db, op := newDatabase(t, "shop", "orders")
		db.Tier = "fleeting"
		errs := atOnce(t.Context(), 2, func(ctx context.Context, i int) error {
			if i == 0 {
				_, err := f.DeleteTier(ctx, everyone, tier.ID)
				return err
			}
			_, _, err := f.CreateDatabase(ctx, everyone, db, nil, op)
			return err
		})
		switch removed, made := errs[0], errs[1]; {
		case removed == nil:
			wantCode(t, made, daap.CodeValidationFailed)
		case made == nil:
			wantCode(t, removed, daap.CodeTierInUse)
			_, err := f.CancelPending(t.Context(), daap.EveryTeam, op.ID, cancel)
			f.must(err)
			_, err = f.DeleteTier(t.Context(), everyone, tier.ID)
			f.must(err)
		default:
			t.Fatalf("both failed: %v, %v", removed, made)
		}
	}
}
