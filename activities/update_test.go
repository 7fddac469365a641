package activities

import (
	"context"
	"strings"
	"testing"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
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

func instance(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: daap.Namespace(orders.ID), Name: name, Labels: map[string]string{
		manifest.LabelCluster: manifest.ClusterName(orders), manifest.LabelPodRole: manifest.RoleInstance,
	}}
}

func TestUpdateIsCheckedBeforeAnyChange(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for name, tt := range map[string]struct {
		grows  *bool
		change func(*daap.Tier)
		want   daap.CauseCode
	}{
		"volumes may grow":         {&yes, func(*daap.Tier) {}, ""},
		"volumes may not grow":     {&no, func(*daap.Tier) {}, daap.CauseRejected},
		"growth is not specified":  {nil, func(*daap.Tier) {}, daap.CauseRejected},
		"volumes need not grow":    {&no, func(t *daap.Tier) { t.StorageSize = orders.Profile.StorageSize }, ""},
		"the version has no image": {&yes, func(t *daap.Tier) { t.PGVersion = "18" }, daap.CauseVersionUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tier := larger()
			tt.change(tier)
			k := stepsWith(t, volume("1Gi", tt.grows)...)
			k.Rows = rowsOf{oneDatabase{tier}, &holding{}}
			err := run(t, k.CheckUpdate)
			if tt.want == "" {
				if err != nil {
					t.Errorf("CheckUpdate() = %v, want nil", err)
				}
				return
			}
			if cause := Cause(err, "Check"); err == nil || cause.Code != tt.want || cause.Remedy == "" {
				t.Errorf("CheckUpdate() = %v with %+v, want the cause %s", err, cause, tt.want)
			}
		})
	}
}

func TestClusterWithoutAKnownImageIsNotApplied(t *testing.T) {
	t.Parallel()
	k := stepsWith(t)
	k.Platform.PostgresImages = daap.Catalog{"16": "localhost/postgresql:16"}
	err := run(t, k.ApplyCluster)
	if cause := Cause(err, "Create"); cause.Code != daap.CauseVersionUnknown || !strings.Contains(cause.Message, "PostgreSQL 17, only for 16") {
		t.Errorf("ApplyCluster() = %v, want that the image is unknown", err)
	}
	var clusters cnpgv1.ClusterList
	if err := k.Cluster.Client.List(t.Context(), &clusters); err != nil || len(clusters.Items) > 0 {
		t.Errorf("%d clusters exist, %v, want none", len(clusters.Items), err)
	}
}

func TestUpdateMakesReversibleChangesFirst(t *testing.T) {
	t.Parallel()
	k := stepsWith(t)
	k.Rows = rowsOf{oneDatabase{larger()}, &holding{}}
	cluster := func(do func(context.Context, Input) error) cnpgv1.ClusterSpec {
		t.Helper()
		if err := run(t, do); err != nil {
			t.Fatal(err)
		}
		var found cnpgv1.Cluster
		key := client.ObjectKey{Namespace: daap.Namespace(orders.ID), Name: manifest.ClusterName(orders)}
		if err := k.Cluster.Client.Get(t.Context(), key, &found); err != nil {
			t.Fatal(err)
		}
		return found.Spec
	}
	for _, tt := range []struct {
		do              func(context.Context, Input) error
		instances       int
		memory, storage string
		waits           bool
	}{
		{k.ApplyCluster, 1, "512Mi", "1Gi", false},
		{k.UpdateCluster, 2, "1Gi", "1Gi", false},
		{k.ApplyCluster, 1, "512Mi", "1Gi", false},
		{k.UpdateCluster, 2, "1Gi", "1Gi", false},
		{k.GrowCluster, 2, "1Gi", "2Gi", true},
	} {
		got := cluster(tt.do)
		if got.Instances != tt.instances || got.Resources.Limits.Memory().String() != tt.memory ||
			got.StorageConfiguration.Size != tt.storage || (got.PostgresConfiguration.Synchronous != nil) != tt.waits {
			t.Errorf("the Cluster is %+v, want %+v", got, tt)
		}
	}
}
