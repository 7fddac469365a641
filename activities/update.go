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

// update is a database that gets another tier: as it was, as it first becomes, and as it is to be in the end.
type update struct{ was, first, last daap.Database }

// update reads what the operation makes of its database.
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

// CheckUpdate finds out, before anything is changed, what would park the update past the point where it can be given
// up: an image that is not known, and volumes that cannot grow.
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

// canGrow is final where the claim's storage class does not let it grow.
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

// UpdateNamespace labels the database's namespace with its tier to be.
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

// UpdateCluster changes what of the Cluster can be changed back.
func (s *Steps) UpdateCluster(ctx context.Context, in Input) error {
	u, err := s.update(ctx, in)
	if err != nil {
		return err
	}
	return s.changeCluster(ctx, u.first)
}

// RevertCluster makes the Cluster be again as the database's record says, and waits until every instance is. One that
// is gone has nothing to take back.
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

// WaitRolloutInForce waits until every instance runs with what of the tier can be changed back, and the pool with all
// of it.
func (s *Steps) WaitRolloutInForce(ctx context.Context, in Input) error {
	u, err := s.update(ctx, in)
	if err != nil {
		return err
	}
	return s.waitInForce(ctx, in, u.first)
}

// GrowCluster changes the rest of the Cluster, which cannot be changed back.
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

// inForce says whether all of the database's profile is in force, and if not, what is missing. That a Cluster is
// healthy does not tell: it says so also before its operator has seen a change. So pods, volumes and PostgreSQL
// itself are asked for what they have, and a client's way to it is tried.
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
	// A Service leads to a new pod a moment after that is ready.
	if err := s.Postgres.SelectOne(ctx, db); err != nil {
		return false, err.Error(), nil
	}
	return true, "", nil
}
