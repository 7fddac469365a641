package activities

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// update is a database that gets another tier: as it was, as it first becomes, and as it is to be in the end.
type update struct{ was, first, last daap.Database }

// update reads what the operation makes of its database.
func (k *Kubernetes) update(ctx context.Context, in Input) (update, error) {
	db, err := k.record(ctx, in)
	if err != nil {
		return update{}, err
	}
	op, err := k.Databases.Operation(ctx, daap.EveryTeam, in.Operation)
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
func (k *Kubernetes) CheckUpdate(ctx context.Context, in Input) error {
	u, err := k.update(ctx, in)
	if err != nil {
		return err
	}
	if err := k.imageKnown(u.last); err != nil {
		return err
	}
	if u.last.Profile.StorageSize.Cmp(u.was.Profile.StorageSize) <= 0 {
		return nil
	}
	claims, err := k.claims(ctx, u.was)
	if err != nil {
		return err
	}
	for _, claim := range claims {
		if err := k.canGrow(ctx, claim); err != nil {
			return err
		}
	}
	return nil
}

// canGrow is final where the claim's storage class does not let it grow.
func (k *Kubernetes) canGrow(ctx context.Context, claim corev1.PersistentVolumeClaim) error {
	if claim.Spec.StorageClassName == nil {
		return nil
	}
	var class storagev1.StorageClass
	if err := k.Client.Get(ctx, client.ObjectKey{Name: *claim.Spec.StorageClassName}, &class); err != nil {
		return fmt.Errorf("get storage class %s: %w", *claim.Spec.StorageClassName, err)
	}
	if class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion {
		return nil
	}
	return final(because(daap.CauseRejected,
		"Storage class %s does not allow volumes to grow (allowVolumeExpansion), but the tier has more storage. Nothing "+
			"has changed yet; the operation can be aborted", class.Name))
}

// claims are those of the volumes of the database's instances.
func (k *Kubernetes) claims(ctx context.Context, db daap.Database) ([]corev1.PersistentVolumeClaim, error) {
	var claims corev1.PersistentVolumeClaimList
	err := k.Client.List(ctx, &claims, client.InNamespace(daap.Namespace(db.ID)),
		client.MatchingLabels{manifest.LabelCluster: manifest.ClusterName(db)})
	if err != nil {
		return nil, fmt.Errorf("list volume claims of database %s: %w", db.ID, err)
	}
	return claims.Items, nil
}

// UpdateNamespace labels the database's namespace with its tier to be.
func (k *Kubernetes) UpdateNamespace(ctx context.Context, in Input) error {
	u, err := k.update(ctx, in)
	if err != nil {
		return err
	}
	return k.applyNamespace(ctx, u.last)
}

// UpdateCluster changes what of the Cluster can be changed back.
func (k *Kubernetes) UpdateCluster(ctx context.Context, in Input) error {
	u, err := k.update(ctx, in)
	if err != nil {
		return err
	}
	return k.changeCluster(ctx, u.first)
}

// UpdatePooler changes the Pooler.
func (k *Kubernetes) UpdatePooler(ctx context.Context, in Input) error {
	u, err := k.update(ctx, in)
	if err != nil {
		return err
	}
	return k.apply(ctx, manifest.Pooler(u.last, k.Platform))
}

// GrowCluster changes the rest of the Cluster, which cannot be changed back.
func (k *Kubernetes) GrowCluster(ctx context.Context, in Input) error {
	u, err := k.update(ctx, in)
	if err != nil {
		return err
	}
	return k.changeCluster(ctx, u.last)
}
