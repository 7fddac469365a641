//go:build e2e

package e2e

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// balanced says whether pgbench's invariant holds: every transaction moves the same amount in all four tables.
const balanced = `
	SELECT accounts = tellers AND tellers = branches AND branches = history FROM (SELECT
		(SELECT sum(abalance) FROM pgbench_accounts) AS accounts, (SELECT sum(tbalance) FROM pgbench_tellers) AS tellers,
		(SELECT sum(bbalance) FROM pgbench_branches) AS branches, (SELECT sum(delta) FROM pgbench_history) AS history) AS sums`

const transactions = `SELECT count(*) FROM pgbench_history`

// TestBackupsThatComeLaterRestoreWhatIsWrittenMeanwhile gives a database without backups a tier that has them, takes a
// base backup while pgbench runs, and restores to a second in the middle of it.
func TestBackupsThatComeLaterRestoreWhatIsWrittenMeanwhile(t *testing.T) {
	parallel(t, long, needsStore)
	ctx := t.Context()
	makeTier(ctx, t, oas.CreateTierRequest{Name: "e2e-plain", CPU: "100m", Memory: "512Mi", StorageSize: "1Gi"})
	keepingTier(ctx, t, "e2e-loaded")
	db, operation := createOn(ctx, t, "e2e-plain", "e2e", "loaded")
	succeed(ctx, t, operation)
	if shown, err := stack.API.GetDatabase(ctx, oas.GetDatabaseParams{ID: db.ID}); err != nil || !shown.Data.Backup.Null {
		t.Errorf("without backups there is %+v (%v)", shown, err)
	}
	inPod(ctx, t, db.ID, "psql", "--username=postgres", "--dbname=app", "--command=CREATE EXTENSION amcheck")
	inPod(ctx, t, db.ID, "pgbench", "--username=postgres", "--initialize", "--quiet", "--scale=5", "app")

	began := time.Now()
	patch := &oas.UpdateDatabaseApplicationMergePatchJSON{Tier: oas.NewOptString("e2e-loaded")}
	accepted, err := local.Accepted(stack.API.UpdateDatabase(ctx, patch, oas.UpdateDatabaseParams{ID: db.ID}))
	if err != nil {
		t.Fatalf("have it backed up: %v", err)
	}
	succeed(ctx, t, accepted.Response.Meta.OperationID)
	t.Logf("backups came %s after they were asked for", time.Since(began).Round(time.Second))
	backupsKnown(ctx, t, db.ID)

	loading, stop := context.WithCancel(ctx)
	defer stop()
	load := exec.CommandContext(loading, "kubectl", podArguments(db.ID, "pgbench", "--username=postgres", "--client=4", "--rate=50", "--time=300", "app")...)
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	written := func(id uuid.UUID) string {
		return inPod(ctx, t, id, "psql", "--username=postgres", "--dbname=app", "-At", "--command="+transactions)
	}
	until(ctx, t, "pgbench writes", func() bool { return written(db.ID) != "0" })
	demanded, err := stack.API.BackUpDatabase(ctx, oas.BackUpDatabaseParams{ID: db.ID})
	if err != nil {
		t.Fatalf("ask for a base backup: %v", err)
	}
	succeed(ctx, t, demanded.Response.Meta.OperationID)
	moment := time.Now().UTC().Add(time.Second).Truncate(time.Second)
	before := written(db.ID)
	until(ctx, t, "the moment has passed, and more is written", func() bool {
		return time.Since(moment) > time.Second && written(db.ID) != before
	})
	began = time.Now()
	restored, operation := restore(ctx, t, db.ID, "loaded-restored", moment.Format(time.RFC3339))
	succeed(ctx, t, operation)
	t.Logf("a restore under load took %s", time.Since(began).Round(time.Second))
	stop()
	_ = load.Wait() // it was killed
	if got := inPod(ctx, t, restored.ID, "psql", "--username=postgres", "--dbname=app", "-At", "--command="+balanced); got != "t" {
		t.Errorf("pgbench's invariant holds there: %q, want t", got)
	}
	if got := written(restored.ID); got == "0" {
		t.Error("nothing that pgbench wrote is there")
	}
	inPod(ctx, t, restored.ID, "pg_amcheck", "--username=postgres", "--database=app", "--heapallindexed", "--on-error-stop")
	removeAll(ctx, t, restored.ID, db.ID)
}

func podArguments(id uuid.UUID, command ...string) []string {
	return append([]string{"--namespace", daap.Namespace(id), "exec", "pg-1-1", "--container", "postgres", "--"}, command...)
}

// inPod runs a command beside PostgreSQL, as its superuser may, and returns what it prints.
func inPod(ctx context.Context, t *testing.T, id uuid.UUID, command ...string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, "kubectl", podArguments(id, command...)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", command[0], err, out, errs.String())
	}
	return strings.TrimSpace(string(out))
}
