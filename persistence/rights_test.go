package persistence_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/migrations"
	"github.com/daap-dev/daap/persistence"
	"github.com/daap-dev/daap/persistence/persistencetest"
)

// asService returns a fixture on a database whose pool has a role of its own, with the service's rights.
func asService(t *testing.T) postgres {
	t.Helper()
	ownerURL := persistencetest.URL(t)
	role := "daap_service_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:16]
	owner, err := pgx.Connect(t.Context(), ownerURL)
	must := fixture{t: t}.must
	must(err)
	_, err = owner.Exec(t.Context(), fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD 'service'`, role))
	must(err)
	_, err = owner.Exec(t.Context(), insertSmall)
	must(err)
	t.Cleanup(func() {
		if _, err := owner.Exec(context.Background(), `DROP OWNED BY `+role+`; DROP ROLE `+role); err != nil {
			t.Error(err)
		}
		_ = owner.Close(context.Background())
	})
	must(migrations.Grant(t.Context(), ownerURL, role))
	must(migrations.KeepAudit(t.Context(), ownerURL, 48*time.Hour))
	serviceURL, err := url.Parse(ownerURL)
	must(err)
	serviceURL.User = url.UserPassword(role, "service")
	pool, err := persistence.Open(t.Context(), serviceURL.String())
	must(err)
	t.Cleanup(pool.Close)
	return newPostgres(t, pool, "")
}

func TestServicesRoleDoesItsWork(t *testing.T) {
	t.Parallel()
	f := asService(t)
	db, op := f.running("shop", "orders")
	f.must(f.RecordStep(t.Context(), op.ID, daap.Step{Name: daap.StepNamespace, State: daap.StepDone, Attempts: 1}))
	f.must(f.ParkOperation(t.Context(), op.ID, daap.StepCluster, failed))
	f.must(f.ResumeOperation(t.Context(), op.ID, retry))
	f.must(f.SaveCACertificate(t.Context(), op.ID, db.ID, newCA(t, 100)))
	f.must(f.RenewCACertificate(t.Context(), db.ID, newCA(t, 100)))
	f.must(f.FinishOperation(t.Context(), op.ID))
	text := "Orders"
	_, err := f.patch(t.Context(), once("a", 1), db.ID, daap.DatabasePatch{Description: &text})
	f.must(err)
	deletion := f.accepted(daap.DeleteDatabase, db.ID)
	f.must(f.BeginOperation(t.Context(), deletion.ID, false))
	f.must(f.FinishOperation(t.Context(), deletion.ID))
	want(t, "status", f.database(db.ID).Status, daap.DatabaseDeleted)

	scan, extensions := told(time.Now(), [3]string{"app", "hstore", "1.8"})
	for range 2 { // the second time replaces what the first one found
		f.must(f.SaveScan(t.Context(), db.ID, scan, extensions))
	}

	key := f.key("shop")
	_, _, err = f.RotateAPIKey(t.Context(), everyone, key.ID, secondHash, time.Hour)
	f.must(err)
	f.must(f.TouchAPIKey(t.Context(), key.ID))
	_, err = f.RevokeAPIKey(t.Context(), everyone, key.ID)
	f.must(err)
	f.must(f.ForgetAnswers(t.Context()))

	f.seal()
	sealed := f.verify()
	if sealed.Break != nil || sealed.Last < 10 {
		t.Errorf("found %+v (%+v), want all entries to hold", sealed, sealed.Break)
	}
	gone, err := f.ForgetAudit(t.Context())
	f.must(err)
	want(t, "entries that went before their time", gone, 0)
}

func TestServicesRoleLetsGoOfOldEntriesByTheFunctionAlone(t *testing.T) {
	t.Parallel()
	f := asService(t)
	for _, age := range []time.Duration{72 * time.Hour, 72 * time.Hour, time.Hour} {
		f.must(f.AddAuditEntries(t.Context(), []daap.AuditEntry{{
			ID: newID(t), At: time.Now().Add(-age), Action: "getDatabase", Outcome: daap.OutcomeSucceeded,
		}}))
	}
	f.seal()
	gone, err := f.ForgetAudit(t.Context())
	f.must(err)
	want(t, "entries that went", gone, 2)
	if found := f.verify(); found.Break != nil || found.First != 2 || found.Last != 3 {
		t.Errorf("found %+v (%+v), want what is left to hold", found, found.Break)
	}
}

func TestServicesRoleMayNotTouchTheAuditLog(t *testing.T) {
	t.Parallel()
	f := asService(t)
	f.created("shop", "orders")
	f.seal()
	for _, sql := range []string{
		`UPDATE audit_log SET actor = 'x'`, `DELETE FROM audit_log`, `TRUNCATE audit_log`,
		`UPDATE audit_chain SET hash = hash`, `DELETE FROM audit_chain`, `TRUNCATE audit_chain`,
		`UPDATE audit_retention SET keep = interval '1 day'`, `DELETE FROM audit_retention`,
		`INSERT INTO audit_retention (only_row, keep) VALUES (false, interval '1 day')`,
		`DROP TABLE audit_log`, `ALTER TABLE audit_log DISABLE TRIGGER ALL`, `SET session_replication_role = replica`,
		`UPDATE goose_db_version SET version_id = 0`, `SELECT keep FROM audit_retention`,
	} {
		if _, err := f.pool.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s = %v, want it refused", sql, err)
		}
	}
	protected, err := f.AuditIsProtected(t.Context())
	f.must(err)
	want(t, "protected from the service", protected, true)
	protected, err = newFixture(t).AuditIsProtected(t.Context())
	f.must(err)
	want(t, "protected from the owner", protected, false)
}

func TestServicesRoleMakesAndChangesNothingButRows(t *testing.T) {
	t.Parallel()
	f := asService(t)
	f.created("shop", "orders")
	for _, sql := range []string{
		`CREATE TABLE mine (id int)`, `CREATE TEMPORARY TABLE mine (id int)`, `CREATE SCHEMA mine`, `CREATE ROLE mine`,
		`CREATE DATABASE mine`, `CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
		`ALTER TABLE databases ADD COLUMN mine int`, `ALTER TABLE databases DISABLE TRIGGER ALL`, `DROP TABLE events`,
		`CREATE INDEX ON databases (name)`, `ALTER FUNCTION audit_forget(integer) SECURITY INVOKER`,
		`COPY databases TO PROGRAM 'true'`, `GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC`, `ALTER ROLE CURRENT_USER SUPERUSER`,
		`TRUNCATE databases CASCADE`, `DELETE FROM databases`, `DELETE FROM operations`, `DELETE FROM api_keys`,
		`UPDATE events SET kind = kind`, `DELETE FROM events`,
	} {
		if _, err := f.pool.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s = %v, want it refused", sql, err)
		}
	}
}

func TestNobodyUpdatesTheAuditLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.created("shop", "orders")
	f.seal()
	for _, sql := range []string{
		`UPDATE audit_log SET actor = 'x'`, `TRUNCATE audit_log CASCADE`,
		`UPDATE audit_chain SET hash = hash`, `TRUNCATE audit_chain`,
	} {
		if _, err := f.pool.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "only ever added") {
			t.Errorf("%s by the owner = %v, want it refused", sql, err)
		}
	}
}
