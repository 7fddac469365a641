// Package activities contains the activities that workflows call. Each may run twice, and takes only IDs. The
// Interceptor fences them, writes their progress to the operation's row and decides which of their errors are final.
// The steps of an operation are in the file with its name; the packages below do the work.
package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/objectstore"
	"github.com/daap-dev/daap/activities/postgres"
)

// Input is the input of every step's activity. It is stored in the workflow's history, so it contains only IDs.
type Input struct {
	Operation uuid.UUID
	Database  uuid.UUID
	Step      daap.StepName
	// Undo means that the activity rolls the step back.
	Undo bool `json:",omitempty"`
}

// Steps are the activities of the steps of operations. They read the desired state from the database's record, and
// change existing objects to match it.
type Steps struct {
	Rows    operationRows
	Results resultRows
	Backups backupRows
	// Cluster is the client of Kubernetes.
	Cluster  *cluster.Kubernetes
	Postgres *postgres.Postgres
	Archives *objectstore.Archives
	Keys     *objectstore.Keys
	Platform manifest.Platform
	// Diagnosis finds the cause of a long wait; nil turns diagnosis off.
	Diagnosis *diagnosis.Diagnosis
}

// operationRows are the records of databases and operations that steps read, and the progress of the steps.
type operationRows interface {
	Database(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.Database, error)
	Operation(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.Operation, error)
	holds
}

// resultRows store the results of steps that are not in Kubernetes.
type resultRows interface {
	// SaveCACertificate records the PEM; ErrSuperseded if the operation no longer holds the database.
	SaveCACertificate(ctx context.Context, operation, database uuid.UUID, pem string) error
	// BeginIncarnation gives the database the incarnation after from, restored from its own archive with that server
	// name. It does so once per operation.
	BeginIncarnation(ctx context.Context, operation uuid.UUID, from int, server string) error
	// SaveReceipt adds the counted objects to the operation's receipt.
	SaveReceipt(ctx context.Context, operation uuid.UUID, counted daap.Receipt) error
	// CloseArchive records when the last change was committed; nil if changes are archived again.
	CloseArchive(ctx context.Context, database uuid.UUID, at *time.Time) error
}

// backupRows are the databases that have backups or archives, and the state of their backups.
type backupRows interface {
	// BackedUpDatabases returns at most limit databases with backups, ordered by ID, starting after the ID after.
	BackedUpDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error)
	// DatabasesWithArchives returns at most limit databases whose archives may be pruned, ordered by ID, starting after
	// the ID after.
	DatabasesWithArchives(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error)
	// SaveBackups records an observation, unless a later one is already recorded.
	SaveBackups(ctx context.Context, db daap.Database, state daap.BackupState, backups []daap.Backup) error
	// ForgetBackups deletes the rows of base backups, given Barman's IDs.
	ForgetBackups(ctx context.Context, database uuid.UUID, server string, backupIDs []string) error
}

// database reads the database's row, whichever team owns it.
func (s *Steps) database(ctx context.Context, in Input) (daap.Database, error) {
	db, err := s.Rows.Database(ctx, daap.EveryTeam, in.Database)
	if err != nil {
		return db, fmt.Errorf("read database %s: %w", in.Database, err)
	}
	return db, nil
}

// goal returns the database as the operation makes it, or, during an undo, as it was before.
func (s *Steps) goal(ctx context.Context, in Input) (daap.Database, error) {
	db, err := s.database(ctx, in)
	if err != nil || in.Undo {
		return db, err
	}
	op, err := s.Rows.Operation(ctx, daap.EveryTeam, in.Operation)
	if err != nil {
		return db, fmt.Errorf("read operation %s: %w", in.Operation, err)
	}
	if op.Tier != nil {
		db = db.With(*op.Tier)
	}
	return db, nil
}

// applyStep applies the step's objects of the database in order, except its Secrets and its Cluster: those are applied
// by their own functions.
func (s *Steps) applyStep(ctx context.Context, db daap.Database, step daap.StepName) error {
	return s.eachObject(db, step, func(o manifest.Object) error { return s.applyObject(ctx, db, o) })
}

// takeBackStep is applyStep that also reverts the changes of other writers.
func (s *Steps) takeBackStep(ctx context.Context, db daap.Database, step daap.StepName) error {
	return s.eachObject(db, step, func(o manifest.Object) error {
		if _, err := s.Cluster.TakeOver(ctx, o.Built); err != nil {
			return err
		}
		return s.applyObject(ctx, db, o)
	})
}

// applyObject applies the object, and waits until the rights that it grants to the worker, if any, are in force.
func (s *Steps) applyObject(ctx context.Context, db daap.Database, o manifest.Object) error {
	if err := s.Cluster.Apply(ctx, o.Built); err != nil || !o.Grants {
		return err
	}
	return s.Cluster.AwaitRights(ctx, db)
}

func (s *Steps) eachObject(db daap.Database, step daap.StepName, do func(manifest.Object) error) error {
	for _, o := range manifest.Objects(db, s.Platform) {
		if o.Step != step || !o.Followed || o.Kind() == manifest.ClusterKind {
			continue
		}
		if err := do(o); err != nil {
			return err
		}
	}
	return nil
}

// wait waits until check succeeds, and asks Diagnosis for the cause if that takes long.
func (s *Steps) wait(ctx context.Context, in Input, check check) error {
	w := waiter{watch: s.Cluster.Watch, operations: s.Rows}
	if s.Diagnosis != nil {
		w.diagnose = func(ctx context.Context) (*daap.Cause, error) {
			db, err := s.database(ctx, in)
			if err != nil {
				return nil, err
			}
			return s.Diagnosis.Of(ctx, db)
		}
	}
	return w.until(ctx, in, check)
}
