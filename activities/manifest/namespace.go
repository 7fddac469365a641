package manifest

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap"
)

// Namespace is the database's own namespace; Pod Security admits only `restricted` pods.
func Namespace(db daap.Database) *corev1.Namespace {
	all := labels(db)
	all["pod-security.kubernetes.io/enforce"] = "restricted"
	return &corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: daap.Namespace(db.ID), Labels: all},
	}
}
