//go:build e2e

package e2e

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// outage returns how long the object store hangs, and within what time the API must say that nothing is archived. The
// long form waits for the schedule that looks at backups, which is a minute.
func outage() (lasts, toldWithin time.Duration) {
	if isLong() {
		return 10 * time.Minute, 2 * time.Minute
	}
	return time.Minute, time.Minute
}

func TestObjectStoreThatHangsIsToldAndCaughtUpWith(t *testing.T) {
	giveBack := queue.stopObjectStore(t)
	parallel(t, long)
	ctx := t.Context()
	lasts, toldWithin := outage()
	keepingTier(ctx, t, "e2e-away")
	db, operation := createOn(ctx, t, "e2e-away", "e2e", "away")
	succeed(ctx, t, operation)
	psql := psqlOf(ctx, t, db.ID)

	thaw := freeze(ctx, t, "minio")
	frozen := time.Now()
	if _, err := psql.Run(ctx, written); err != nil {
		t.Fatalf("write while nothing is archived: %v", err)
	}
	asSuperuser(ctx, t, db.ID, `SELECT pg_switch_wal()`)
	if _, err := psql.Run(ctx, `INSERT INTO clock VALUES (1001, clock_timestamp())`); err != nil {
		t.Fatalf("write while nothing is archived: %v", err)
	}
	want, err := psql.Run(ctx, checksum)
	if err != nil {
		t.Fatal(err)
	}
	during, duringOp := createOn(ctx, t, "e2e-away", "e2e", "begun-while-away")
	healthBecomes(ctx, t, db.ID, oas.BackupHealthFailing, "daap-e2e")
	told := time.Since(frozen)
	if told > toldWithin {
		t.Errorf("it was told after %s that nothing is archived, want within %s", told.Round(time.Second), toldWithin)
	}
	until(ctx, t, "the provision waits for the store", func() bool {
		op, err := stack.API.GetOperation(ctx, oas.GetOperationParams{ID: duringOp})
		return err == nil && op.Data.WaitingOn.Value.Code == oas.CauseCodeS3DENIED
	})
	end := time.NewTimer(time.Until(frozen.Add(lasts)))
	defer end.Stop()
	for away := true; away; {
		select {
		case <-end.C:
			away = false
		case <-time.After(5 * time.Second):
		}
		op, err := stack.API.GetOperation(ctx, oas.GetOperationParams{ID: duringOp})
		if err != nil || op.Data.State != oas.OperationStateRunning || op.Data.WaitingOn.Value.Code != oas.CauseCodeS3DENIED {
			t.Fatalf("%s after the store hangs, the provision is %+v (%v), want it to wait for it", time.Since(frozen).Round(time.Second), op, err)
		}
	}
	thaw()
	back := time.Now()
	healthBecomes(ctx, t, db.ID, oas.BackupHealthOk, "")
	caughtUp := time.Since(back)
	giveBack()
	succeed(ctx, t, duringOp)
	if count := countEvents(ctx, t, during.ID); count[oas.EventKindParked] != 0 {
		t.Errorf("the provision was parked %d times, want that it went on by itself", count[oas.EventKindParked])
	}
	t.Logf("the store hung for %s; told after %s, all archived %s after it was back",
		back.Sub(frozen).Round(time.Second), told.Round(time.Second), caughtUp.Round(time.Second))

	restored, operation := restore(ctx, t, db.ID, "after-away", "latest")
	succeed(ctx, t, operation)
	if got, err := psqlOf(ctx, t, restored.ID).Run(ctx, checksum); err != nil || got != want {
		t.Errorf("restored there is %q (%v), want what was written meanwhile, %q", got, err, want)
	}
	removeAll(ctx, t, restored.ID, during.ID, db.ID)
}

// freeze has a part of the stack hang until it is thawed, or the test ends.
func freeze(ctx context.Context, t *testing.T, name string) (thaw func()) {
	t.Helper()
	part, err := local.PartThatIsUp(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(part.PID, syscall.SIGSTOP); err != nil {
		t.Fatalf("freeze %s: %v", name, err)
	}
	thaw = func() {
		if err := syscall.Kill(part.PID, syscall.SIGCONT); err != nil {
			t.Errorf("thaw %s: %v", name, err)
		}
	}
	t.Cleanup(thaw) // twice is once
	return thaw
}

// healthBecomes waits until the database's backups are of that health, for a reason that says so much.
func healthBecomes(ctx context.Context, t *testing.T, id uuid.UUID, health oas.BackupHealth, why string) {
	t.Helper()
	var last oas.BackupState
	untilRun(ctx, t, "the backups are "+string(health), func() bool {
		found, err := stack.API.GetDatabase(ctx, oas.GetDatabaseParams{ID: id})
		if err != nil {
			return false
		}
		last = found.Data.Backup.Value
		return last.Health == health && strings.Contains(last.Reason.Value, why)
	}, checkBackups)
	if health == oas.BackupHealthOk && !last.Gap.Null {
		t.Errorf("WAL is missing: %s", last.Gap.Value)
	}
}
