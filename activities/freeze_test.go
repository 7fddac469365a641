package activities

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

func TestFrozenDatabaseHasAVolumeForEachInstance(t *testing.T) {
	t.Parallel()
	claim := func(change func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
		c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
			Namespace: daap.Namespace(orders.ID), Name: "pg-1-1",
			Labels: map[string]string{manifest.LabelCluster: manifest.ClusterName(orders)},
		}}
		change(c)
		return c
	}
	if err := run(t, stepsWith(t, claim(func(*corev1.PersistentVolumeClaim) {})).CheckVolumes); err != nil {
		t.Errorf("CheckVolumes() = %v with a usable claim", err)
	}
	for name, k := range map[string]*Steps{
		"there is none": stepsWith(t),
		"it is lost":    stepsWith(t, claim(func(c *corev1.PersistentVolumeClaim) { c.Status.Phase = corev1.ClaimLost })),
	} {
		if cause := Cause(run(t, k.CheckVolumes), ""); cause.Code != daap.CausePVCPending || !strings.Contains(cause.Message, "1 instances, but only 0 usable volume claims") {
			t.Errorf("%s: the cause is %+v", name, cause)
		}
	}
}
