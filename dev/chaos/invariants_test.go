//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	enumspb "go.temporal.io/api/enums/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
	"github.com/daap-dev/daap/persistence"
)

// holds looks at all that must be so once the operation is over, whatever was done to it.
func (x *experiment) holds(ctx context.Context, t *testing.T, op oas.Operation) {
	t.Helper()
	if daap.OperationState(op.State).Open() {
		t.Errorf("operation %s is %s, want it to be over", op.ID, op.State)
	}
	oneRowPerStep(ctx, t, op)
	x.eventsComplete(ctx, t, op)
	noChangeWithoutItsEntry(ctx, t, `o.id = $1`, op.ID)
	workflowOver(ctx, t, op.WorkflowID)
	if open := count(ctx, t, `SELECT count(*) FROM operations WHERE database_id = $1 AND finished_at IS NULL`,
		x.database); open != 0 {
		t.Errorf("%d operations hold database %s, want none", open, x.database)
	}
	switch db := getDatabase(ctx, t, x.database); db.Status {
	case oas.DatabaseStatusReady:
		hasAllOfItsTier(ctx, t, db)
		connects(ctx, t, db.ID)
	case oas.DatabaseStatusFrozen:
		rests(ctx, t, db)
	case oas.DatabaseStatusArchived:
		nothingRuns(ctx, t, db)
	case oas.DatabaseStatusDeleted:
		nothingLeft(ctx, t, db)
	case oas.DatabaseStatusProvisioning, oas.DatabaseStatusRestoring, oas.DatabaseStatusUpdating, oas.DatabaseStatusFreezing,
		oas.DatabaseStatusUnfreezing, oas.DatabaseStatusArchiving, oas.DatabaseStatusDeleting, oas.DatabaseStatusError:
		t.Errorf("database %s is %s, and no operation holds it", db.ID, db.Status)
	}
}

// hasAllOfItsTier looks whether what runs is of the tier that the row says, and no half of another one.
func hasAllOfItsTier(ctx context.Context, t *testing.T, db oas.Database) {
	t.Helper()
	memory, connections := "512Mi", "100"
	if db.Tier == wide.Name {
		memory, connections = wide.Memory, fmt.Sprint(wide.MaxConnections.Value)
	}
	until(ctx, t, "Kubernetes answers", func(ctx context.Context) error {
		var pods corev1.PodList
		err := stack.Kubernetes.List(ctx, &pods, client.InNamespace(daap.Namespace(db.ID)),
			client.MatchingLabels{"cnpg.io/instanceRole": "primary"})
		for _, pod := range pods.Items {
			if has := pod.Spec.Containers[0].Resources.Limits.Memory().String(); has != memory {
				t.Errorf("%s of database %s of tier %s has %s of memory, want %s", pod.Name, db.ID, db.Tier, has, memory)
			}
		}
		return err
	})
	var cluster cnpgv1.Cluster
	until(ctx, t, "Kubernetes answers", func(ctx context.Context) error {
		return stack.Kubernetes.Get(ctx, client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: "pg-1"}, &cluster)
	})
	if got := cluster.Spec.PostgresConfiguration.Parameters["max_connections"]; got != connections {
		t.Errorf("the Cluster of database %s of tier %s has %s connections, want %s", db.ID, db.Tier, got, connections)
	}
}

func oneRowPerStep(ctx context.Context, t *testing.T, op oas.Operation) {
	t.Helper()
	got := query(ctx, t, pgx.RowTo[string],
		`SELECT name FROM operation_steps WHERE operation_id = $1 ORDER BY position`, op.ID)
	var want []string
	for _, plan := range daap.OperationKind(op.Kind).Plan(backsUp(op)) {
		want = append(want, string(plan.Name))
	}
	if !slices.Equal(got, want) {
		t.Errorf("operation %s has the steps %v, want %v", op.ID, got, want)
	}
}

// backsUp says whether the operation has the steps for backups.
func backsUp(op oas.Operation) bool {
	return slices.ContainsFunc(op.Steps, func(s oas.Step) bool {
		return slices.Contains([]daap.StepName{daap.StepBackup, daap.StepArchive, daap.StepSuspend}, daap.StepName(s.Name))
	})
}

