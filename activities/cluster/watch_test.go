package cluster

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWakeReachesOnlyTheNamespace(t *testing.T) {
	t.Parallel()
	w := &Watch{}
	here, end := w.Subscribe("here")
	there, endThere := w.Subscribe("there")
	defer endThere()
	for range 3 { // unread wake-ups must not block the watch
		w.wake(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pg-1-1", Namespace: "here"}})
	}
	if len(here) != 1 || len(there) != 0 {
		t.Errorf("wake-ups here %d, there %d, want 1 and 0", len(here), len(there))
	}
	end()
	w.wake(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "there"}})
	if len(there) != 1 || len(w.waiters) != 1 {
		t.Errorf("after the end: there %d, %d namespaces with subscribers; want 1 and 1", len(there), len(w.waiters))
	}
}
