package cluster

import (
	"context"
	"fmt"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// Instances returns the pods of PostgreSQL from the API server: callers need fields that the shared watch drops.
func (k *Kubernetes) Instances(ctx context.Context, db daap.Database) ([]corev1.Pod, error) {
	return k.pods(ctx, db, client.MatchingLabels{
		manifest.LabelCluster: manifest.ClusterName(db), manifest.LabelPodRole: manifest.RoleInstance,
	})
}

// Poolers returns the pods of PgBouncer from the API server.
func (k *Kubernetes) Poolers(ctx context.Context, db daap.Database) ([]corev1.Pod, error) {
	return k.pods(ctx, db, client.MatchingLabels{manifest.LabelPodRole: manifest.RolePooler})
}

func (k *Kubernetes) pods(ctx context.Context, db daap.Database, labels client.MatchingLabels) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := k.Client.List(ctx, &pods, client.InNamespace(daap.Namespace(db.ID)), labels); err != nil {
		return nil, fmt.Errorf("list pods of database %s: %w", db.ID, err)
	}
	return pods.Items, nil
}

// Claims returns the volume claims of the database's instances.
func (k *Kubernetes) Claims(ctx context.Context, db daap.Database) ([]corev1.PersistentVolumeClaim, error) {
	var claims corev1.PersistentVolumeClaimList
	err := k.Client.List(ctx, &claims, client.InNamespace(daap.Namespace(db.ID)),
		client.MatchingLabels{manifest.LabelCluster: manifest.ClusterName(db)})
	if err != nil {
		return nil, fmt.Errorf("list volume claims of database %s: %w", db.ID, err)
	}
	return claims.Items, nil
}

// PoolerStopped reports whether no PgBouncer is left.
func (k *Kubernetes) PoolerStopped(ctx context.Context, db daap.Database) (bool, string, error) {
	var pooler appsv1.Deployment
	key := client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: daap.PoolerService}
	err := k.Client.Get(ctx, key, &pooler)
	if client.IgnoreNotFound(err) != nil {
		return false, "", fmt.Errorf("get deployment of pooler in %s: %w", key.Namespace, err)
	}
	if left := pooler.Status.Replicas; err == nil && left > 0 {
		return false, fmt.Sprintf("%d poolers are still running", left), nil
	}
	return true, "", nil
}

// Remains returns the names of the remaining objects of the database's Cluster, from the API server: those that are
// being deleted, and the others.
func (k *Kubernetes) Remains(ctx context.Context, db daap.Database) (going, staying []string, err error) {
	note := func(kind string, object client.Object) {
		said := kind + " " + object.GetName()
		if object.GetDeletionTimestamp() != nil {
			going = append(going, said)
			return
		}
		staying = append(staying, said)
	}
	cluster, err := Get(ctx, k.Client, db)
	if client.IgnoreNotFound(err) != nil {
		return nil, nil, err
	}
	if err == nil {
		note("Cluster", cluster)
	}
	claims, err := k.Claims(ctx, db)
	if err != nil {
		return nil, nil, err
	}
	for i := range claims {
		note("Volume claim", &claims[i])
	}
	pods, err := k.pods(ctx, db, client.MatchingLabels{manifest.LabelCluster: manifest.ClusterName(db)})
	if err != nil {
		return nil, nil, err
	}
	for i := range pods {
		if pods[i].Labels[manifest.LabelPodRole] == manifest.RolePooler {
			continue // PgBouncer has no data, and stays without the Cluster
		}
		note("Pod", &pods[i])
	}
	return going, staying, nil
}

// Hibernation returns CNPG's condition of that name; nil unless the Cluster is requested to hibernate.
func Hibernation(cluster *cnpgv1.Cluster) *metav1.Condition {
	return apimeta.FindStatusCondition(cluster.Status.Conditions, manifest.AnnotationHibernation)
}
