package cluster

import (
	"context"
	"fmt"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/manifest"
)

// InstancesReady reports whether CNPG runs the whole Cluster, and if not, what is missing. The Ready condition is not
// enough: a hibernated Cluster has it too.
func InstancesReady(cluster *cnpgv1.Cluster) (bool, string) {
	status := cluster.Status
	switch {
	case status.Phase == "":
		return false, "The operator has not processed the Cluster yet"
	case status.Phase != cnpgv1.PhaseHealthy:
		return false, diagnosis.WithReason("Cluster: "+status.Phase, status.PhaseReason)
	case !apimeta.IsStatusConditionTrue(status.Conditions, string(cnpgv1.ConditionClusterReady)):
		return false, "Cluster is healthy, but its Ready condition is not true yet"
	case status.ReadyInstances != cluster.Spec.Instances:
		return false, fmt.Sprintf("%d of %d instances are ready", status.ReadyInstances, cluster.Spec.Instances)
	case status.CurrentPrimary == "" || status.CurrentPrimary != status.TargetPrimary:
		return false, fmt.Sprintf("the primary changes from %q to %q", status.CurrentPrimary, status.TargetPrimary)
	}
	return true, ""
}

// PoolerReady reports whether all of the Pooler's pods run its current template and no older pod is left. The Pooler's
// own status is not enough: it counts pods that are not ready.
func PoolerReady(deployment *appsv1.Deployment) (bool, string) {
	want := int32(1)
	if deployment.Spec.Replicas != nil {
		want = *deployment.Spec.Replicas
	}
	status := deployment.Status
	if status.ObservedGeneration < deployment.Generation {
		return false, "Kubernetes has not processed the Pooler's Deployment yet"
	}
	if status.UpdatedReplicas != want || status.ReadyReplicas != want {
		return false, fmt.Sprintf("%d of %d poolers are ready", min(status.UpdatedReplicas, status.ReadyReplicas), want)
	}
	// A new pod is ready shortly before the pod that it replaces is terminated; meanwhile, clients reach both.
	if left := status.Replicas - status.UpdatedReplicas; left > 0 {
		return false, fmt.Sprintf("%d poolers of the previous version are still running", left)
	}
	return true, ""
}

// podTrouble returns the problem of the first pod that has one; empty if none has.
func podTrouble(pods []corev1.Pod) string {
	for _, pod := range pods {
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodScheduled && condition.Reason == corev1.PodReasonUnschedulable {
				return diagnosis.WithReason("Pod "+pod.Name+" cannot be scheduled", condition.Message)
			}
		}
		statuses := append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...),
			pod.Status.ContainerStatuses...)
		for _, status := range statuses {
			if w := status.State.Waiting; w != nil && w.Reason != "PodInitializing" && w.Reason != "ContainerCreating" {
				return diagnosis.WithReason(fmt.Sprintf("Pod %s, container %s: %s", pod.Name, status.Name, w.Reason), w.Message)
			}
		}
	}
	return ""
}

// Get reads the database's Cluster.
func Get(ctx context.Context, reader client.Reader, db daap.Database) (*cnpgv1.Cluster, error) {
	var cluster cnpgv1.Cluster
	key := client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: manifest.ClusterName(db)}
	if err := reader.Get(ctx, key, &cluster); err != nil {
		return nil, fmt.Errorf("get cluster of database %s: %w", db.ID, err)
	}
	return &cluster, nil
}

// Ready reports whether the Cluster and the Pooler run the requested configuration, and if not, what is missing.
func Ready(ctx context.Context, reader client.Reader, db daap.Database) (bool, string, error) {
	cluster, err := Get(ctx, reader, db)
	if apierrors.IsNotFound(err) {
		return false, "Cluster does not exist yet", nil
	}
	if err != nil {
		return false, "", err
	}
	namespace := daap.Namespace(db.ID)
	done, progress := InstancesReady(cluster)
	if done {
		done, progress, err = poolerDone(ctx, reader, namespace)
		if done || err != nil {
			return done, progress, err
		}
	}
	var pods corev1.PodList
	if err := reader.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
		return false, "", fmt.Errorf("list pods of database %s: %w", db.ID, err)
	}
	if trouble := podTrouble(pods.Items); trouble != "" {
		progress += "; " + trouble
	}
	return false, progress, nil
}

func poolerDone(ctx context.Context, reader client.Reader, namespace string) (bool, string, error) {
	var deployment appsv1.Deployment
	err := reader.Get(ctx, client.ObjectKey{Namespace: namespace, Name: daap.PoolerService}, &deployment)
	if apierrors.IsNotFound(err) {
		return false, "The Pooler's Deployment does not exist yet", nil
	}
	if err != nil {
		return false, "", fmt.Errorf("get deployment of pooler in %s: %w", namespace, err)
	}
	done, progress := PoolerReady(&deployment)
	return done, progress, nil
}
