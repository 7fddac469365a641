package activities

import (
	"slices"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap/activities/manifest"
)

// trim keeps of an object what the shared watch is asked for, so that ten thousand databases have room in a worker. Of
// managedFields it keeps who else wrote what DAAP applies.
func trim(obj any) (any, error) {
	object, ok := obj.(metav1.Object)
	if !ok {
		return obj, nil // a tombstone
	}
	object.SetManagedFields(slices.DeleteFunc(object.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool {
		return !isForeign(e)
	}))
	hibernation := object.GetAnnotations()[manifest.AnnotationHibernation]
	object.SetAnnotations(nil)
	if hibernation != "" {
		object.SetAnnotations(map[string]string{manifest.AnnotationHibernation: hibernation})
	}
	object.SetOwnerReferences(nil)
	switch o := obj.(type) {
	case *cnpgv1.Cluster:
		o.Spec = cnpgv1.ClusterSpec{Instances: o.Spec.Instances}
		o.Status = cnpgv1.ClusterStatus{
			Phase: o.Status.Phase, PhaseReason: o.Status.PhaseReason, Conditions: o.Status.Conditions,
			ReadyInstances: o.Status.ReadyInstances,
			CurrentPrimary: o.Status.CurrentPrimary, TargetPrimary: o.Status.TargetPrimary,
		}
	case *corev1.Pod:
		o.Spec = corev1.PodSpec{NodeName: o.Spec.NodeName}
		o.Status = corev1.PodStatus{
			Phase: o.Status.Phase, Conditions: o.Status.Conditions,
			InitContainerStatuses: trimmed(o.Status.InitContainerStatuses),
			ContainerStatuses:     trimmed(o.Status.ContainerStatuses),
		}
	case *appsv1.Deployment:
		o.Spec = appsv1.DeploymentSpec{Replicas: o.Spec.Replicas}
	case *cnpgv1.Pooler:
		o.Spec = cnpgv1.PoolerSpec{}
	case *networkingv1.NetworkPolicy:
		o.Spec = networkingv1.NetworkPolicySpec{}
	}
	return obj, nil
}

// trimmed are the statuses of containers without their images.
func trimmed(statuses []corev1.ContainerStatus) []corev1.ContainerStatus {
	kept := make([]corev1.ContainerStatus, 0, len(statuses))
	for _, s := range statuses {
		trimmed := corev1.ContainerStatus{Name: s.Name, Ready: s.Ready, State: s.State}
		if end := s.LastTerminationState.Terminated; end != nil {
			trimmed.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{
				ExitCode: end.ExitCode, Reason: end.Reason,
			}
		}
		kept = append(kept, trimmed)
	}
	return kept
}
