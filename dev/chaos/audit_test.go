//go:build chaos

package chaos

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap/dev/local"
)

// unequal are changes of the chosen operations whose entries in the audit log are not as many as they are: the
// request that asked for the operation, what people decided, and what its workflow did.
const unequal = `
	WITH chosen AS (
		SELECT o.id, o.kind, o.database_id FROM operations o JOIN databases d ON d.id = o.database_id WHERE %s
	), changes AS (
		SELECT id, CASE kind WHEN 'provision_database' THEN 'createDatabase' WHEN 'delete_database' THEN 'deleteDatabase'
		                     WHEN 'update_database' THEN 'updateDatabase' WHEN 'restore_database' THEN 'restoreDatabase'
		                     WHEN 'back_up_database' THEN 'backUpDatabase' WHEN 'unfreeze_database' THEN 'unfreezeDatabase'
		                     WHEN 'freeze_database' THEN 'deleteDatabase' WHEN 'archive_database' THEN 'deleteDatabase'
		                     WHEN 'reconcile_database' THEN 'reconcileDatabase'
		                     ELSE 'how a ' || kind || ' is asked for is not written down here' END AS action
		FROM   chosen
		UNION  ALL
		SELECT c.id, CASE e.kind WHEN 'decided'     THEN split_part(e.message, ':', 1) || 'Operation'
		                         WHEN 'step_done'   THEN c.kind || '.' || e.step
		                         WHEN 'step_undone' THEN c.kind || '.undo_' || e.step
		                         ELSE c.kind || '.' || e.kind END
		FROM   chosen c JOIN events e ON e.operation_id = c.id
		WHERE  e.kind <> 'accepted'
	), entries AS (
		SELECT c.id, l.action FROM chosen c JOIN audit_log l ON l.resource_id = c.database_id
		WHERE  l.after ->> 'operation_id' = c.id::text AND l.outcome = 'succeeded'
		UNION  ALL
		SELECT c.id, l.action FROM chosen c JOIN audit_log l ON l.resource_id = c.id
		WHERE  l.outcome = 'succeeded' AND l.action <> 'getOperation'
	)
	SELECT format('%%s of operation %%s: %%s changes and %%s entries', action, id, COALESCE(made, 0), COALESCE(told, 0))
	FROM      (SELECT id, action, count(*) AS made FROM changes GROUP BY id, action) m
	FULL JOIN (SELECT id, action, count(*) AS told FROM entries GROUP BY id, action) t USING (id, action)
	WHERE  made IS DISTINCT FROM told`

// noChangeWithoutItsEntry fails the test unless each change of the operations that the condition chooses has its
// entry in the audit log, and each entry its change.
func noChangeWithoutItsEntry(ctx context.Context, t *testing.T, condition string, arg any) {
	t.Helper()
	for _, what := range query(ctx, t, pgx.RowTo[string], fmt.Sprintf(unequal, condition), arg) {
		t.Errorf("the audit log does not tell what was done: %s", what)
	}
}

// auditHolds fails the test unless the whole audit log is as it was sealed, and as the heads in the bucket say.
func auditHolds(ctx context.Context, t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(ctx, filepath.Join(local.StateDir(), "bin", "daap"), "audit", "verify").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "The audit log is intact") || strings.Contains(string(out), " 0 heads") {
		t.Errorf("daap audit verify: %v\n%s", err, out)
	}
}
