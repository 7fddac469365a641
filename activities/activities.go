// Package activities is what workflows do outside of themselves. Every activity may run twice and takes IDs only. An
// Interceptor around them all fences them, writes their progress to the operation's row and decides which of their
// errors are final. The steps of an operation are in the file of its name; what they do it with is in the packages
// below.
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

// Input is what every step's activity takes. It goes into the workflow's history, so it holds IDs only.
type Input struct {
	Operation uuid.UUID
	Database  uuid.UUID
	Step      daap.StepName
	// Undo says that the activity takes back what the step did.
	Undo bool `json:",omitempty"`
}

// Steps are the activities that steps of operations consist of. What they make is looked up in the record of the
// database; what is there already is brought to what the record says.
type Steps struct {
	Rows    operationRows
	Results resultRows
	Backups backupRows
	// Cluster is Kubernetes.
	Cluster  *cluster.Kubernetes
	Postgres *postgres.Postgres
	Archives *objectstore.Archives
	Keys     *objectstore.Keys
	Platform manifest.Platform
	// Diagnosis finds out why a wait takes long; nil leaves that out.
	Diagnosis *diagnosis.Diagnosis
}

// operationRows are the records of databases and operations that steps read, and how far a step is.
type operationRows interface {
	Database(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.Database, error)
	Operation(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.Operation, error)
	holds
}

// resultRows keep what steps found out or did beside Kubernetes.
type resultRows interface {
	// SaveCACertificate records the PEM; ErrSuperseded when the operation no longer holds the database.
	SaveCACertificate(ctx context.Context, operation, database uuid.UUID, pem string) error
	// BeginIncarnation gives the database the incarnation after from, restored from its own archive of that server name,
	// once for each operation.
	BeginIncarnation(ctx context.Context, operation uuid.UUID, from int, server string) error
	// SaveReceipt adds to the operation's receipt what was counted.
	SaveReceipt(ctx context.Context, operation uuid.UUID, counted daap.Receipt) error
	// CloseArchive records when the last change was committed; nil where changes are archived again.
	CloseArchive(ctx context.Context, database uuid.UUID, at *time.Time) error
}

// backupRows are the databases that have backups or archives, and the state of those.
type backupRows interface {
	// BackedUpDatabases returns at most limit of them, in order of ID from after on.
	BackedUpDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error)
	// DatabasesWithArchives returns at most limit of those whose archives may be pruned, in order of ID from after on.
	DatabasesWithArchives(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error)
	// SaveBackups records what was observed; what was observed later stays.
	SaveBackups(ctx context.Context, db daap.Database, state daap.BackupState, backups []daap.Backup) error
	// ForgetBackups removes base backups by Barman's IDs.
	ForgetBackups(ctx context.Context, database uuid.UUID, server string, backupIDs []string) error
}

// database reads the row of the database, whichever team owns it.
func (s *Steps) database(ctx context.Context, in Input) (daap.Database, error) {
	db, err := s.Rows.Database(ctx, daap.EveryTeam, in.Database)
	if err != nil {
		return db, fmt.Errorf("read database %s: %w", in.Database, err)
	}
	return db, nil
}

// goal is the database as the operation makes it, or as it was where the operation takes back.
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

// applyStep applies the objects of the database that belong to the step, in their order, beside its Secrets and its
// Cluster, which have ways of their own.
func (s *Steps) applyStep(ctx context.Context, db daap.Database, step daap.StepName) error {
	return s.eachObject(db, step, func(o manifest.Object) error {
		if err := s.Cluster.Apply(ctx, o.Built); err != nil || !o.Grants {
			return err
		}
		return s.Cluster.AwaitRights(ctx, db)
	})
}

// takeBackStep is applyStep that also takes back what others wrote.
func (s *Steps) takeBackStep(ctx context.Context, db daap.Database, step daap.StepName) error {
	return s.eachObject(db, step, func(o manifest.Object) error {
		if _, err := s.Cluster.TakeOver(ctx, o.Built); err != nil {
			return err
		}
		if err := s.Cluster.Apply(ctx, o.Built); err != nil || !o.Grants {
			return err
		}
		return s.Cluster.AwaitRights(ctx, db)
	})
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

// wait waits until check succeeds, and asks Diagnosis why it takes long.
func (s *Steps) wait(ctx context.Context, in Input, look look) error {
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
	return w.until(ctx, in, look)
}
