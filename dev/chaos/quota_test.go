//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/dev/chaos/fault"
)

// quotaFull lets no pod into the database's namespace, until it is raised.
func quotaFull(ctx context.Context, t *testing.T, c cell) {
	var once sync.Once
	filled := make(chan error, 1)
	database := make(chan string, 1)
	x := begin(ctx, t, c.kind, c.place().at(func(fault.At) fault.Verdict {
		once.Do(func() { filled <- fill(ctx, <-database) })
		return fault.Verdict{}
	}))
	namespace := daap.Namespace(x.database)
	database <- namespace
	if err := receive(ctx, t, "the quota is there", filled); err != nil {
		t.Fatal(err)
	}
	op := x.parked(ctx, t, daap.CauseQuota)
	allowPods(ctx, t, namespace)
	retry(ctx, t, op)
	x.succeeds(ctx, t)
}

const quotaName = "no-pods"

// fill makes the namespace before the worker does, and a quota in it that is full from the beginning.
func fill(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	made := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := stack.Kubernetes.Create(ctx, made); err != nil {
		return fmt.Errorf("create namespace %s: %w", namespace, err)
	}
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: quotaName},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}},
	}
	if err := stack.Kubernetes.Create(ctx, quota); err != nil {
		return fmt.Errorf("create the quota of %s: %w", namespace, err)
	}
	return soon(ctx, func(ctx context.Context) error { return quotaIs(ctx, quota, "0") })
}

func allowPods(ctx context.Context, t *testing.T, namespace string) {
	t.Helper()
	until(ctx, t, "the quota is raised", func(ctx context.Context) error {
		var quota corev1.ResourceQuota
		if err := stack.Kubernetes.Get(ctx, client.ObjectKey{Namespace: namespace, Name: quotaName}, &quota); err != nil {
			return err
		}
		before := quota.DeepCopy()
		quota.Spec.Hard[corev1.ResourcePods] = resource.MustParse("20")
		if err := stack.Kubernetes.Patch(ctx, &quota, client.MergeFrom(before)); err != nil {
			return err
		}
		return quotaIs(ctx, &quota, "20")
	})
}

// quotaIs says whether the quota is the one that admission goes by.
func quotaIs(ctx context.Context, quota *corev1.ResourceQuota, pods string) error {
	if err := stack.Kubernetes.Get(ctx, client.ObjectKeyFromObject(quota), quota); err != nil {
		return err
	}
	if hard := quota.Status.Hard[corev1.ResourcePods]; hard.String() != pods {
		return errors.New("the quota is not in force yet")
	}
	return nil
}
