package persistence_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"github.com/daap-dev/daap"
)

func (f fixture) quota(q daap.Quota) {
	f.t.Helper()
	_, err := f.SetTierQuota(f.t.Context(), everyone, smallID, q)
	f.must(err)
}

func (f fixture) use() daap.QuotaUse {
	f.t.Helper()
	use, err := f.TierQuota(f.t.Context(), smallID)
	f.must(err)
	return use
}

func ptr[T any](v T) *T { return &v }

func (s suite) ManyCreatesAtOnceMakeAsManyAsTheQuotaAllows(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	const asked, allowed = 64, 10
	f.quota(daap.Quota{MaxDatabases: ptr(allowed)})
	errs := atOnce(t.Context(), asked, func(ctx context.Context, i int) error {
		db, op := newDatabase(t, "shop", fmt.Sprintf("db-%d", i))
		_, _, err := f.CreateDatabase(ctx, everyone, db, nil, op)
		return err
	})
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
			continue
		}
		wantCode(t, err, daap.CodeQuotaExceeded)
	}
	if made != allowed || f.use().Used.Databases != allowed {
		t.Errorf("%d of %d were made and %d are counted, want %d", made, asked, f.use().Used.Databases, allowed)
	}
	f.must(f.CheckQuotas(t.Context()))
}

func (s suite) QuotaNamesWhatHasNoRoom(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.created("shop", "orders") // 500m, 512Mi, 1Gi
	f.quota(daap.Quota{MaxCPUCores: ptr(0.9), MaxMemoryGiB: ptr(1.0), MaxStorageGiB: ptr(1.5)})
	db, op := newDatabase(t, "shop", "carts")
	_, _, err := f.CreateDatabase(t.Context(), everyone, db, nil, op)
	e := daap.AsError(err)
	if e == nil || e.Code != daap.CodeQuotaExceeded || len(e.Details) != 2 || e.Details[0].Field != "cpu" || e.Details[1].Field != "storage" ||
		!strings.Contains(e.Details[0].Message, "limit of 0.9 cores; 0.5 are in use, and the request needs 0.5") {
		t.Errorf("CreateDatabase() = %+v, want cpu and storage named", e)
	}
	_, err = f.Database(t.Context(), daap.EveryTeam, db.ID)
	wantCode(t, err, daap.CodeNotFound)
	f.must(f.CheckQuotas(t.Context()))
}

func (s suite) WhatIsReservedIsFreedOnceHoweverTheDatabaseEnds(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.deleted("gone")
	_, op := f.created("shop", "cancelled")
	_, err := f.CancelPending(t.Context(), daap.EveryTeam, op.ID, cancel)
	f.must(err)
	_, aborted := f.running("shop", "aborted")
	f.must(f.CancelOperation(t.Context(), aborted.ID, abort))
	for range 2 { // twice is once
		f.must(f.FinishCancel(t.Context(), aborted.ID))
	}
	taken, _ := f.running("shop", "taken-over")
	deletion := f.accepted(daap.DeleteDatabase, taken.ID)
	want(t, "databases while one is being deleted", f.use().Used.Databases, int64(1))
	f.must(f.BeginOperation(t.Context(), deletion.ID, false))
	for range 2 {
		f.must(f.FinishOperation(t.Context(), deletion.ID))
	}
	want(t, "use in the end", f.use().Used, daap.Cost{})
	f.must(f.CheckQuotas(t.Context()))
}

func (s suite) QuotaBelowWhatIsUsedIsTakenAndStopsNewDatabases(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.created("shop", "orders")
	f.quota(daap.Quota{MaxDatabases: ptr(0)})
	if use := f.use(); !use.OverCommitted() {
		t.Errorf("%+v is not over-committed", use)
	}
	db, op := newDatabase(t, "shop", "carts")
	_, _, err := f.CreateDatabase(t.Context(), everyone, db, nil, op)
	wantCode(t, err, daap.CodeQuotaExceeded)
	f.quota(daap.Quota{})
	_, _, err = f.CreateDatabase(t.Context(), everyone, db, nil, op)
	f.must(err)
	_, err = f.SetTierQuota(t.Context(), everyone, uuid.New(), daap.Quota{})
	wantCode(t, err, daap.CodeNotFound)
}

