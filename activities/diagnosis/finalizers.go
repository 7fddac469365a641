package diagnosis

import (
	"slices"
	"strings"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap"
)

// finalizersOfPods are Kubernetes's own finalizers, which are removed when the pods are gone; pods may take long to
// stop. Kubernetes exports no constant for the first.
var finalizersOfPods = []string{"kubernetes.io/pvc-protection", metav1.FinalizerDeleteDependents}

// namespaceConditions are the conditions in which a namespace that is being deleted reports why it still exists, the
// most specific first.
var namespaceConditions = []corev1.NamespaceConditionType{
	corev1.NamespaceFinalizersRemaining,
	corev1.NamespaceDeletionContentFailure,
	corev1.NamespaceDeletionDiscoveryFailure,
	corev1.NamespaceDeletionGVParsingFailure,
	corev1.NamespaceContentRemaining,
}

// heldByFinalizer finds an object whose deletion is overdue. Objects come before the namespace, whose conditions only
// count objects.
func heldByFinalizer(e evidence) *daap.Cause {
	for _, object := range e.objects() {
		if finalizers := e.finalizersHolding(object.ObjectMeta); len(finalizers) > 0 {
			return Cause(daap.CauseFinalizer, "%s %s is being deleted, but finalizer %s holds it",
				object.kind, object.Name, strings.Join(finalizers, ", "))
		}
	}
	if e.Namespace == nil || !e.stuck(e.Namespace.ObjectMeta) {
		return nil
	}
	for _, kind := range namespaceConditions {
		if kind == corev1.NamespaceContentRemaining && e.stopping() {
			continue
		}
		for _, condition := range e.Namespace.Status.Conditions {
			if condition.Type == kind && condition.Status == corev1.ConditionTrue {
				return Cause(daap.CauseFinalizer, "Namespace %s is being deleted: %s", e.Namespace.Name, condition.Message)
			}
		}
	}
	return nil
}

// object is the common part of all objects.
type object struct {
	kind string
	metav1.ObjectMeta
}

// objects returns all objects of the database. The metadata of a namespace does not contain the finalizer that every
// namespace has.
func (e evidence) objects() []object {
	var all []object
	if e.Cluster != nil {
		all = append(all, object{cnpgv1.ClusterKind, e.Cluster.ObjectMeta})
	}
	for _, pooler := range e.Poolers {
		all = append(all, object{cnpgv1.PoolerKind, pooler.ObjectMeta})
	}
	for _, applied := range e.Applied {
		all = append(all, object{applied.Kind, applied.ObjectMeta})
	}
	for _, job := range e.Jobs {
		all = append(all, object{kindJob, job.ObjectMeta})
	}
	for _, pod := range e.Pods {
		all = append(all, object{kindPod, pod.ObjectMeta})
	}
	for _, claim := range e.Claims {
		all = append(all, object{kindClaim, claim.ObjectMeta})
	}
	if e.Namespace != nil {
		all = append(all, object{"Namespace", e.Namespace.ObjectMeta})
	}
	return all
}

// stuck reports whether the object's deletion is overdue. A pod's deletion time is the end of its grace period.
func (e evidence) stuck(object metav1.ObjectMeta) bool {
	return object.DeletionTimestamp != nil && e.At.Sub(object.DeletionTimestamp.Time) > patience
}

// stopping reports whether a pod is still within its grace period.
func (e evidence) stopping() bool {
	return slices.ContainsFunc(e.Pods, func(pod corev1.Pod) bool {
		return pod.DeletionTimestamp != nil && !e.stuck(pod.ObjectMeta)
	})
}

// finalizersHolding returns the finalizers that delay the object's deletion.
func (e evidence) finalizersHolding(object metav1.ObjectMeta) []string {
	if !e.stuck(object) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(object.Finalizers), func(finalizer string) bool {
		return len(e.Pods) > 0 && slices.Contains(finalizersOfPods, finalizer)
	})
}
