package activities

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/objectstore"
	"github.com/daap-dev/daap/activities/postgres"
)

// ApplyNamespace applies the database's namespace, the rights in it, and the network access of its pods.
func (s *Steps) ApplyNamespace(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	return s.applyStep(ctx, db, daap.StepNamespace)
}

// CreateCredentials creates the Secrets with the passwords of the owner and of the worker's own role. Existing
// passwords stay; DAAP's labels are applied.
func (s *Steps) CreateCredentials(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	for _, o := range manifest.Objects(db, s.Platform) {
		secret, is := o.Built.(*corev1.Secret)
		if !is || o.Step != daap.StepCredentials {
			continue
		}
		secret.Data[corev1.BasicAuthPasswordKey] = []byte(rand.Text())
		if err := s.Cluster.CreateOnce(ctx, secret); err != nil {
			return err
		}
		secret.Data = nil // keep the existing values
		if err := s.Cluster.Apply(ctx, secret); err != nil {
			return err
		}
	}
	return nil
}

// ApplyArchive applies the database's archive: the bucket, the keys to it, and the ObjectStore that the Cluster
// archives to.
func (s *Steps) ApplyArchive(ctx context.Context, in Input) error {
	db, err := s.goal(ctx, in)
	if err != nil {
		return err
	}
	if err := s.openArchive(ctx, db); err != nil {
		return err
	}
	return s.applyStep(ctx, db, daap.StepArchive)
}

// openArchive creates the bucket and the database's keys to it.
func (s *Steps) openArchive(ctx context.Context, db daap.Database) error {
	if err := s.Archives.EnsureBucket(ctx, db); err != nil {
		return err
	}
	return s.Keys.Issue(ctx, db, manifest.ArchiveCredentials, objectstore.ArchivePolicy(db))
}

// ApplyCluster applies the Cluster of the database's incarnation, for a database that is being created.
func (s *Steps) ApplyCluster(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	return s.applyCluster(ctx, db)
}

func (s *Steps) applyCluster(ctx context.Context, db daap.Database) error {
	if err := s.beforeCluster(ctx, db); err != nil {
		return err
	}
	return s.Cluster.Apply(ctx, manifest.Cluster(db, s.Platform))
}

// changeCluster changes the existing Cluster to match the database's record.
func (s *Steps) changeCluster(ctx context.Context, db daap.Database) error {
	if err := s.beforeCluster(ctx, db); err != nil {
		return err
	}
	return s.Cluster.Change(ctx, db, manifest.Cluster(db, s.Platform))
}

// beforeCluster checks and creates the prerequisites of the Cluster.
func (s *Steps) beforeCluster(ctx context.Context, db daap.Database) error {
	if err := s.imageKnown(db); err != nil {
		return err
	}
	// Databases from before the worker had a role of its own lack its Secret.
	return s.Cluster.CreateOnce(ctx, manifest.WorkerCredentials(db, rand.Text()))
}

// imageKnown returns a final error if the worker has no image for the database's PostgreSQL: without one, the operator
// would use its own default, which may be another version.
func (s *Steps) imageKnown(db daap.Database) error {
	if s.Platform.PostgresImages[db.Profile.PGVersion] != "" {
		return nil
	}
	return final(diagnosis.Cause(daap.CauseVersionUnknown, "The worker has no image for PostgreSQL %s, only for %s",
		db.Profile.PGVersion, strings.Join(s.Platform.PostgresImages.Versions(), ", ")))
}

// ApplyPooler applies the Pooler and gives the team's clients network access to it and to the instances.
func (s *Steps) ApplyPooler(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	return s.applyStep(ctx, db, daap.StepPooler)
}

// WaitDatabaseReady waits until the Cluster and the Pooler run the requested configuration.
func (s *Steps) WaitDatabaseReady(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	return s.wait(ctx, in, func(ctx context.Context) (bool, string, error) {
		return cluster.Ready(ctx, s.Cluster.Watch, db)
	})
}

// VerifyConnection waits until the worker's own role may connect, and runs SELECT 1 as the database's owner, directly
// and through the pool. It records the CA certificate first, so that teams get it even if a person skips this step
// because the worker itself has no network access to the database.
func (s *Steps) VerifyConnection(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	ca, err := s.Cluster.SecretValue(ctx, daap.Namespace(db.ID), manifest.CASecret(db), manifest.CAKey)
	if err != nil {
		return err
	}
	if err := s.Results.SaveCACertificate(ctx, in.Operation, db.ID, string(ca)); err != nil {
		return fmt.Errorf("save the CA certificate of database %s: %w", db.ID, err)
	}
	if err = s.Postgres.AwaitRole(ctx, db); err == nil {
		err = s.Postgres.SelectOne(ctx, db)
	}
	if postgres.AcceptsNoConnections(err) {
		if err = s.Postgres.Open(ctx, db); err == nil {
			err = s.Postgres.SelectOne(ctx, db)
		}
	}
	if err != nil {
		return withCause(err, diagnosis.Cause(daap.CauseConnectFailed, "%s", err.Error()))
	}
	if !db.Profile.BackupEnabled { // otherwise, after its first base backup
		return s.leaveSource(ctx, db)
	}
	return nil
}

// EnableBackups schedules base backups at the times of the tier, waits until WAL is archived and one base backup is
// completed, and records the state of the backups. A restored database no longer needs its source after that.
func (s *Steps) EnableBackups(ctx context.Context, in Input) error {
	db, err := s.goal(ctx, in)
	if err != nil {
		return err
	}
	if err := s.applyStep(ctx, db, daap.StepBackup); err != nil {
		return err
	}
	if err := s.backUp(ctx, in, db, cluster.BackupFilter{Prefix: "first", Any: true}); err != nil {
		return err
	}
	return s.leaveSource(ctx, db)
}
