package cluster

import (
	"strings"
	"testing"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func healthyCluster() *cnpgv1.Cluster {
	return &cnpgv1.Cluster{
		Spec: cnpgv1.ClusterSpec{Instances: 3},
		Status: cnpgv1.ClusterStatus{
			Phase: cnpgv1.PhaseHealthy, ReadyInstances: 3, CurrentPrimary: "pg-1-1", TargetPrimary: "pg-1-1",
			Conditions: []metav1.Condition{{Type: string(cnpgv1.ConditionClusterReady), Status: metav1.ConditionTrue}},
		},
	}
}

func TestClusterIsReadyOnlyWhenNothingIsMissing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*cnpgv1.Cluster)
		says   string
	}{
		"complete":           {func(*cnpgv1.Cluster) {}, ""},
		"unseen":             {func(c *cnpgv1.Cluster) { c.Status = cnpgv1.ClusterStatus{} }, "operator has not processed"},
		"setting up":         {func(c *cnpgv1.Cluster) { c.Status.Phase = "Setting up primary" }, "Setting up primary"},
		"condition missing":  {func(c *cnpgv1.Cluster) { c.Status.Conditions = nil }, "Ready condition"},
		"instance missing":   {func(c *cnpgv1.Cluster) { c.Status.ReadyInstances = 2 }, "2 of 3"},
		"hibernated":         {func(c *cnpgv1.Cluster) { c.Status.ReadyInstances = 0 }, "0 of 3"},
		"switchover running": {func(c *cnpgv1.Cluster) { c.Status.TargetPrimary = "pg-1-2" }, `to "pg-1-2"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := healthyCluster()
			tt.change(cluster)
			done, progress := InstancesReady(cluster)
			if done != (tt.says == "") || !strings.Contains(progress, tt.says) {
				t.Errorf("InstancesReady() = %v, %q, want a sentence with %q", done, progress, tt.says)
			}
		})
	}
}

func TestPoolerIsReadyOnlyWithAllPodsOfThePresentTemplate(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		deployment appsv1.Deployment
		want       bool
	}{
		"all ready":     {deployment(2, 2, 2, 2), true},
		"old status":    {deployment(1, 2, 2, 2), false},
		"old pods":      {deployment(2, 2, 1, 2), false},
		"old pods left": {deployment(2, 3, 2, 2), false},
		"pods coming":   {deployment(2, 2, 2, 1), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if done, progress := PoolerReady(&tt.deployment); done != tt.want || done != (progress == "") {
				t.Errorf("PoolerReady() = %v, %q, want %v", done, progress, tt.want)
			}
		})
	}
}

// deployment is a Deployment of generation 2 that wants two pods.
func deployment(observed int64, pods, updated, ready int32) appsv1.Deployment {
	want := int32(2)
	return appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Generation: 2},
		Spec:       appsv1.DeploymentSpec{Replicas: &want},
		Status: appsv1.DeploymentStatus{
			ObservedGeneration: observed, Replicas: pods, UpdatedReplicas: updated, ReadyReplicas: ready,
		},
	}
}

func TestPodTroubleNamesTheReason(t *testing.T) {
	t.Parallel()
	waiting := func(reason string) []corev1.ContainerStatus {
		return []corev1.ContainerStatus{{Name: "bootstrap", State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "why"},
		}}}
	}
	tests := map[string]struct {
		status corev1.PodStatus
		says   string
	}{
		"healthy":  {corev1.PodStatus{}, ""},
		"starting": {corev1.PodStatus{ContainerStatuses: waiting("ContainerCreating")}, ""},
		"no image": {corev1.PodStatus{InitContainerStatuses: waiting("ImagePullBackOff")}, "container bootstrap: ImagePullBackOff (why)"},
		"no room": {corev1.PodStatus{Conditions: []corev1.PodCondition{{
			Type: corev1.PodScheduled, Reason: corev1.PodReasonUnschedulable, Message: "insufficient cpu",
		}}}, "cannot be scheduled (insufficient cpu)"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := podTrouble([]corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "pg-1-1"}, Status: tt.status}})
			if (got == "") != (tt.says == "") || !strings.Contains(got, tt.says) {
				t.Errorf("podTrouble() = %q, want %q", got, tt.says)
			}
		})
	}
}
