//go:build e2e

package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// whatAnOwnerMaySet is hostile to all who connect to the owner's database, or as the owner.
var whatAnOwnerMaySet = []string{
	`CREATE TABLE kept AS SELECT 42 AS answer`,
	`CREATE FUNCTION public.count(text) RETURNS bigint LANGUAGE sql AS 'SELECT -1::bigint'`,
	`CREATE FUNCTION public.same(name, text) RETURNS boolean LANGUAGE sql AS 'SELECT false'`,
	`CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = text, FUNCTION = public.same)`,
	`ALTER DATABASE app SET search_path = public, pg_catalog`,
	`ALTER DATABASE app SET default_transaction_read_only = on`,
	`ALTER ROLE app SET search_path = public, pg_catalog`,
	`ALTER ROLE app SET client_encoding = 'LATIN1'`,
	`ALTER ROLE app SET standard_conforming_strings = off`,
	`ALTER ROLE app SET statement_timeout = '1ms'`,
	`ALTER ROLE app PASSWORD 'one that DAAP does not know'`,
	`REVOKE CONNECT ON DATABASE app FROM PUBLIC, app`,
}

func TestOwnerStopsNothingOfWhatTheWorkerDoes(t *testing.T) {
	parallel(t, long, needsStore)
	ctx := t.Context()
	tier := oas.CreateTierRequest{
		Name: "e2e-hostile", CPU: "100m", Memory: "512Mi", StorageSize: "1Gi", MaxConnections: oas.NewOptInt(20),
		PoolMode: oas.NewOptPoolMode(oas.PoolModeSession), DestructionStrategy: oas.DestructionStrategyFreeze,
		BackupEnabled: oas.NewOptBool(true), BackupFrequency: oas.NewOptString(nightly),
		BackupRetentionDays: oas.NewOptInt(7), ObjectStorageDestination: oas.NewOptString(destination),
	}
	makeTier(ctx, t, tier)
	other := tier
	other.Name, other.PoolMode = "e2e-hostile-too", oas.NewOptPoolMode(oas.PoolModeTransaction)
	makeTier(ctx, t, other)
	db, operation := createOn(ctx, t, tier.Name, "e2e", "hostile")
	tookOf(t, succeed(ctx, t, operation))
	owner := psqlOf(ctx, t, db.ID)
	const roleIs = `SELECT rolcanlogin, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolconnlimit
		FROM pg_roles WHERE rolname = 'daap'`
	if got, err := owner.Run(ctx, roleIs); err != nil || got != "t|f|f|f|f|f|f|5" {
		t.Errorf("the worker's role is %q (%v), want one that may log in and nothing else", got, err)
	}

	for _, sql := range whatAnOwnerMaySet {
		if sql = "SET transaction_read_only = off; " + sql; strings.Contains(sql, "REVOKE") {
			seesNothing(ctx, t, workerOf(ctx, t, db.ID, owner))
		}
		// In a session each, which has what was set before.
		asSuperuser(ctx, t, db.ID, "SET SESSION AUTHORIZATION app; "+sql)
	}
	if got, err := owner.Run(ctx, "SELECT 1"); err == nil {
		t.Errorf("the owner is let in with the password of before and reads %q", got)
	}

	patch := &oas.UpdateDatabaseApplicationMergePatchJSON{Tier: oas.NewOptString(other.Name)}
	accepted, err := local.Accepted(stack.API.UpdateDatabase(ctx, patch, oas.UpdateDatabaseParams{ID: db.ID}))
	if err != nil {
		t.Fatal(err)
	}
	tookOf(t, succeed(ctx, t, accepted.Response.Meta.OperationID))

	holding, giveBack := context.WithCancel(ctx)
	defer giveBack()
	holdsAll(holding, t, db.ID, owner.As("app", "one that DAAP does not know"))
	destroy(ctx, t, db.ID, oas.OperationKindFreezeDatabase)
	giveBack()
	woken, err := stack.API.UnfreezeDatabase(ctx, oas.UnfreezeDatabaseParams{ID: db.ID})
	if err != nil {
		t.Fatal(err)
	}
	tookOf(t, succeed(ctx, t, woken.Response.Meta.OperationID))
	if got := asSuperuser(ctx, t, db.ID, "SELECT answer FROM public.kept"); got != "42" {
		t.Errorf("there is %q afterwards, want 42", got)
	}
	remove(ctx, t, db.ID)
}

