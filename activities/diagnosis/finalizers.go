package diagnosis

import (
	"slices"
	"strings"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap"
)

// finalizersOfPods are Kubernetes's own, which go by themselves once the pods are gone; pods may take their time.
// Kubernetes exports no constant for the first.
var finalizersOfPods = []string{"kubernetes.io/pvc-protection", metav1.FinalizerDeleteDependents}

// namespaceTells are the conditions in which a namespace that is being deleted says what holds it up, the most
// telling first.
var namespaceTells = []corev1.NamespaceConditionType{
	corev1.NamespaceFinalizersRemaining,
	corev1.NamespaceDeletionContentFailure,
	corev1.NamespaceDeletionDiscoveryFailure,
	corev1.NamespaceDeletionGVParsingFailure,
	corev1.NamespaceContentRemaining,
}

// heldByFinalizer looks for what should be gone and is not. An object that is named is told before the
// namespace, whose conditions only count.
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
	for _, kind := range namespaceTells {
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

// object is what all objects have in common.
type object struct {
	kind string
	metav1.ObjectMeta
}

// objects are all objects of the database. The finalizer that every namespace has is not among those of its
// metadata.
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

// stuck says whether the object should have been gone for a while. A pod's time of deletion is the end of its
// grace.
func (e evidence) stuck(object metav1.ObjectMeta) bool {
	return object.DeletionTimestamp != nil && e.At.Sub(object.DeletionTimestamp.Time) > patience
}

// stopping says whether a pod is still within the time it has to stop.
func (e evidence) stopping() bool {
	return slices.ContainsFunc(e.Pods, func(pod corev1.Pod) bool {
		return pod.DeletionTimestamp != nil && !e.stuck(pod.ObjectMeta)
	})
}

// finalizersHolding are the finalizers Cause of which the object is not gone.
func (e evidence) finalizersHolding(object metav1.ObjectMeta) []string {
	if !e.stuck(object) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(object.Finalizers), func(finalizer string) bool {
		return len(e.Pods) > 0 && slices.Contains(finalizersOfPods, finalizer)
	})
}
