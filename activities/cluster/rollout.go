package cluster

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/manifest"
)

// MissingInPod returns the part of the profile that the pod of an instance lacks; empty if it has everything. image is
// the image of the PostgreSQL version.
func MissingInPod(pod *corev1.Pod, db daap.Database, image string) string {
	if pod.DeletionTimestamp != nil || !diagnosis.PodReady(pod) {
		return fmt.Sprintf("Pod %s is not ready", pod.Name)
	}
	want := db.Profile
	archives := slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
		return c.Name == manifest.ArchiverContainer
	})
	if archives != want.BackupEnabled {
		return fmt.Sprintf("Pod %s still has the previous specification", pod.Name)
	}
	for _, c := range pod.Spec.Containers {
		if c.Name != manifest.PostgresContainer {
			continue
		}
		if c.Image != image ||
			c.Resources.Requests.Cpu().Cmp(want.CPU) != 0 || c.Resources.Limits.Memory().Cmp(want.Memory) != 0 {
			return fmt.Sprintf("Pod %s still has the previous specification", pod.Name)
		}
	}
	return ""
}

// MissingElsewhere returns the part of the profile that the volumes and the pool lack; empty if they have everything.
func (k *Kubernetes) MissingElsewhere(ctx context.Context, db daap.Database) (string, error) {
	claims, err := k.Claims(ctx, db)
	if err != nil {
		return "", err
	}
	for _, claim := range claims {
		if has := claim.Status.Capacity[corev1.ResourceStorage]; has.Cmp(db.Profile.StorageSize) < 0 {
			return fmt.Sprintf("Volume claim %s has grown to %s of %s",
				claim.Name, has.String(), db.Profile.StorageSize.String()), nil
		}
	}
	var pooler appsv1.Deployment
	key := client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: daap.PoolerService}
	if err := k.Client.Get(ctx, key, &pooler); err != nil {
		return "", fmt.Errorf("get deployment of pooler in %s: %w", key.Namespace, err)
	}
	template := pooler.Spec.Template
	if template.Annotations[manifest.AnnotationPool] != manifest.Pool(db.Profile) ||
		template.Labels[manifest.LabelTier] != db.Tier {
		return "The Pooler's pods still have the previous specification", nil
	}
	_, progress := PoolerReady(&pooler)
	return progress, nil
}
