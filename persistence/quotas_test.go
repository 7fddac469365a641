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

func TestManyCreatesAtOnceMakeAsManyAsTheQuotaAllows(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const asked, allowed = 64, 10
	f.quota(daap.Quota{MaxDatabases: ptr(allowed)})
	errs := atOnce(t.Context(), asked, func(ctx context.Context, i int) error {
		db, op := newDatabase(t, "shop", fmt.Sprintf("db-%d", i))
		_, _, err := f.CreateDatabase(ctx, everyone, db, op)
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

func TestQuotaNamesWhatHasNoRoom(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.created("shop", "orders") // 500m, 512Mi, 1Gi
	f.quota(daap.Quota{MaxCPUCores: ptr(0.9), MaxMemoryGiB: ptr(1.0), MaxStorageGiB: ptr(1.5)})
	db, op := newDatabase(t, "shop", "carts")
	_, _, err := f.CreateDatabase(t.Context(), everyone, db, op)
	e := daap.AsError(err)
	if e == nil || e.Code != daap.CodeQuotaExceeded || len(e.Details) != 2 || e.Details[0].Field != "cpu" || e.Details[1].Field != "storage" ||
		!strings.Contains(e.Details[0].Message, "limit of 0.9 cores; 0.5 are used and 0.5 are asked for") {
		t.Errorf("CreateDatabase() = %+v, want cpu and storage named", e)
	}
	_, err = f.Database(t.Context(), daap.EveryTeam, db.ID)
	wantCode(t, err, daap.CodeNotFound)
	f.must(f.CheckQuotas(t.Context()))
}

func TestWhatIsReservedIsFreedOnceHoweverTheDatabaseEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
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

func TestQuotaBelowWhatIsUsedIsTakenAndStopsNewDatabases(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.created("shop", "orders")
	f.quota(daap.Quota{MaxDatabases: ptr(0)})
	if use := f.use(); !use.OverCommitted() {
		t.Errorf("%+v is not over-committed", use)
	}
	db, op := newDatabase(t, "shop", "carts")
	_, _, err := f.CreateDatabase(t.Context(), everyone, db, op)
	wantCode(t, err, daap.CodeQuotaExceeded)
	f.quota(daap.Quota{})
	_, _, err = f.CreateDatabase(t.Context(), everyone, db, op)
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

// TestUseIsTheSumOfCostsWhateverHappens lets things happen in any order to databases of one tier.
func TestUseIsTheSumOfCostsWhateverHappens(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.quota(daap.Quota{MaxDatabases: ptr(6), MaxCPUCores: ptr(2.5)})
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
				_, _, err := f.CreateDatabase(t.Context(), everyone, db, op)
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
				if use := f.use(); use.OverCommitted() {
					rt.Fatalf("%+v is over-committed", use)
				}
			},
		})
	})
}