func TestDriftOfQuotasIsFound(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"a counter":     `UPDATE tier_usage SET cpu_millis = cpu_millis + 1`,
		"a reservation": `DELETE FROM reservations`,
	} {
		f := newFixture(t)
		f.created("shop", "orders")
		f.must(f.CheckQuotas(t.Context()))
		f.exec(sql)
		if err := f.CheckQuotas(t.Context()); err == nil || !strings.Contains(err.Error(), "small") {
			t.Errorf("%s: CheckQuotas() = %v, want the tier named", name, err)
		}
	}
}

// tier makes a tier of the profile of the small one, as change makes it.
func (f fixture) tier(name string, change func(*daap.Profile)) daap.Tier {
	f.t.Helper()
	tier := newTier(f.t, name)
	change(&tier.Profile)
	made, err := f.CreateTier(f.t.Context(), everyone, tier)
	f.must(err)
	return made
}

func (f fixture) useOf(tier uuid.UUID) daap.Cost {
	f.t.Helper()
	use, err := f.TierQuota(f.t.Context(), tier)
	f.must(err)
	return use.Used
}

func (s suite) UpdateReservesTheNewTierAndFreesTheOldOneWhenItIsOver(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	large := f.tier("large", func(p *daap.Profile) { p.Instances, p.StorageSize = 2, resource.MustParse("5Gi") })
	small := f.useOfOne()
	for end, finish := range map[string]func(op daap.Operation){
		"succeeded": func(op daap.Operation) {
			f.must(f.BeginOperation(t.Context(), op.ID, false))
			for range 2 { // twice is once
				f.must(f.FinishOperation(t.Context(), op.ID))
			}
		},
		"given up": func(op daap.Operation) {
			f.must(f.BeginOperation(t.Context(), op.ID, false))
			f.must(f.CancelOperation(t.Context(), op.ID, abort))
			for range 2 {
				f.must(f.FinishCancel(t.Context(), op.ID))
			}
		},
		"cancelled before it began": func(op daap.Operation) {
			_, err := f.CancelPending(t.Context(), daap.EveryTeam, op.ID, cancel)
			f.must(err)
		},
		"taken over": func(op daap.Operation) {
			deletion := f.accepted(daap.DeleteDatabase, op.DatabaseID)
			want(t, "use of the new tier once a deletion took over", f.useOf(large.ID), daap.Cost{})
			f.must(f.BeginOperation(t.Context(), deletion.ID, false))
			f.must(f.FinishOperation(t.Context(), deletion.ID))
		},
	} {
		db, _ := f.ready("shop", strings.ReplaceAll(end, " ", "-"))
		op := f.updating(db.ID, "large")
		want(t, "use of both while it is under way", []daap.Cost{f.useOf(smallID), f.useOf(large.ID)}, []daap.Cost{small, large.Cost()})
		f.must(f.CheckQuotas(t.Context()))
		_, err := f.DeleteTier(t.Context(), everyone, large.ID)
		wantCode(t, err, daap.CodeTierInUse)
		finish(op)
		uses, tier := []daap.Cost{small, {}}, "small"
		switch end {
		case "succeeded":
			uses, tier = []daap.Cost{{}, large.Cost()}, "large"
		case "taken over":
			uses = []daap.Cost{{}, {}}
		}
		got := f.database(db.ID)
		want(t, "use of both once it is "+end, []daap.Cost{f.useOf(smallID), f.useOf(large.ID)}, uses)
		want(t, "tier once it is "+end, got.Tier, tier)
		if tier == "large" && (!got.Has(large) || got.Status != daap.DatabaseReady) {
			t.Errorf("the database is %s with %+v, want ready with all of %+v", got.Status, got.Profile, large.Profile)
		}
		f.must(f.CheckQuotas(t.Context()))
		if got.Status != daap.DatabaseDeleted {
			deletion := f.accepted(daap.DeleteDatabase, db.ID)
			f.must(f.BeginOperation(t.Context(), deletion.ID, false))
			f.must(f.FinishOperation(t.Context(), deletion.ID))
		}
	}
}

// useOfOne is what one database of the small tier uses.
func (f fixture) useOfOne() daap.Cost {
	f.t.Helper()
	tier, err := f.Tier(f.t.Context(), smallID)
	f.must(err)
	return tier.Cost()
}

