package daap_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/daap-dev/daap"
)

// medium is a tier with something of everything.
func medium() daap.Tier {
	return daap.Tier{ID: uuid.MustParse("0190a0a0-0000-7000-8000-00000000000b"), Name: "medium", Profile: daap.Profile{
		Instances: 3, HAReplicas: 1, CPU: resource.MustParse("1"), Memory: resource.MustParse("2Gi"),
		StorageSize: resource.MustParse("10Gi"), PGVersion: "17", PoolMode: daap.PoolTransaction, MaxConnections: 100,
		DestructionStrategy: daap.StrategyHardDelete,
	}}
}

func TestTierChangeIsCheckedForTheDatabase(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*daap.Tier)
		why    string
	}{
		"the same":          {func(*daap.Tier) {}, ""},
		"less of the rest":  {func(t *daap.Tier) { t.Instances, t.HAReplicas, t.CPU = 1, 0, resource.MustParse("100m") }, ""},
		"more storage":      {func(t *daap.Tier) { t.StorageSize = resource.MustParse("11Gi") }, ""},
		"a newer version":   {func(t *daap.Tier) { t.PGVersion = "18" }, ""},
		"less storage":      {func(t *daap.Tier) { t.StorageSize = resource.MustParse("9Gi") }, "volumes cannot shrink"},
		"another class":     {func(t *daap.Tier) { t.StorageClass = "fast" }, "another storage class"},
		"an older version":  {func(t *daap.Tier) { t.PGVersion = "16" }, "PostgreSQL 16, older than the database's 17"},
		"backups":           {func(t *daap.Tier) { t.Backups = daily }, ""},
		"an ancient number": {func(t *daap.Tier) { t.PGVersion = "9" }, "PostgreSQL 9, older than the database's 17"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := medium()
			tt.change(&to)
			err := daap.Database{}.With(medium()).CheckTier(to)
			if tt.why == "" {
				if err != nil {
					t.Errorf("CheckTier() = %v, want nil", err)
				}
				return
			}
			if e := daap.AsError(err); e == nil || e.Code != daap.CodeValidationFailed || e.Details[0].Field != "tier" ||
				!strings.Contains(e.Message, tt.why) {
				t.Errorf("CheckTier() = %v, want %q", err, tt.why)
			}
		})
	}
}

// daily is how a tier backs up.
var daily = daap.Backups{
	BackupEnabled: true, BackupFrequency: "0 2 * * *", BackupRetentionDays: 14, WALArchivingEnabled: true,
	ObjectStorageDestination: "s3://backups/shop",
}

func TestDatabaseKeepsItsBackups(t *testing.T) {
	t.Parallel()
	has := medium()
	has.Backups = daily
	for name, tt := range map[string]struct {
		change func(*daap.Backups)
		why    string
	}{
		"more often, for longer": {func(b *daap.Backups) { b.BackupFrequency, b.BackupRetentionDays = "0 * * * *", 30 }, ""},
		"no backups":             {func(b *daap.Backups) { *b = daap.Backups{} }, "would end them"},
		"another location":       {func(b *daap.Backups) { b.ObjectStorageDestination = "s3://other" }, "cannot be moved"},
	} {
		to := has
		tt.change(&to.Backups)
		err := daap.Database{}.With(has).CheckTier(to)
		if e := daap.AsError(err); tt.why == "" && err != nil || tt.why != "" && (e == nil || !strings.Contains(e.Message, tt.why)) {
			t.Errorf("%s: CheckTier() = %v, want %q", name, err, tt.why)
		}
	}
}

func TestDatabaseHasATierOnlyInItsCurrentDefinition(t *testing.T) {
	t.Parallel()
	db := daap.Database{}.With(medium())
	if !db.Has(medium()) {
		t.Error("a database does not have the tier that it was given")
	}
	for name, change := range map[string]func(*daap.Tier){
		"its id":   func(t *daap.Tier) { t.ID = uuid.New() },
		"its name": func(t *daap.Tier) { t.Name = "other" },
		"cpu":      func(t *daap.Tier) { t.CPU = resource.MustParse("1001m") },
	} {
		other := medium()
		change(&other)
		if db.Has(other) {
			t.Errorf("the database has a tier that differs in %s", name)
		}
	}
	same := medium()
	same.Memory = resource.MustParse("2048Mi")
	if !db.Has(same) {
		t.Error("the database does not have a tier that is written otherwise")
	}
	said := medium()
	said.PGAuditLog = []daap.PGAuditClass{daap.PGAuditDDL, daap.PGAuditRole}
	if !db.Has(said) {
		t.Error("a database from before tiers said what pgAudit logs does not have what it always logs")
	}
}

func TestIrreversibleChangesComeLast(t *testing.T) {
	t.Parallel()
	was, to := medium().Profile, medium().Profile
	to.Instances, to.HAReplicas, to.PGVersion, to.StorageSize = 5, 3, "18", resource.MustParse("20Gi")
	to.Memory = resource.MustParse("4Gi")
	first := was.ReversiblePart(to)
	if first.StorageSize.Cmp(was.StorageSize) != 0 || first.PGVersion != "17" || first.HAReplicas != 1 {
		t.Errorf("ReversiblePart() = %+v: it grows volumes, raises the version or waits for standbys that are not there", first)
	}
	if first.Instances != 5 || first.Memory.Cmp(to.Memory) != 0 {
		t.Errorf("ReversiblePart() = %+v: it leaves out what can be changed back", first)
	}
	to.Instances, to.HAReplicas = 1, 0
	if first := was.ReversiblePart(to); first.HAReplicas != 0 {
		t.Errorf("ReversiblePart() waits for %d standbys of a database that has none then", first.HAReplicas)
	}
}

