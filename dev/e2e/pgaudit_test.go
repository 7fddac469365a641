//go:build e2e

package e2e

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/dev/local"
)

// auditTells fails the test unless the log of the database's PostgreSQL tells who made what, and of roles all but
// their passwords: also where the statement fails, is one of several, or is the owner's.
func auditTells(ctx context.Context, t *testing.T, id uuid.UUID, owner local.Psql) {
	t.Helper()
	canary := "canary-" + uuid.NewString()
	for _, statements := range []string{
		"CREATE ROLE reader LOGIN PASSWORD 'CANARY'",
		"ALTER ROLE reader PASSWORD 'CANARY'",
		"CREATE USER writer ENCRYPTED PASSWORD $$CANARY$$; CREATE TABLE written()",
	} {
		inPod(ctx, t, id, "psql", "--username=postgres", "--dbname=app",
			"--command="+strings.ReplaceAll(statements, "CANARY", canary))
	}
	for statements, says := range map[string]string{
		"CREATE ROLE another LOGIN PASSWORD 'CANARY'":                "permission denied to create role",
		"ALTER ROLE reader PASSWORD 'CANARY'":                        "permission denied to alter role",
		"ALTER ROLE nobody PASSWORD 'CANARY'":                        `role "nobody" does not exist`,
		"ALTER ROLE app PASWORD 'CANARY'":                            `unrecognized role option "pasword"`,
		"CREATE ROLE another PASSWORD 'CANARY'; CREATE TABLE more()": "permission denied to create role",
	} {
		out, err := owner.Run(ctx, strings.ReplaceAll(statements, "CANARY", canary))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %q, %v, want an error with %q", statements, out, err, says)
		}
	}
	// It asks for the new password twice, and has PostgreSQL see a verifier alone.
	inPod(ctx, t, id, "sh", "-c", `printf '%s\n%s\n' `+canary+" "+canary+` | psql --username=postgres --dbname=app --command='\password reader'`)
	verifies := inPod(ctx, t, id, "psql", "--username=postgres", "--dbname=app", "--tuples-only", "--no-align",
		"--command=SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'reader'")
	if verifies != "t" {
		t.Errorf("whether the role has a SCRAM verifier: %q, want t", verifies)
	}
	// As the last one, it says that all before it is in the log.
	inPod(ctx, t, id, "psql", "--username=postgres", "--dbname=app", "--command=CREATE TABLE the_last()")
	var log string
	until(ctx, t, "it is in the log of PostgreSQL", func() bool {
		out, err := exec.CommandContext(ctx, "kubectl", "--namespace", daap.Namespace(id), "logs", "pg-1-1", "--container", "postgres").Output()
		log = string(out)
		return err == nil && strings.Contains(log, "the_last")
	})
	for _, want := range []string{
		`"logger":"pgaudit"`, "CREATE TABLE", "CREATE ROLE reader", "ALTER ROLE reader", "CREATE USER writer",
		"permission denied to create role", "unrecognized role option",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log of PostgreSQL does not tell %s", want)
		}
	}
	if strings.Contains(log, canary) {
		t.Error("the log of PostgreSQL has a password")
	}
}
