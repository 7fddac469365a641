package workflows_test

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/daap-dev/daap"
)

// rows are DAAP's own rows of one operation and its database, in memory, moved as PostgreSQL moves them.
type rows struct {
	mu sync.Mutex
	db daap.Database
	op daap.Operation
	// steps are how each step stands, parks why the operation was parked, decisions what was decided.
	steps     map[daap.StepName]daap.StepState
	parks     []daap.Cause
	decisions []daap.Decision
}

func newRows(kind daap.OperationKind) *rows {
	r := &rows{
		db: daap.Database{
			ID: input.Database, Name: "orders", OwnerTeam: "shop", Status: kind.During(), Incarnation: 1,
			Tier: "small", Profile: small,
		},
		op: daap.Operation{
			ID: input.Operation, DatabaseID: input.Database, Kind: kind, State: daap.OperationPending, BacksUp: input.BacksUp,
		},
		steps: map[daap.StepName]daap.StepState{},
	}
	if !kind.Makes() {
		r.op.StatusBefore = daap.DatabaseReady
	}
	if kind == daap.UnfreezeDatabase {
		r.op.StatusBefore = daap.DatabaseFrozen
	}
	if kind == daap.RestoreDatabase {
		r.db.Source = &daap.Source{DatabaseID: input.Database, ServerName: "pg-1", Destination: "s3://backups/source"}
	}
	if kind == daap.UpdateDatabase {
		large := small
		large.Instances, large.HAReplicas, large.PoolMode = 2, 1, daap.PoolSession
		large.Memory, large.StorageSize = resource.MustParse("1Gi"), resource.MustParse("2Gi")
		r.op.Tier = &daap.Tier{Name: "large", Profile: large}
	}
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

func (r *rows) state() daap.OperationState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.op.State
}

// holds is daap.ErrSuperseded unless the operation is open; the caller has the lock.
func (r *rows) holds() error {
	if !r.op.State.Open() {
		return daap.ErrSuperseded
	}
	return nil
}

func (r *rows) Database(context.Context, daap.Scope, uuid.UUID) (daap.Database, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.db, nil
}

func (r *rows) Operation(context.Context, daap.Scope, uuid.UUID) (daap.Operation, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.op, nil
}

func (r *rows) HoldsDatabase(_ context.Context, _ uuid.UUID, undo bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if undo != (r.op.CancelledBy != "") {
		return daap.ErrSuperseded
	}
	return r.holds()
}

func (r *rows) BeginOperation(ctx context.Context, id uuid.UUID, undo bool) error {
	if err := r.HoldsDatabase(ctx, id, undo); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.op.State == daap.OperationPending {
		r.op.State = r.op.OnTheWay()
	}
	return nil
}

func (r *rows) RecordStep(_ context.Context, _ uuid.UUID, step daap.Step) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.op.State == r.op.OnTheWay() && step.State.Undoes() == (r.op.CancelledBy != "") {
		r.steps[step.Name], r.op.Step = step.State, step.Name
	}
	return nil
}

func (r *rows) ParkOperation(_ context.Context, _ uuid.UUID, step daap.StepName, cause daap.Cause) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.holds(); err != nil || r.op.State == daap.OperationNeedsAttention {
		return err
	}
	r.op.State, r.op.Step = daap.OperationNeedsAttention, step
	r.parks = append(r.parks, cause)
	return nil
}

func (r *rows) decide(d daap.Decision) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.holds(); err != nil || r.op.State != daap.OperationNeedsAttention {
		return err
	}
	r.op.State = r.op.OnTheWay()
	r.decisions = append(r.decisions, d)
	return nil
}

func (r *rows) ResumeOperation(_ context.Context, _ uuid.UUID, d daap.Decision) error {
	return r.decide(d)
}

func (r *rows) SkipStep(_ context.Context, _ uuid.UUID, step daap.StepName, d daap.Decision) error {
	err := r.decide(d)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps[step] = daap.StepSkipped
	return err
}

func (r *rows) CancelOperation(_ context.Context, _ uuid.UUID, d daap.Decision) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.holds(); err != nil || r.op.CancelledBy != "" {
		return err
	}
	if why := r.op.CancelRefusal(); why != "" {
		return daap.Refused(why)
	}
	r.op.State, r.op.CancelledBy = daap.OperationCancelling, d.Actor
	r.decisions = append(r.decisions, d)
	return nil
}

func (r *rows) FinishCancel(context.Context, uuid.UUID) error {
	return r.finish(daap.OperationCancelled, r.op.AfterCancel())
}

func (r *rows) FinishOperation(context.Context, uuid.UUID) error {
	return r.finish(daap.OperationSucceeded, r.op.Kind.After())
}

func (r *rows) finish(end daap.OperationState, status daap.DatabaseStatus) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.op.State == end {
		return nil
	}
	if err := r.holds(); err != nil {
		return err
	}
	r.op.State, r.db.Status = end, status
	if r.op.Tier != nil && end == daap.OperationSucceeded {
		r.db = r.db.With(*r.op.Tier)
	}
	for name, state := range r.steps {
		if state == daap.StepRunning {
			r.steps[name] = daap.StepDone
		}
	}
	return nil
}

func (r *rows) BackedUpDatabases(context.Context, uuid.UUID, int) ([]daap.Database, error) {
	return nil, nil
}

func (r *rows) DatabasesWithArchives(context.Context, uuid.UUID, int) ([]daap.Database, error) {
	return nil, nil
}

func (r *rows) SaveBackups(context.Context, daap.Database, daap.BackupState, []daap.Backup) error {
	return nil
}

func (r *rows) CloseArchive(context.Context, uuid.UUID, *time.Time) error { return nil }

func (r *rows) SaveReceipt(_ context.Context, _ uuid.UUID, counted daap.Receipt) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.op.Receipt = &counted
	return nil
}

func (r *rows) BeginIncarnation(_ context.Context, _ uuid.UUID, from int, server string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.op.Incarnation == 0 && r.db.Incarnation == from {
		r.db = r.db.Next(server)
		r.op.Incarnation = r.db.Incarnation
	}
	return r.holds()
}

func (r *rows) ForgetBackups(context.Context, uuid.UUID, string, []string) error { return nil }

func (r *rows) SaveCACertificate(context.Context, uuid.UUID, uuid.UUID, string) error { return nil }