// eventsComplete looks for one beginning, one end, and one event for each time that the operation was parked.
func (x *experiment) eventsComplete(ctx context.Context, t *testing.T, op oas.Operation) {
	t.Helper()
	found := map[oas.EventKind]int{}
	done := map[string]bool{}
	for _, event := range events(ctx, t, x.database) {
		if event.OperationID.Value != op.ID {
			continue
		}
		found[event.Kind]++
		if event.Kind == oas.EventKindStepDone {
			done[event.Step.Value] = true
		}
		if event.Kind == oas.EventKindParked && event.Cause.Null {
			t.Errorf("operation %s was parked, and its event names no cause", op.ID)
		}
	}
	if found[oas.EventKindAccepted] != 1 || found[oas.EventKindSucceeded]+found[oas.EventKindCancelled] != 1 {
		t.Errorf("operation %s has the events %v, want one accepted and one of its end", op.ID, found)
	}
	if found[oas.EventKindParked] != x.parks || found[oas.EventKindDecided] != x.parks {
		t.Errorf("operation %s has the events %v, want %d parked and as many decided", op.ID, found, x.parks)
	}
	if op.State != oas.OperationStateSucceeded {
		return
	}
	for _, step := range op.Steps[:len(op.Steps)-1] { // the end of the last one is that of the operation
		if !done[step.Name] {
			t.Errorf("operation %s has no event that step %s is done", op.ID, step.Name)
		}
	}
}

func events(ctx context.Context, t *testing.T, database uuid.UUID) []oas.Event {
	t.Helper()
	return insist(ctx, t, "list the events", func(ctx context.Context) (*oas.EventListResponse, error) {
		return stack.API.ListDatabaseEvents(ctx, oas.ListDatabaseEventsParams{ID: database, Limit: oas.NewOptInt(100)})
	}).Data
}

// workflowOver waits for the end of the workflow: it comes after that of the row, and later when the worker that was
// to tell Temporal of it was killed.
func workflowOver(ctx context.Context, t *testing.T, id string) {
	t.Helper()
	until(ctx, t, "workflow "+id+" is over", func(ctx context.Context) error {
		found, err := temporal.DescribeWorkflowExecution(ctx, id, "")
		if err != nil {
			return err
		}
		if status := found.GetWorkflowExecutionInfo().GetStatus(); status == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			return errors.New("it is running")
		}
		return nil
	})
}

// connects runs SELECT 1 as a team would, through the pool and directly.
func connects(ctx context.Context, t *testing.T, id uuid.UUID) {
	t.Helper()
	conn := insist(ctx, t, "get the connection", func(ctx context.Context) (*oas.ConnectionResponse, error) {
		return stack.API.GetDatabaseConnection(ctx, oas.GetDatabaseConnectionParams{ID: id})
	}).Data
	for _, endpoint := range []oas.Endpoint{conn.Pooled, conn.Direct} {
		until(ctx, t, "psql connects to "+endpoint.Host, func(ctx context.Context) error {
			psql, err := stack.Psql(ctx, conn, endpoint, t.TempDir())
			if err != nil {
				return err
			}
			if got, err := psql.Run(ctx, "SELECT 1"); err != nil || got != "1" {
				return fmt.Errorf("SELECT 1 = %q: %w", got, err)
			}
			return nil
		})
	}
}

// nothingLeft looks for what a deleted database may have left behind. It looks once: it is over.
func nothingLeft(ctx context.Context, t *testing.T, db oas.Database) {
	t.Helper()
	nothingRuns(ctx, t, db)
	if taken := count(ctx, t, `
		SELECT count(*) FROM databases WHERE owner_team = $1 AND name = $2 AND status <> 'deleted'`,
		db.OwnerTeam, db.Name); taken != 0 {
		t.Errorf("the name %s is still taken", db.Name)
	}
}

