//go:build e2e

package e2e

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// auditTells fails the test unless the log of the database's PostgreSQL tells who made what, and of roles all but
// their passwords.
func auditTells(ctx context.Context, t *testing.T, id uuid.UUID) {
	t.Helper()
	canary := "canary-" + uuid.NewString()
	inPod(ctx, t, id, "psql", "--username=postgres", "--dbname=app", "--command=CREATE ROLE reader LOGIN PASSWORD '"+canary+"'")
	inPod(ctx, t, id, "psql", "--username=postgres", "--dbname=app", "--command=ALTER ROLE reader PASSWORD '"+canary+"'")
	var log string
	until(ctx, t, "it is in the log of PostgreSQL", func() bool {
		out, err := exec.CommandContext(ctx, "kubectl", "--namespace", daap.Namespace(id), "logs", "pg-1-1", "--container", "postgres").Output()
		log = string(out)
		return err == nil && strings.Contains(log, "ALTER ROLE reader")
	})
	for _, want := range []string{`"logger":"pgaudit"`, "CREATE TABLE", "CREATE ROLE reader"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log of PostgreSQL does not tell %s", want)
		}
	}
	if strings.Contains(log, canary) {
		t.Error("the log of PostgreSQL has a password")
	}
}
