package cluster

import (
	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap/activities/manifest"
)

// reduce removes all fields that no reader of the shared watch needs, so that ten thousand databases fit into a
// worker's memory. Of an applied object's managedFields, it keeps the entries of other writers; of the names of the
// applied fields, the removed ones. Reducing an object twice changes nothing.
func reduce(obj any) (any, error) {
	object, ok := obj.(metav1.Object)
	if !ok {
		return obj, nil // a tombstone
	}
	object.SetAnnotations(neededAnnotations(object))
	written := object.GetManagedFields()
	object.SetManagedFields(nil)
	object.SetOwnerReferences(nil)
	labels, uid := object.GetLabels(), object.GetUID()
	object.SetLabels(nil)
	object.SetUID("")
	switch o := obj.(type) {
	case *cnpgv1.Cluster:
		o.ManagedFields = foreignEntries(written)
		o.Spec = cnpgv1.ClusterSpec{Instances: o.Spec.Instances}
		o.Status = cnpgv1.ClusterStatus{
			Phase: o.Status.Phase, PhaseReason: o.Status.PhaseReason, Conditions: o.Status.Conditions,
			ReadyInstances: o.Status.ReadyInstances,
			CurrentPrimary: o.Status.CurrentPrimary, TargetPrimary: o.Status.TargetPrimary,
		}
	case *metav1.PartialObjectMetadata:
		o.ManagedFields, o.TypeMeta = foreignEntries(written), metav1.TypeMeta{}
	case *corev1.Pod:
		o.Labels = only(labels, manifest.LabelCluster, manifest.LabelPodRole)
		o.Spec = corev1.PodSpec{}
		o.Status = corev1.PodStatus{
			Phase: o.Status.Phase, Conditions: neededConditions(o.Status.Conditions),
			InitContainerStatuses: troubled(o.Status.InitContainerStatuses),
			ContainerStatuses:     troubled(o.Status.ContainerStatuses),
		}
	case *appsv1.Deployment:
		o.Spec = appsv1.DeploymentSpec{Replicas: o.Spec.Replicas}
		o.Status.Conditions = nil
	case *cnpgv1.Backup:
		o.UID = uid
		o.Spec = cnpgv1.BackupSpec{Cluster: o.Spec.Cluster}
		o.Status = cnpgv1.BackupStatus{
			Phase: o.Status.Phase, BackupID: o.Status.BackupID, BeginWal: o.Status.BeginWal, EndWal: o.Status.EndWal,
			StartedAt: o.Status.StartedAt, StoppedAt: o.Status.StoppedAt, Error: o.Status.Error,
		}
	}
	return obj, nil
}

// only returns the entries with these keys; nil if there are none.
func only(all map[string]string, keys ...string) map[string]string {
	var kept map[string]string
	for _, key := range keys {
		if value, there := all[key]; there {
			if kept == nil {
				kept = map[string]string{}
			}
			kept[key] = value
		}
	}
	return kept
}

// neededAnnotations returns the annotations that readers need. The annotation with the names of the applied fields
// keeps only the removed ones, and is missing if none is removed.
func neededAnnotations(object metav1.Object) map[string]string {
	all := object.GetAnnotations()
	kept := only(all, manifest.AnnotationHibernation)
	lost := removed(all[manifest.AnnotationFields], object.GetManagedFields())
	names, err := lost.ToJSON()
	if err != nil || lost.Empty() {
		return kept
	}
	if kept == nil {
		kept = map[string]string{}
	}
	kept[manifest.AnnotationFields] = string(names)
	return kept
}

// foreignEntries returns the entries that may belong to a writer other than DAAP and CloudNativePG.
func foreignEntries(written []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	var others []metav1.ManagedFieldsEntry
	for _, entry := range written {
		if isForeign(entry) {
			others = append(others, entry)
		}
	}
	return others
}

// neededConditions returns the conditions that readers need.
func neededConditions(all []corev1.PodCondition) []corev1.PodCondition {
	var kept []corev1.PodCondition
	for _, c := range all {
		if c.Type == corev1.PodReady || c.Type == corev1.PodScheduled && c.Status != corev1.ConditionTrue {
			kept = append(kept, c)
		}
	}
	return kept
}

// troubled returns the containers that wait, failed or have ended before, with their reasons.
func troubled(all []corev1.ContainerStatus) []corev1.ContainerStatus {
	var kept []corev1.ContainerStatus
	for _, s := range all {
		now, end := s.State.Terminated, s.LastTerminationState.Terminated
		if s.State.Waiting == nil && end == nil && (now == nil || now.ExitCode == 0) {
			continue
		}
		reduced := corev1.ContainerStatus{Name: s.Name, State: s.State}
		if end != nil {
			reduced.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{
				ExitCode: end.ExitCode, Reason: end.Reason,
			}
		}
		kept = append(kept, reduced)
	}
	return kept
}