func TestPreviewTellsWhatBecomesOfTheQuotas(t *testing.T) {
	t.Parallel()
	large := medium()
	large.ID, large.Name, large.CPU = uuid.New(), "large", resource.MustParse("4")
	more := medium()
	more.Memory = resource.MustParse("3Gi")
	limit := 100.0
	for name, tt := range map[string]struct {
		to   daap.Tier
		want map[string]daap.Cost
	}{
		"another tier":            {large, map[string]daap.Cost{"medium": {}, "large": large.Cost()}},
		"its own tier, refreshed": {more, map[string]daap.Cost{"medium": more.Cost()}},
		"nothing":                 {medium(), map[string]daap.Cost{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t)
			db := s.ready()
			if _, err := daap.NewTiers(s, nil, nil).SetQuota(t.Context(), platform, medium().ID, daap.Quota{MaxCPUCores: &limit}); err != nil {
				t.Fatal(err)
			}
			s.PutTier(large)
			s.PutTier(tt.to)
			before := s.recorded()
			preview, err := s.databases().PreviewUpdate(t.Context(), platform, db.ID, daap.DatabasePatch{Tier: &tt.to.Name})
			if err != nil || (preview.Operation == daap.UpdateDatabase) != (len(tt.want) > 0) {
				t.Fatalf("PreviewUpdate() = %+v, %v", preview, err)
			}
			if len(preview.Quotas) != len(tt.want) || s.recorded() != before || len(s.started) > 0 {
				t.Errorf("PreviewUpdate() = %+v; recorded %d, started %v", preview.Quotas, s.recorded()-before, s.started)
			}
			for _, effect := range preview.Quotas {
				if want, there := tt.want[effect.Tier]; !there || effect.Then != want || effect.After().MaxCPUCores != effect.Now.MaxCPUCores {
					t.Errorf("of tier %s %+v would be used, want %+v", effect.Tier, effect.Then, tt.want[effect.Tier])
				}
			}
		})
	}
}

func TestPreviewOfACreateShowsTheDatabase(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for role, tt := range map[string]struct {
		by         daap.Request
		told, kept string
	}{
		"platform team": {platform, "memory", "high_availability"},
		"product team":  {product, "high_availability", "memory"},
	} {
		preview, err := s.databases().PreviewCreate(t.Context(), tt.by, daap.DatabaseSpec{Name: "orders", Tier: "medium"})
		if err != nil || preview.Operation != daap.ProvisionDatabase || preview.Restarts || len(preview.Quotas) != 1 {
			t.Fatalf("%s: PreviewCreate() = %+v, %v", role, preview, err)
		}
		has := func(field string) bool {
			return slices.ContainsFunc(preview.Changes, func(c daap.FieldChange) bool { return c.Field == field && c.From == nil })
		}
		if !has("name") || !has("tier") || !has(tt.told) || has(tt.kept) {
			t.Errorf("%s: told %+v, want %s and not %s", role, preview.Changes, tt.told, tt.kept)
		}
	}
	if s.recorded() > 0 || len(s.started) > 0 {
		t.Errorf("recorded %d and started %v", s.recorded(), s.started)
	}
}

func TestImmediateUpdateStartsNoOperation(t *testing.T) {
	t.Parallel()
	s, large, text := newStore(t), medium(), "more"
	large.ID, large.Name, large.CPU = uuid.New(), "large", resource.MustParse("4")
	s.PutTier(large)
	db, databases := s.ready(), s.databases()
	if _, op, err := databases.Update(t.Context(), platform, db.ID, daap.DatabasePatch{Description: &text}); err != nil || op != nil || len(s.started) > 0 {
		t.Errorf("Update() of a description = %v, %v; started %v", op, err, s.started)
	}
	_, op, err := databases.Update(t.Context(), platform, db.ID, daap.DatabasePatch{Tier: &large.Name})
	if err != nil || op == nil || !slices.Equal(s.started, []uuid.UUID{op.ID}) || len(s.unrecorded) > 0 {
		t.Errorf("Update() of the tier = %v, %v; started %v, %v of them unrecorded", op, err, s.started, s.unrecorded)
	}
	s.fill()
	_, op, err = databases.Update(t.Context(), platform, db.ID, daap.DatabasePatch{Tier: &large.Name})
	if wantCode(t, "Update() above the backlog", err, daap.CodeUnavailable); op != nil {
		t.Errorf("Update() above the backlog = %v", op)
	}
}

func TestQuotaCheckReportsDriftUntilItIsGone(t *testing.T) {
	t.Parallel()
	found := &checked{}
	check := daap.NewQuotaCheck(found, func(error) {})
	for _, step := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{daap.ErrQuotaDrift, true},
		{daap.Unavailable("PostgreSQL is down."), true},
		{nil, false},
		{daap.Unavailable("PostgreSQL is down."), false},
	} {
		found.err = step.err
		if err := check.Check(t.Context()); err != step.err { //nolint:errorlint // it is handed through
			t.Errorf("Look() = %v, want %v", err, step.err)
		}
		if err := check.Probe(t.Context()); (err != nil) != step.want {
			t.Errorf("after %v: Probe() = %v, want drift %t", step.err, err, step.want)
		}
	}
}

// checked is what a check of quotas finds.
type checked struct{ err error }

func (c *checked) CheckQuotas(context.Context) error { return c.err }
