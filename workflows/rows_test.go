package workflows_test

import (
	"context"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/persistence/memory"
)

// rows are the store, with one pending operation of the kind and its database.
type rows struct {
	*memory.Store
	t *testing.T
}

func newRows(t *testing.T, kind daap.OperationKind) rows {
	t.Helper()
	db := daap.Database{
		ID: input.Database, Name: "orders", OwnerTeam: "shop", Status: kind.During(), Incarnation: 1,
	}.With(daap.Tier{Name: "small", Profile: small})
	op := daap.Operation{
		ID: input.Operation, DatabaseID: input.Database, Kind: kind, State: daap.OperationPending, BacksUp: input.BacksUp,
	}
	if !kind.Makes() {
		op.StatusBefore = daap.DatabaseReady
	}
	if kind == daap.UnfreezeDatabase {
		op.StatusBefore = daap.DatabaseFrozen
	}
	if kind == daap.RestoreDatabase {
		db.Source = &daap.Source{DatabaseID: input.Database, ServerName: "pg-1", Destination: "s3://backups/source"}
	}
	if kind == daap.UpdateDatabase {
		large := small
		large.Instances, large.HAReplicas, large.PoolMode = 2, 1, daap.PoolSession
		large.Memory, large.StorageSize = resource.MustParse("1Gi"), resource.MustParse("2Gi")
		op.Tier = &daap.Tier{Name: "large", Profile: large}
	}
	r := rows{memory.New(), t}
	r.PutDatabase(db)
	r.PutOperation(op.Planned())
	return r
}

// small is what the database has in the beginning.
var small = daap.Profile{
	Instances: 1, CPU: resource.MustParse("500m"), Memory: resource.MustParse("512Mi"), StorageSize: resource.MustParse("1Gi"),
	PGVersion: "17", PoolMode: daap.PoolTransaction, Backups: daap.Backups{
		BackupEnabled: true, BackupFrequency: "0 2 * * *", BackupRetentionDays: 14, WALArchivingEnabled: true,
		ObjectStorageDestination: "s3://backups",
	},
}

func (r rows) db() daap.Database {
	r.t.Helper()
	db, err := r.Database(context.Background(), daap.EveryTeam, input.Database)
	if err != nil {
		r.t.Fatal(err)
	}
	return db
}

func (r rows) op() daap.Operation {
	r.t.Helper()
	op, err := r.Operation(context.Background(), daap.EveryTeam, input.Operation)
	if err != nil {
		r.t.Fatal(err)
	}
	return op
}

// change replaces the operation with a changed one, as another process would.
func (r rows) change(change func(*daap.Operation)) {
	r.t.Helper()
	op := r.op()
	change(&op)
	r.PutOperation(op)
}

// step is how the step stands.
func (r rows) step(name daap.StepName) daap.StepState {
	r.t.Helper()
	steps := r.op().Steps
	i := slices.IndexFunc(steps, func(s daap.Step) bool { return s.Name == name })
	return steps[i].State
}

// parks tell why the operation was parked, decisions what was decided.
func (r rows) parks() []daap.Event     { return r.events(daap.EventParked) }
func (r rows) decisions() []daap.Event { return r.events(daap.EventDecided) }

func (r rows) events(kind daap.EventKind) []daap.Event {
	r.t.Helper()
	all, err := r.Events(context.Background(), daap.EveryTeam,
		daap.EventFilter{DatabaseID: input.Database, Page: daap.Page{Limit: 1000}})
	if err != nil {
		r.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(e daap.Event) bool { return e.Kind != kind })
}
