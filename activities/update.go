package activities

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/manifest"
)

// update is a database whose tier changes: before, after the reversible changes, and after all changes.
type update struct{ was, first, last daap.Database }

// update reads the operation's changes of its database.
func (s *Steps) update(ctx context.Context, in Input) (update, error) {
	db, err := s.database(ctx, in)
	if err != nil {
		return update{}, err
	}
	op, err := s.Rows.Operation(ctx, daap.EveryTeam, in.Operation)
	if err != nil {
		return update{}, fmt.Errorf("read operation %s: %w", in.Operation, err)
	}
	if op.Tier == nil {
		return update{}, fmt.Errorf("operation %s has no tier", in.Operation)
	}
	u := update{was: db, first: db.With(*op.Tier), last: db.With(*op.Tier)}
	u.first.Profile = db.Profile.ReversiblePart(op.Tier.Profile)
	return u, nil
}

// CheckUpdate checks, before any change, the reasons that could park the update after its pivot, from which it cannot
// be rolled back: an unknown image, and volumes that cannot grow.
func (s *Steps) CheckUpdate(ctx context.Context, in Input) error {
	u, err := s.update(ctx, in)
	if err != nil {
		return err
	}
	if err := s.imageKnown(u.last); err != nil {
		return err
	}
	if u.last.Profile.StorageSize.Cmp(u.was.Profile.StorageSize) <= 0 {
		return nil
	}
	claims, err := s.Cluster.Claims(ctx, u.was)
	if err != nil {
		return err
	}
	for _, claim := range claims {
		if err := s.canGrow(ctx, claim); err != nil {
			return err
		}
	}
	return nil
}

// canGrow returns a final error if the claim's storage class does not allow it to grow.
func (s *Steps) canGrow(ctx context.Context, claim corev1.PersistentVolumeClaim) error {
	if claim.Spec.StorageClassName == nil {
		return nil
	}
	var class storagev1.StorageClass
	if err := s.Cluster.Client.Get(ctx, client.ObjectKey{Name: *claim.Spec.StorageClassName}, &class); err != nil {
		return fmt.Errorf("get storage class %s: %w", *claim.Spec.StorageClassName, err)
	}
	if class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion {
		return nil
	}
	return final(diagnosis.Cause(daap.CauseRejected,
		"Storage class %s does not allow volumes to grow (allowVolumeExpansion), but the tier has more storage. Nothing "+
			"has changed yet; the operation can be aborted", class.Name))
}

// UpdateNamespace labels the database's namespace with its new tier.
func (s *Steps) UpdateNamespace(ctx context.Context, in Input) error {
	u, err := s.update(ctx, in)
	if err != nil {
		return err
	}
	return s.applyStep(ctx, u.last, daap.StepNamespace)
}

// RevertArchive removes the archive's objects in Kubernetes, and its keys, from a database that had none before.
func (s *Steps) RevertArchive(ctx context.Context, in Input) error {
	db, err := s.database(ctx, in)
	if err != nil || db.Profile.BackupEnabled {
		return err
	}
	store := manifest.ObjectStore(db, s.Platform)
	if err := s.Cluster.Delete(ctx, store); err != nil {
		return err
	}
	return s.Keys.Revoke(ctx, db.ID, manifest.ArchiveCredentials)
}

// UpdateCluster makes the reversible changes of the Cluster.
func (s *Steps) UpdateCluster(ctx context.Context, in Input) error {
	u, err := s.update(ctx, in)
	if err != nil {
		return err
	}
	return s.changeCluster(ctx, u.first)
}

// RevertCluster changes the Cluster back to the database's record, and waits until every instance has changed. A
// Cluster that is gone is not an error.
func (s *Steps) RevertCluster(ctx context.Context, in Input) error {
	u, err := s.update(ctx, in)
	if err != nil {
		return err
	}
	err = s.changeCluster(ctx, u.was)
	if gone := (*cluster.GoneError)(nil); errors.As(err, &gone) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.waitInForce(ctx, in, u.was)
}

// UpdatePooler changes the Pooler.
func (s *Steps) UpdatePooler(ctx context.Context, in Input) error {
	u, err := s.update(ctx, in)
	if err != nil {
		return err
	}
	return s.applyStep(ctx, u.last, daap.StepPooler)
}

// WaitRolloutInForce waits until every instance has the reversible changes, and the pool has all of the tier.
func (s *Steps) WaitRolloutInForce(ctx context.Context, in Input) error {
	u, err := s.update(ctx, in)
	if err != nil {
		return err
	}
	return s.waitInForce(ctx, in, u.first)
}

// GrowCluster makes the irreversible changes of the Cluster.
func (s *Steps) GrowCluster(ctx context.Context, in Input) error {
	u, err := s.update(ctx, in)
	if err != nil {
		return err
	}
	return s.changeCluster(ctx, u.last)
}

// WaitUpdateInForce waits until all of the tier is in force.
func (s *Steps) WaitUpdateInForce(ctx context.Context, in Input) error {
	u, err := s.update(ctx, in)
	if err != nil {
		return err
	}
	return s.waitInForce(ctx, in, u.last)
}

func (s *Steps) waitInForce(ctx context.Context, in Input, db daap.Database) error {
	return s.wait(ctx, in, func(ctx context.Context) (bool, string, error) { return s.inForce(ctx, db) })
}

// inForce reports whether the database's profile is completely in force, and if not, the missing part. A healthy
// Cluster is not enough: it also reports that before its operator has processed a change. So inForce checks pods,
// volumes and PostgreSQL itself, and tries the clients' route.
func (s *Steps) inForce(ctx context.Context, db daap.Database) (bool, string, error) {
	if done, progress, err := cluster.Ready(ctx, s.Cluster.Watch, db); !done || err != nil {
		return false, progress, err
	}
	pods, err := s.Cluster.Instances(ctx, db)
	if err != nil {
		return false, "", err
	}
	if len(pods) != db.Profile.Instances {
		return false, fmt.Sprintf("%d of %d instances exist", len(pods), db.Profile.Instances), nil
	}
	image := s.Platform.PostgresImages[db.Profile.PGVersion]
	for i := range pods {
		if missing := cluster.MissingInPod(&pods[i], db, image); missing != "" {
			return false, missing, nil
		}
	}
	if missing, err := s.Cluster.MissingElsewhere(ctx, db); missing != "" || err != nil {
		return false, missing, err
	}
	if missing, err := s.Postgres.MissingSettings(ctx, db, pods); missing != "" || err != nil {
		return false, missing, err
	}
	// A Service routes to a new pod with a short delay after the pod is ready.
	if err := s.Postgres.SelectOne(ctx, db); err != nil {
		return false, err.Error(), nil
	}
	return true, "", nil
}
