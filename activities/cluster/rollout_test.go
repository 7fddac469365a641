package cluster

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// larger is a tier for orders that has more of everything.
func larger() *daap.Tier {
	profile := orders.Profile
	profile.Instances, profile.HAReplicas, profile.MaxConnections = 2, 1, 200
	profile.Memory, profile.StorageSize = resource.MustParse("1Gi"), resource.MustParse("2Gi")
	return &daap.Tier{Name: "larger", Profile: profile}
}

// volume is the claim of an instance of orders; its storage class lets volumes grow or not.
func volume(size string, grows *bool) []client.Object {
	class := "local"
	return []client.Object{
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: class}, AllowVolumeExpansion: grows},
		&corev1.PersistentVolumeClaim{
			ObjectMeta: instance("pg-1-1"),
			Spec:       corev1.PersistentVolumeClaimSpec{StorageClassName: &class},
			Status:     corev1.PersistentVolumeClaimStatus{Capacity: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}},
		},
	}
}

// inForceWorld is orders with its larger tier, all of it in force except in PostgreSQL, which these tests do not query.
func inForceWorld() (db daap.Database, pods []*corev1.Pod, claims []client.Object, pooler *appsv1.Deployment) {
	db = orders.With(*larger())
	for _, name := range []string{"pg-1-1", "pg-1-2"} {
		pods = append(pods, &corev1.Pod{
			ObjectMeta: instance(name),
			Spec: corev1.PodSpec{Containers: []corev1.Container{{
				Name: manifest.PostgresContainer, Image: "localhost/postgresql:17", Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: db.Profile.CPU},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: db.Profile.Memory},
				},
			}}},
			Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
		})
	}
	yes := true
	claims = volume("2Gi", &yes)
	pooler = &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: daap.Namespace(orders.ID), Name: daap.PoolerService},
		Status:     appsv1.DeploymentStatus{UpdatedReplicas: 1, ReadyReplicas: 1},
	}
	pooler.Spec.Template.Annotations = map[string]string{manifest.AnnotationPool: manifest.Pool(db.Profile)}
	pooler.Spec.Template.Labels = map[string]string{manifest.LabelTier: db.Tier}
	return db, pods, claims, pooler
}

func TestMissingPartsOfARolloutAreReported(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(pods []*corev1.Pod, claims []client.Object, pooler *appsv1.Deployment)
		want   string
	}{
		"all but PostgreSQL": {func([]*corev1.Pod, []client.Object, *appsv1.Deployment) {}, ""},
		"memory of the pod": {func(pods []*corev1.Pod, _ []client.Object, _ *appsv1.Deployment) {
			pods[1].Spec.Containers[0].Resources.Limits[corev1.ResourceMemory] = resource.MustParse("512Mi")
		}, "Pod pg-1-2 still has the previous specification"},
		"image of the pod": {func(pods []*corev1.Pod, _ []client.Object, _ *appsv1.Deployment) {
			pods[0].Spec.Containers[0].Image = "localhost/postgresql:16"
		}, "Pod pg-1-1 still has the previous specification"},
		"archiver of the pod": {func(pods []*corev1.Pod, _ []client.Object, _ *appsv1.Deployment) {
			pods[1].Spec.InitContainers = []corev1.Container{{Name: manifest.ArchiverContainer}}
		}, "Pod pg-1-2 still has the previous specification"},
		"readiness of the pod": {func(pods []*corev1.Pod, _ []client.Object, _ *appsv1.Deployment) {
			pods[0].Status.Conditions[0].Status = corev1.ConditionFalse
		}, "Pod pg-1-1 is not ready"},
		"size of the volume": {func(_ []*corev1.Pod, claims []client.Object, _ *appsv1.Deployment) {
			for _, object := range claims {
				if claim, is := object.(*corev1.PersistentVolumeClaim); is {
					claim.Status.Capacity[corev1.ResourceStorage] = resource.MustParse("1Gi")
				}
			}
		}, "Volume claim pg-1-1 has grown to 1Gi of 2Gi"},
		"settings of the pool": {func(_ []*corev1.Pod, _ []client.Object, pooler *appsv1.Deployment) {
			pooler.Spec.Template.Annotations[manifest.AnnotationPool] = manifest.Pool(orders.Profile)
		}, "The Pooler's pods still have the previous specification"},
		"tier of the pool": {func(_ []*corev1.Pod, _ []client.Object, pooler *appsv1.Deployment) {
			pooler.Spec.Template.Labels[manifest.LabelTier] = "another"
		}, "The Pooler's pods still have the previous specification"},
		"pods of the pool": {func(_ []*corev1.Pod, _ []client.Object, pooler *appsv1.Deployment) {
			pooler.Status.UpdatedReplicas = 0
		}, "0 of 1 poolers are ready"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, pods, claims, pooler := inForceWorld()
			tt.change(pods, claims, pooler)
			objects := append([]client.Object{pooler}, claims...)
			for _, pod := range pods {
				objects = append(objects, pod)
			}
			k := kubernetesWith(t, objects...)
			found, err := k.Instances(t.Context(), db)
			if err != nil || len(found) != 2 {
				t.Fatalf("instances() = %d, %v, want two", len(found), err)
			}
			got := ""
			for i := range found {
				got += MissingInPod(&found[i], db, "localhost/postgresql:17")
			}
			elsewhere, err := k.MissingElsewhere(t.Context(), db)
			if got += elsewhere; err != nil || got != tt.want {
				t.Errorf("missing = %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}
