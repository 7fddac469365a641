package persistence_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/daap-dev/daap"
)

var failed = daap.NewCause(daap.CauseDeadline, "The Cluster is not ready.")

var retry = daap.Decision{Action: daap.ActionRetry, Origin: daap.Origin{Actor: "alice"}, Reason: "mended"}

// everyone is a request of the platform team.
var everyone = grant("platform", daap.RolePlatformTeam, daap.EveryTeam)

// grant is a request that is allowed.
func grant(team string, role daap.Role, scope daap.Scope) daap.Grant {
	caller := daap.Caller{KeyID: uuid.New(), KeyName: "alice", Team: team, Role: role}
	return daap.Grant{
		Request:    daap.Request{Caller: caller, ID: "request-1", Address: "192.0.2.1", Success: 202},
		Permission: daap.MayUpdateDatabase, Scope: scope,
	}
}

// newTier returns a small tier.
func newTier(t *testing.T, name string) daap.Tier {
	t.Helper()
	return daap.Tier{ID: newID(t), Name: name, Profile: daap.Profile{
		Instances: 1, CPU: resource.MustParse("500m"), Memory: resource.MustParse("512Mi"), StorageSize: resource.MustParse("1Gi"),
		PGVersion: "17", PoolMode: daap.PoolTransaction, MaxConnections: 100, DestructionStrategy: daap.StrategyHardDelete,
		PGAuditLog: []daap.PGAuditClass{daap.PGAuditDDL, daap.PGAuditRole},
	}}
}

// smallID is the tier that every fixture has.
var smallID = uuid.MustParse("0190a0a0-0000-7000-8000-00000000000a")

// insertSmall inserts it without an audit log entry: tests count the entries.
const insertSmall = `
	WITH usage AS (INSERT INTO tier_usage (tier_id) VALUES ('0190a0a0-0000-7000-8000-00000000000a'))
	INSERT INTO tiers (id, name, instances, ha_replicas, cpu_millis, memory_bytes, storage_bytes, pg_version, pool_mode,
	                   max_connections, destruction_strategy, backup_enabled)
	VALUES ('0190a0a0-0000-7000-8000-00000000000a', 'small', 1, 0, 500, 536870912, 1073741824, '17', 'transaction', 100,
	        'hard_delete', false)`