// nothingRuns looks for what a database may have left behind in Kubernetes, and for keys to its archive.
func nothingRuns(ctx context.Context, t *testing.T, db oas.Database) {
	t.Helper()
	name := daap.Namespace(db.ID)
	until(ctx, t, "Kubernetes answers", func(ctx context.Context) error {
		var namespace corev1.Namespace
		err := stack.Kubernetes.Get(ctx, client.ObjectKey{Name: name}, &namespace)
		if err == nil {
			t.Errorf("namespace %s is left: %s", name, namespace.Status.Phase)
		}
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		var volumes corev1.PersistentVolumeList
		if err := stack.Kubernetes.List(ctx, &volumes); err != nil {
			return err
		}
		for _, volume := range volumes.Items {
			if claim := volume.Spec.ClaimRef; claim != nil && claim.Namespace == name {
				t.Errorf("persistent volume %s of %s is left", volume.Name, name)
			}
		}
		return nil
	})
	until(ctx, t, "the object store answers", func(ctx context.Context) error {
		accounts, err := local.Accounts(ctx, db.ID)
		if len(accounts) > 0 {
			t.Errorf("accounts of the object store are left of %s: %v", name, accounts)
		}
		return err
	})
}

// nothingStrange looks over all that the stack has, after all tests: nothing without its row, no row without its end.
func nothingStrange(ctx context.Context, t *testing.T) {
	t.Helper()
	live := query(ctx, t, pgx.RowTo[uuid.UUID], `SELECT id FROM databases WHERE status <> 'deleted'`)
	var namespaces corev1.NamespaceList
	var volumes corev1.PersistentVolumeList
	until(ctx, t, "Kubernetes answers", func(ctx context.Context) error {
		return errors.Join(stack.Kubernetes.List(ctx, &namespaces), stack.Kubernetes.List(ctx, &volumes))
	})
	for _, namespace := range namespaces.Items {
		orphaned(t, live, "namespace "+namespace.Name, namespace.Name)
	}
	for _, volume := range volumes.Items {
		if claim := volume.Spec.ClaimRef; claim != nil {
			orphaned(t, live, "persistent volume "+volume.Name, claim.Namespace)
		}
	}
	for _, key := range query(ctx, t, pgx.RowTo[string], `
		SELECT key FROM idempotency_keys k
		WHERE  key LIKE 'chaos-%' AND NOT EXISTS (
			SELECT FROM operations o
			WHERE  o.id::text = COALESCE(k.answer #>> '{operation,id}', k.answer ->> 'id'))`) {
		t.Errorf("the idempotency key %s answers with an operation that is not there", key)
	}
	for _, op := range query(ctx, t, pgx.RowTo[string], `
		SELECT format('%s of %s is %s', o.kind, d.name, o.state)
		FROM   operations o JOIN databases d ON d.id = o.database_id
		WHERE  d.owner_team = $1 AND (o.finished_at IS NULL
		OR     (SELECT count(*) FROM events e WHERE e.operation_id = o.id AND e.kind = 'accepted') <> 1
		OR     (SELECT count(*) FROM events e WHERE e.operation_id = o.id AND e.kind IN ('succeeded', 'cancelled')) <> 1)`,
		team) {
		t.Errorf("an operation has no end, or not one of each event: %s", op)
	}
	noChangeWithoutItsEntry(ctx, t, `d.owner_team = $1`, team)
	auditHolds(ctx, t)
	until(ctx, t, "quotas can be checked, and agree with the databases", persistence.New(rows).CheckQuotas)
}

// orphaned fails the test if the namespace is that of a database which is not there.
func orphaned(t *testing.T, live []uuid.UUID, what, namespace string) {
	t.Helper()
	text, ours := strings.CutPrefix(namespace, "daap-")
	id, err := uuid.Parse(text)
	if ours && err == nil && !slices.Contains(live, id) {
		t.Errorf("%s is left of database %s, which is not there", what, id)
	}
}

func count(ctx context.Context, t *testing.T, sql string, args ...any) int {
	t.Helper()
	return query(ctx, t, pgx.RowTo[int], sql, args...)[0]
}

// query asks DAAP's PostgreSQL, again while it is away.
func query[T any](ctx context.Context, t *testing.T, scan pgx.RowToFunc[T], sql string, args ...any) []T {
	t.Helper()
	var all []T
	until(ctx, t, "DAAP's PostgreSQL answers", func(ctx context.Context) error {
		found, err := rows.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(found, scan)
		return err
	})
	return all
}