func (s suite) UpdateWithinItsTierReservesOnlyWhatIsMore(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.ready("shop", "orders")
	f.quota(daap.Quota{MaxDatabases: ptr(1), MaxCPUCores: ptr(0.75), MaxMemoryGiB: ptr(0.25)}) // memory is over-committed
	cpu, memory := "750m", "256Mi"
	_, err := f.PatchTier(t.Context(), everyone, smallID, daap.TierPatch{"cpu": cpu, "memory": memory}, daap.Catalog{"17": "pg"})
	f.must(err)
	op := f.updating(db.ID, "small")
	want(t, "use while it is under way", f.use().Used, daap.Cost{CPUMillis: 750, MemoryBytes: 512 << 20, StorageBytes: 1 << 30, Databases: 1})
	f.must(f.CheckQuotas(t.Context()))
	f.must(f.BeginOperation(t.Context(), op.ID, false))
	f.must(f.FinishOperation(t.Context(), op.ID))
	want(t, "use when it is over", f.use().Used, daap.Cost{CPUMillis: 750, MemoryBytes: 256 << 20, StorageBytes: 1 << 30, Databases: 1})
	f.must(f.CheckQuotas(t.Context()))

	cpu = "800m"
	_, err = f.PatchTier(t.Context(), everyone, smallID, daap.TierPatch{"cpu": cpu}, daap.Catalog{"17": "pg"})
	f.must(err)
	_, _, err = f.PatchDatabase(t.Context(), everyone, db.ID, daap.DatabasePatch{Tier: ptr("small")}, newOperation(t, daap.UpdateDatabase, db.ID))
	if e := daap.AsError(err); e == nil || e.Code != daap.CodeQuotaExceeded || len(e.Details) != 1 || e.Details[0].Field != "cpu" {
		t.Errorf("beyond the quota = %+v, want cpu alone named", e)
	}
	want(t, "status after a refusal", f.database(db.ID).Status, daap.DatabaseReady)
}

func (s suite) UpdateThatCannotBeIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("wide", func(p *daap.Profile) { p.StorageClass = "slow" })
	f.tier("less", func(p *daap.Profile) { p.PGVersion = "16" })
	f.tier("full", func(p *daap.Profile) { p.CPU = resource.MustParse("64") })
	full, err := f.Tiers(t.Context(), daap.TierFilter{Page: daap.Page{Limit: 1}})
	f.must(err)
	_, err = f.SetTierQuota(t.Context(), everyone, full[0].ID, daap.Quota{MaxCPUCores: ptr(1.0)})
	f.must(err)
	db, _ := f.ready("shop", "orders")
	text, before := "changed", inJSON(t, f.database(db.ID))
	for tier, code := range map[string]daap.Code{
		"none": daap.CodeValidationFailed, "wide": daap.CodeValidationFailed, "less": daap.CodeValidationFailed,
		"full": daap.CodeQuotaExceeded,
	} {
		_, _, err := f.PatchDatabase(t.Context(), everyone, db.ID, daap.DatabasePatch{Tier: &tier, Description: &text},
			newOperation(t, daap.UpdateDatabase, db.ID))
		wantCode(t, err, code)
	}
	if after := inJSON(t, f.database(db.ID)); after != before {
		t.Errorf("the database is\n%s\nwant\n%s", after, before)
	}
	busy, _ := f.created("shop", "busy")
	_, _, err = f.PatchDatabase(t.Context(), everyone, busy.ID, daap.DatabasePatch{Tier: ptr("wide")}, newOperation(t, daap.UpdateDatabase, busy.ID))
	wantCode(t, err, daap.CodeDatabaseBusy)
	f.must(f.CheckQuotas(t.Context()))
}

func (s suite) TierThatADatabaseHasAllOfTakesNoTime(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.ready("shop", "orders")
	for _, named := range []string{"small", smallID.String()} {
		_, op, err := f.PatchDatabase(t.Context(), everyone, db.ID, daap.DatabasePatch{Tier: &named}, newOperation(t, daap.UpdateDatabase, db.ID))
		if err != nil || op != nil {
			t.Errorf("PatchDatabase(%s) = %v, %v, want no operation", named, op, err)
		}
	}
}

func TestDryRunComesToTheSameAndLeavesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.tier("large", func(p *daap.Profile) { p.Instances = 3 })
	ready, _ := f.ready("shop", "orders")
	dry := everyone
	dry.DryRun, dry.Once = true, daap.Once{Key: "a"}
	tables := []string{"databases", "operations", "operation_steps", "events", "reservations", "tier_usage", "audit_log", "idempotency_keys"}
	all := func() string {
		t.Helper()
		var rows []string
		for _, table := range tables {
			var text *string
			f.must(f.pool.QueryRow(t.Context(), `SELECT string_agg(x::text, E'\n' ORDER BY x::text) FROM `+table+` x`).Scan(&text))
			rows = append(rows, inJSON(t, text))
		}
		return strings.Join(rows, "\n")
	}
	before := all()
	db, op := newDatabase(t, "shop", "carts")
	made, _, err := f.CreateDatabase(t.Context(), dry, db, nil, op)
	if err != nil || made.Tier != "small" || made.Profile.PGVersion != "17" {
		t.Errorf("CreateDatabase() = %+v, %v", made, err)
	}
	db, op = newDatabase(t, "shop", "orders")
	_, _, err = f.CreateDatabase(t.Context(), dry, db, nil, op)
	wantCode(t, err, daap.CodeNameTaken)
	_, update, err := f.PatchDatabase(t.Context(), dry, ready.ID, daap.DatabasePatch{Tier: ptr("large")}, newOperation(t, daap.UpdateDatabase, ready.ID))
	if err != nil || update == nil || update.Tier.Instances != 3 {
		t.Errorf("PatchDatabase() = %+v, %v", update, err)
	}
	if after := all(); after != before {
		t.Errorf("there is\n%s\nwant\n%s", after, before)
	}
}

func (s suite) DryRunLeavesNothing(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("large", func(p *daap.Profile) { p.Instances = 3 })
	ready, _ := f.ready("shop", "orders")
	dry := once("a", 1)
	dry.DryRun = true
	all := func() string {
		t.Helper()
		page := daap.Page{Limit: 100}
		dbs, err := f.Databases(t.Context(), daap.EveryTeam, daap.DatabaseFilter{Page: page})
		f.must(err)
		ops, err := f.Operations(t.Context(), daap.EveryTeam, daap.OperationFilter{Page: page})
		f.must(err)
		entries, err := f.AuditEntries(t.Context(), daap.AuditFilter{Page: page})
		f.must(err)
		tiers, err := f.Tiers(t.Context(), daap.TierFilter{Page: page})
		f.must(err)
		return inJSON(t, []any{dbs, ops, entries, tiers, f.happened(ready.ID), f.use()})
	}
	before := all()
	db, op := newDatabase(t, "shop", "carts")
	made, _, err := f.CreateDatabase(t.Context(), dry, db, nil, op)
	if err != nil || made.Tier != "small" || made.Profile.PGVersion != "17" {
		t.Errorf("CreateDatabase() = %+v, %v", made, err)
	}
	_, update, err := f.PatchDatabase(t.Context(), dry, ready.ID, daap.DatabasePatch{Tier: ptr("large")}, newOperation(t, daap.UpdateDatabase, ready.ID))
	if err != nil || update == nil || update.Tier.Instances != 3 {
		t.Errorf("PatchDatabase() = %+v, %v", update, err)
	}
	_, _, err = f.AcceptOperation(t.Context(), dry, newOperation(t, daap.DeleteDatabase, ready.ID))
	f.must(err)
	_, err = f.CreateTier(t.Context(), dry, newTier(t, "another"))
	f.must(err)
	want(t, "everything", all(), before)
	f.must(f.CheckQuotas(t.Context()))
	_, found, err := f.Remembered(t.Context(), once("a", 2))
	f.must(err)
	want(t, "the key is used", found, false)
}

