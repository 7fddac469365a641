//go:build chaos

package chaos

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/chaos/fault"
)

// cell is one harm at one place of one kind of operation.
type cell struct {
	kind  daap.OperationKind
	step  daap.StepName
	point string
	fault string
	run   func(ctx context.Context, t *testing.T, c cell)
	phase phase
}

func (c cell) name() string {
	return strings.Join([]string{string(c.kind), string(c.step), c.point, c.fault}, "/")
}

func (c cell) place() place { return place{step: c.step, point: c.point} }

// accept is not a step: the harm is done while the operation is asked for.
const accept daap.StepName = "accept"

// short are the cells of CI: every fault once, and every kind.
var short = []string{
	"provision_database/ready/before/image",
	"provision_database/namespace/before/quota",
	"provision_database/pooler/before/abort",
	"provision_database/namespace/before/zombie",
	"provision_database/cluster/after/worker",
	"delete_database/workloads/after/answer",
	"provision_database/accept/before/temporal",
	"delete_database/accept/before/postgres",
	"delete_database/namespace/before/apiserver",
	"provision_database/ready/before/operator",
	"provision_database/finish/after/postgres",
	"delete_database/stop/before/api",
	"delete_database/finish/before/temporal",
	"update_database/cluster/after/worker",
	"update_database/roll_out/before/operator",
	"update_database/roll_out/before/abort",
	"update_database/grow/after/answer",
	"restore_database/cluster/after/worker",
	"restore_database/backup/before/worker",
	"back_up_database/backup/before/keys",
	"reconcile_database/cluster/after/worker",
	"freeze_database/clients/before/image",
	"freeze_database/hibernate/after/worker",
	"unfreeze_database/wake/before/worker",
	"archive_database/verify/after/worker",
	"delete_database/archive/before/minio",
}

// cells are the special ones, and every kill and every lost answer at every step of every kind there is.
func cells() []cell {
	all := []cell{
		{daap.ProvisionDatabase, daap.StepReady, fault.Before, "image", imageMissing, images},
		{daap.ProvisionDatabase, daap.StepNamespace, fault.Before, "quota", quotaFull, parks},
		{daap.ProvisionDatabase, daap.StepPooler, fault.Before, "abort", abortedUnderFault, kills},
		{daap.UpdateDatabase, daap.StepRollOut, fault.Before, "abort", abortedUnderFault, kills},
		{daap.BackUpDatabase, daap.StepBackup, fault.Before, "keys", keysWrong, parks},
		{daap.FreezeDatabase, daap.StepClients, fault.Before, "image", unhealthy, images},
		{daap.DeleteDatabase, daap.StepArchive, fault.Before, "minio", purgeCut, kills},
	}
	var ofKind [][]cell
	for _, name := range oas.OperationKind("").AllValues() {
		ofKind = append(ofKind, cellsOf(daap.OperationKind(name)))
	}
	// In turn, so that a delete finds a database that a provision left.
	for i, more := 0, true; more; i++ {
		more = false
		for _, cells := range ofKind {
			if i < len(cells) {
				all, more = append(all, cells[i]), true
			}
		}
	}
	return all
}

// ofKept are the kinds that are tried on databases with backups.
var ofKept = map[daap.OperationKind]bool{
	daap.RestoreDatabase: true, daap.FreezeDatabase: true, daap.UnfreezeDatabase: true, daap.ArchiveDatabase: true,
}

func cellsOf(kind daap.OperationKind) []cell {
	var all []cell
	for _, name := range []string{"api", "temporal", "postgres"} {
		all = append(all, cell{kind, accept, fault.Before, name, killedWhileAsked, kills})
	}
	for _, step := range kind.Plan(ofKept[kind]) {
		if kind != daap.DeleteDatabase && kind != daap.BackUpDatabase { // its database is the source of others
			all = append(all, cell{kind, step.Name, fault.Before, "zombie", zombie, parks})
		}
		all = append(all, cell{kind, step.Name, fault.After, "answer", answerLost, kills})
		for _, point := range []string{fault.Before, fault.After} {
			for _, v := range victims() {
				all = append(all, cell{kind, step.Name, point, v.name, killed, kills})
			}
		}
	}
	return all
}

func TestChaos(t *testing.T) {
	ctx := t.Context()
	t.Cleanup(func() { cleanUp(context.WithoutCancel(ctx), t) })
	chosen := map[string]bool{}
	for _, name := range short {
		chosen[name] = true
	}
	ran := 0
	for _, c := range cells() {
		inCI := chosen[c.name()]
		delete(chosen, c.name())
		if testing.Short() && !inCI {
			continue
		}
		t.Run(c.name(), func(t *testing.T) {
			ran++ // before it runs beside others
			c.enter(t)
			healthy(t.Context(), t)
			c.run(t.Context(), t, c)
		})
	}
	if ran == 0 {
		t.Error("no cell is of that name")
	}
	for name := range chosen {
		t.Errorf("CI's cell %s is not among the cells", name)
	}
}

// cleanUp deletes what the tests left, and looks over the whole once more.
func cleanUp(ctx context.Context, t *testing.T) {
	healthy(ctx, t)
	var left []*experiment
	for _, id := range query(ctx, t, pgx.RowTo[uuid.UUID], `
		SELECT id FROM databases WHERE owner_team = $1 AND status <> 'deleted'`, team) {
		left = append(left, release(ctx, t, id))
	}
	for _, x := range left { // they are all on their way by now
		x.holds(ctx, t, x.over(ctx, t))
	}
	nothingStrange(ctx, t)
}

// release begins to delete a database, whatever holds it: a test that failed leaves its operation where it was.
func release(ctx context.Context, t *testing.T, id uuid.UUID) *experiment {
	t.Helper()
	if db := getDatabase(ctx, t, id); !db.OperationID.Null {
		held := getOperation(ctx, t, db.OperationID.Value)
		points.plan(held.ID, nil)
		if held.Kind == oas.OperationKindDeleteDatabase || held.State == oas.OperationStateCancelling {
			return &experiment{database: id, operation: held.ID, parks: parksOf(ctx, t, id, held.ID)}
		}
	}
	return ask(ctx, t, deleteRequest(id), nil)
}

// parksOf counts the decisions that a test made before it failed; the park that waits for one is seen later.
func parksOf(ctx context.Context, t *testing.T, database, operation uuid.UUID) int {
	t.Helper()
	decided := 0
	for _, event := range events(ctx, t, database) {
		if event.OperationID.Value == operation && event.Kind == oas.EventKindDecided {
			decided++
		}
	}
	return decided
}

// killed kills something when the worker comes to the place, and the operation succeeds all the same.
func killed(ctx context.Context, t *testing.T, c cell) {
	s := newStrike(victimOf(c.fault))
	x := begin(ctx, t, c.kind, c.place().at(s.once))
	x.mayBeGivenUp = c.fault == "operator" && c.kind.Makes()
	x.succeeds(ctx, t)
	s.prove(ctx, t)
}
