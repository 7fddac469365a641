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

// ApplyNamespace makes the database's namespace be as it should, with who has rights in it and whom its pods may talk
// with.
func (s *Steps) ApplyNamespace(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	return s.applyStep(ctx, db, daap.StepNamespace)
}

// CreateCredentials makes the Secrets with the passwords of the owner and of the worker's own role, once: a password that
// is there stays, and the labels are those of DAAP.
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
		secret.Data = nil // the values are those that are there
		if err := s.Cluster.Apply(ctx, secret); err != nil {
			return err
		}
	}
	return nil
}

// ApplyArchive makes the database's archive be there: the bucket, the keys to it, and the ObjectStore that the Cluster
// is to archive to.
func (s *Steps) ApplyArchive(ctx context.Context, in Input) error {
	db, err := s.goal(ctx, in)
	if err != nil {
		return err
	}
	if err := s.Archives.EnsureBucket(ctx, db); err != nil {
		return err
	}
	if err := s.Keys.Issue(ctx, db, manifest.ArchiveCredentials, objectstore.ArchivePolicy(db)); err != nil {
		return err
	}
	return s.applyStep(ctx, db, daap.StepArchive)
}

// ApplyCluster makes the Cluster of the database's incarnation be as it should, of a database that is being made.
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

// changeCluster brings the Cluster that is there to what the database's record says.
func (s *Steps) changeCluster(ctx context.Context, db daap.Database) error {
	if err := s.beforeCluster(ctx, db); err != nil {
		return err
	}
	return s.Cluster.Change(ctx, db, manifest.Cluster(db, s.Platform))
}

// beforeCluster sees to what the Cluster needs.
func (s *Steps) beforeCluster(ctx context.Context, db daap.Database) error {
	if err := s.imageKnown(db); err != nil {
		return err
	}
	// The worker had no role of its own in databases that were made before.
	return s.Cluster.CreateOnce(ctx, manifest.WorkerCredentials(db, rand.Text()))
}

// imageKnown is final where there is no image of the database's PostgreSQL: without one the operator would take its
// own default, which may be of another version.
func (s *Steps) imageKnown(db daap.Database) error {
	if s.Platform.PostgresImages[db.Profile.PGVersion] != "" {
		return nil
	}
	return final(diagnosis.Cause(daap.CauseVersionUnknown, "The worker has no image for PostgreSQL %s, only for %s",
		db.Profile.PGVersion, strings.Join(s.Platform.PostgresImages.Versions(), ", ")))
}

// ApplyPooler makes the Pooler be as it should, and lets the team's clients reach it and the instances.
func (s *Steps) ApplyPooler(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil {
		return err
	}
	return s.applyStep(ctx, db, daap.StepPooler)
}

// WaitDatabaseReady waits until the Cluster and the Pooler run all of what was asked for.
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
// and through the pool. The CA certificate that it verifies with is recorded first: where a person skips this step, as
// the worker's own route to the database is barred, teams get the certificate all the same.
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
	if postgres.TakesNobody(err) {
		if err = s.Postgres.Open(ctx, db); err == nil {
			err = s.Postgres.SelectOne(ctx, db)
		}
	}
	if err != nil {
		return withCause(err, diagnosis.Cause(daap.CauseConnectFailed, "%s", err.Error()))
	}
	if !db.Profile.BackupEnabled { // otherwise its first base backup comes before
		return s.leaveSource(ctx, db)
	}
	return nil
}

// EnableBackups has base backups of the database taken at the times of its tier, waits until WAL is archived and one is
// completed, and records what is observed of that. A database that was restored does not need its source any more then.
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