func newID(t *testing.T) uuid.UUID {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func newOperation(t *testing.T, kind daap.OperationKind, database uuid.UUID) daap.Operation {
	t.Helper()
	return daap.Operation{ID: newID(t), Kind: kind, State: daap.OperationPending, DatabaseID: database}.Planned()
}

func newDatabase(t *testing.T, team, name string) (daap.Database, daap.Operation) {
	t.Helper()
	db := daap.Database{
		ID: newID(t), Name: name, OwnerTeam: team, Tier: "small", Status: daap.DatabaseProvisioning, Incarnation: 1,
	}
	return db, newOperation(t, daap.ProvisionDatabase, db.ID)
}

// created returns a database that is provisioning, and the operation that is pending on it.
func (f fixture) created(team, name string) (daap.Database, daap.Operation) {
	f.t.Helper()
	db, op := newDatabase(f.t, team, name)
	db, _, err := f.CreateDatabase(f.t.Context(), everyone, db, nil, op)
	f.must(err)
	return db, op
}

// running is created with the operation begun.
func (f fixture) running(team, name string) (daap.Database, daap.Operation) {
	f.t.Helper()
	db, op := f.created(team, name)
	f.must(f.BeginOperation(f.t.Context(), op.ID, false))
	return db, op
}

// runningOf returns a database of the team shop with an operation of the kind that has begun.
func (f fixture) runningOf(kind daap.OperationKind) (daap.Database, daap.Operation) {
	f.t.Helper()
	var db daap.Database
	var op daap.Operation
	switch kind {
	case daap.ProvisionDatabase:
		return f.running("shop", "orders")
	case daap.RestoreDatabase:
		db, op = f.restoring("orders")
	case daap.UpdateDatabase:
		db, _ = f.ready("shop", "orders")
		f.tier("large", func(p *daap.Profile) { p.Instances = 3 })
		op = f.updating(db.ID, "large")
	case daap.BackUpDatabase, daap.ArchiveDatabase:
		f.tier("kept", func(p *daap.Profile) { p.Backups = daily })
		db = f.kept("orders")
		op = f.accepted(kind, db.ID)
	case daap.FreezeDatabase, daap.DeleteDatabase, daap.ReconcileDatabase:
		db, _ = f.ready("shop", "orders")
		op = f.accepted(kind, db.ID)
	case daap.UnfreezeDatabase:
		db = f.frozen("orders")
		op = f.accepted(kind, db.ID)
	}
	f.must(f.BeginOperation(f.t.Context(), op.ID, false))
	return db, op
}

// restoring returns a database of the team shop that is to be restored from one of the same tier, and the operation that
// is pending on it.
func (f fixture) restoring(name string) (daap.Database, daap.Operation) {
	f.t.Helper()
	source, _ := f.ready("shop", name+"-source")
	db, _ := newDatabase(f.t, "shop", name)
	db.Status, db.Source = daap.DatabaseRestoring, &daap.Source{
		DatabaseID: source.ID, Name: source.Name, ServerName: "pg-1", Destination: "s3://backups",
	}
	op := newOperation(f.t, daap.RestoreDatabase, db.ID)
	db, op, err := f.CreateDatabase(f.t.Context(), everyone, db, from(source), op)
	f.must(err)
	return db, op
}

// from is the source with backups of the last hour.
func from(source daap.Database) *daap.RestoreFrom {
	first := time.Now().Add(-time.Hour)
	source.Profile.BackupEnabled = true
	return &daap.RestoreFrom{Source: source, State: daap.BackupState{FirstRecoverableAt: &first}, At: time.Now()}
}

// ready returns a database that is ready, and the operation that provisioned it.
func (f fixture) ready(team, name string) (daap.Database, daap.Operation) {
	f.t.Helper()
	db, op := f.running(team, name)
	f.must(f.FinishOperation(f.t.Context(), op.ID))
	return f.database(db.ID), op
}

// frozen returns a database of the team shop that is frozen.
func (f fixture) frozen(name string) daap.Database {
	f.t.Helper()
	db, _ := f.ready("shop", name)
	f.succeed(f.accepted(daap.FreezeDatabase, db.ID))
	return f.database(db.ID)
}

// succeed begins the operation and ends it.
func (f fixture) succeed(op daap.Operation) {
	f.t.Helper()
	f.must(f.BeginOperation(f.t.Context(), op.ID, false))
	f.must(f.FinishOperation(f.t.Context(), op.ID))
}

// deleted returns a database of the team shop that is deleted.
func (f fixture) deleted(name string) daap.Database {
	f.t.Helper()
	db, _ := f.ready("shop", name)
	f.succeed(f.accepted(daap.DeleteDatabase, db.ID))
	return f.database(db.ID)
}

func (f fixture) accepted(kind daap.OperationKind, database uuid.UUID) daap.Operation {
	f.t.Helper()
	_, op, err := f.AcceptOperation(f.t.Context(), everyone, newOperation(f.t, kind, database))
	f.must(err)
	return op
}

// patch applies a patch that takes no time.
func (f fixture) patch(
	ctx context.Context, by daap.Grant, id uuid.UUID, patch daap.DatabasePatch,
) (daap.Database, error) {
	f.t.Helper()
	db, _, err := f.PatchDatabase(ctx, by, id, patch, newOperation(f.t, daap.UpdateDatabase, id))
	return db, err
}

// updating returns the operation that gives the database the tier of that name, once it is accepted.
func (f fixture) updating(database uuid.UUID, tier string) daap.Operation {
	f.t.Helper()
	_, op, err := f.PatchDatabase(f.t.Context(), everyone, database, daap.DatabasePatch{Tier: &tier},
		newOperation(f.t, daap.UpdateDatabase, database))
	f.must(err)
	return *op
}

func (f fixture) database(id uuid.UUID) daap.Database {
	f.t.Helper()
	db, err := f.Database(f.t.Context(), daap.EveryTeam, id)
	f.must(err)
	return db
}

func (f fixture) operation(id uuid.UUID) daap.Operation {
	f.t.Helper()
	op, err := f.Operation(f.t.Context(), daap.EveryTeam, id)
	f.must(err)
	return op
}

func (f fixture) step(op uuid.UUID, name daap.StepName) daap.Step {
	f.t.Helper()
	for _, step := range f.operation(op).Steps {
		if step.Name == name {
			return step
		}
	}
	f.t.Fatalf("operation %s has no step %s", op, name)
	return daap.Step{}
}

func (f fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, want daap.Code) {
	t.Helper()
	if e := daap.AsError(err); e == nil || e.Code != want {
		t.Errorf("error = %v, want code %s", err, want)
	}
}

func wantSuperseded(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, daap.ErrSuperseded) {
		t.Errorf("error = %v, want %v", err, daap.ErrSuperseded)
	}
}

// want compares as JSON: times by their instant, pointers by what they point to.
func want[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := inJSON(t, got), inJSON(t, want); g != w {
		t.Errorf("%s = %s, want %s", what, g, w)
	}
}

func inJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func value(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return *at
}

// atOnce runs do n times at the same time and returns what each came to.
func atOnce(ctx context.Context, n int, do func(ctx context.Context, i int) error) []error {
	errs := make([]error, n)
	begin, over := make(chan struct{}), make(chan struct{}, n)
	for i := range n {
		go func() {
			defer func() { over <- struct{}{} }()
			<-begin
			errs[i] = do(ctx, i)
		}()
	}
	close(begin)
	for range n {
		<-over
	}
	return errs
}