// tookOf logs how long the operation and its steps took.
func tookOf(t *testing.T, op oas.Operation) {
	t.Helper()
	t.Logf("%s took %s", op.Kind, op.FinishedAt.Value.Sub(op.CreatedAt).Round(time.Millisecond))
	for _, step := range op.Steps {
		t.Logf("  %s: %s, attempt %d", step.Name, step.FinishedAt.Value.Sub(step.StartedAt.Value).Round(time.Millisecond), step.Attempts)
	}
}

// asSuperuser runs SQL in the database as who may do all.
func asSuperuser(ctx context.Context, t *testing.T, id uuid.UUID, sql string) string {
	t.Helper()
	return inPod(ctx, t, id, "psql", "--username=postgres", "--dbname=app", "--set=ON_ERROR_STOP=1", "--quiet", "--tuples-only", "--no-align", "--command="+sql)
}

// workerOf is the owner's connection as the worker's role.
func workerOf(ctx context.Context, t *testing.T, id uuid.UUID, owner local.Psql) local.Psql {
	t.Helper()
	var secret corev1.Secret
	if err := stack.Kubernetes.Get(ctx, client.ObjectKey{Namespace: daap.Namespace(id), Name: manifest.WorkerSecret}, &secret); err != nil {
		t.Fatal(err)
	}
	return owner.As(manifest.WorkerRole, string(secret.Data[corev1.BasicAuthPasswordKey]))
}

// seesNothing fails the test where the role has of itself what the owner has.
func seesNothing(ctx context.Context, t *testing.T, worker local.Psql) {
	t.Helper()
	for _, sql := range []string{`SELECT answer FROM public.kept`, `CREATE TABLE public.mine (i int)`, `ALTER DATABASE app ALLOW_CONNECTIONS false`} {
		if got, err := worker.Run(ctx, "SET transaction_read_only = off; "+sql); err == nil ||
			!strings.Contains(err.Error(), "permission denied") && !strings.Contains(err.Error(), "must be owner") {
			t.Errorf("%s as the worker's role = %q, %v; want it to be refused", sql, got, err)
		}
	}
}

// holdsAll takes all connections that there are for clients, one of which holds a lock of the database. Until ctx ends
// it takes those too that others give back, as the operator does of the few that it has for a moment.
func holdsAll(ctx context.Context, t *testing.T, id uuid.UUID, owner local.Psql) {
	t.Helper()
	ca, err := os.ReadFile(owner.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	locking := owner
	locking.Database = "postgres options=-cstatement_timeout=0"
	go func() {
		for ctx.Err() == nil { // it is ended
			_, _ = locking.Run(ctx, "BEGIN; ALTER DATABASE app CONNECTION LIMIT 3; SELECT pg_sleep(600)")
		}
	}()
	until(ctx, t, "a client holds a lock of the database", func() bool {
		return asSuperuser(ctx, t, id, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND wait_event = 'PgSleep'") == "1"
	})

	owner.Database = "postgres"
	areTaken := func() bool {
		connecting, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		conn, err := owner.Connect(connecting, verifying(string(ca), owner.Host))
		if err == nil {
			context.AfterFunc(ctx, func() { _ = conn.Close(context.WithoutCancel(ctx)) })
		}
		return err != nil && strings.Contains(err.Error(), "remaining connection slots")
	}
	until(ctx, t, "clients have all connections", areTaken)
	go func() {
		again := time.NewTicker(200 * time.Millisecond)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				areTaken()
			case <-ctx.Done():
				return
			}
		}
	}()
}