func (s suite) UpdatesThatCrossEachOtherBothFinish(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.tier("large", func(p *daap.Profile) { p.CPU = resource.MustParse("1") })
	const pairs = 8
	var ops []daap.Operation
	for i := range pairs {
		there, _ := f.ready("shop", fmt.Sprintf("there-%d", i))
		back, _ := f.ready("shop", fmt.Sprintf("back-%d", i))
		first := f.updating(back.ID, "large")
		f.must(f.BeginOperation(t.Context(), first.ID, false))
		f.must(f.FinishOperation(t.Context(), first.ID))
		ops = append(ops, f.updating(there.ID, "large"), f.updating(back.ID, "small"))
	}
	for _, op := range ops {
		f.must(f.BeginOperation(t.Context(), op.ID, false))
	}
	for _, err := range atOnce(t.Context(), len(ops), func(ctx context.Context, i int) error { return f.FinishOperation(ctx, ops[i].ID) }) {
		f.must(err)
	}
	f.must(f.CheckQuotas(t.Context()))
	want(t, "databases of the small tier", f.use().Used.Databases, int64(pairs))
}

// TestUseIsTheSumOfCostsWhateverHappens lets things happen in any order to databases of two tiers, whose storage does
// not grow, so that they go both ways.
func (s suite) UseIsTheSumOfCostsWhateverHappens(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.quota(daap.Quota{MaxDatabases: ptr(6), MaxCPUCores: ptr(2.5)})
	large := f.tier("large", func(p *daap.Profile) { p.Instances = 2 })
	_, err := f.SetTierQuota(t.Context(), everyone, large.ID, daap.Quota{MaxDatabases: ptr(3)})
	f.must(err)
	live := map[uuid.UUID]daap.Operation{} // by database, the operation that holds it or did last
	rapid.Check(t, func(rt *rapid.T) {
		some := func() (uuid.UUID, daap.Operation) {
			ids := slices.SortedFunc(maps.Keys(live), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
			if len(ids) == 0 {
				rt.Skip("there is none")
			}
			id := rapid.SampledFrom(ids).Draw(rt, "database")
			return id, live[id]
		}
		ignore := func(error) {} // what an operation is not in the state for is refused, and changes nothing
		rt.Repeat(map[string]func(*rapid.T){
			"create": func(*rapid.T) {
				db, op := newDatabase(t, "shop", "a"+strings.ReplaceAll(uuid.NewString(), "-", "")[:20])
				_, _, err := f.CreateDatabase(t.Context(), everyone, db, nil, op)
				if err == nil {
					live[db.ID] = op
				} else if e := daap.AsError(err); e == nil || e.Code != daap.CodeQuotaExceeded {
					rt.Fatal(err)
				}
			},
			"begin":  func(*rapid.T) { _, op := some(); ignore(f.BeginOperation(t.Context(), op.ID, false)) },
			"finish": func(*rapid.T) { _, op := some(); ignore(f.FinishOperation(t.Context(), op.ID)) },
			"park":   func(*rapid.T) { _, op := some(); ignore(f.ParkOperation(t.Context(), op.ID, daap.StepCluster, failed)) },
			"resume": func(*rapid.T) { _, op := some(); ignore(f.ResumeOperation(t.Context(), op.ID, retry)) },
			"abort":  func(*rapid.T) { _, op := some(); ignore(f.CancelOperation(t.Context(), op.ID, abort)) },
			"undone": func(*rapid.T) { _, op := some(); ignore(f.FinishCancel(t.Context(), op.ID)) },
			"cancel": func(*rapid.T) {
				_, op := some()
				_, err := f.CancelPending(t.Context(), daap.EveryTeam, op.ID, cancel)
				ignore(err)
			},
			"update": func(*rapid.T) {
				id, _ := some()
				tier := rapid.SampledFrom([]string{"small", "large"}).Draw(rt, "tier")
				_, op, err := f.PatchDatabase(t.Context(), everyone, id, daap.DatabasePatch{Tier: &tier}, newOperation(t, daap.UpdateDatabase, id))
				if err == nil && op != nil {
					live[id] = *op
				}
			},
			"delete": func(*rapid.T) {
				id, _ := some()
				if _, op, err := f.AcceptOperation(t.Context(), everyone, newOperation(t, daap.DeleteDatabase, id)); err == nil {
					live[id] = op
				}
			},
			"": func(rt *rapid.T) {
				if err := f.CheckQuotas(t.Context()); err != nil {
					rt.Fatal(err)
				}
				for _, tier := range []uuid.UUID{smallID, large.ID} {
					use, err := f.TierQuota(t.Context(), tier)
					if err != nil || use.OverCommitted() {
						rt.Fatalf("%+v is over-committed, or %v", use, err)
					}
				}
			},
		})
	})
}
