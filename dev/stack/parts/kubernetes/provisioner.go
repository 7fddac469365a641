package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

const (
	// provisionerName is what the StorageClass of the stack names.
	provisionerName = "stack.daap.io/local"

	annProvisioner   = "volume.kubernetes.io/storage-provisioner"
	annProvisionedBy = "pv.kubernetes.io/provisioned-by"
)

// provisioner makes one directory per claim, on the only node there is. It
// looks at everything on each event: with a few hundred claims that is cheaper
// than being clever.
type provisioner struct {
	client  kubernetes.Interface
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	root    string
	node    string
}

// newProvisionerCommand is the volume provisioner of the stack.
func newProvisionerCommand() *cobra.Command {
	var kubeconfig, root, node string
	cmd := &cobra.Command{
		Use: "provisioner",
		RunE: func(*cobra.Command, []string) error {
			return runProvisioner(genericapiserver.SetupSignalContext(), kubeconfig, root, node)
		},
	}
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "how to reach the API server")
	cmd.Flags().StringVar(&root, "root", "", "directory that holds the volumes")
	cmd.Flags().StringVar(&node, "node", "", "name of the node the volumes are on")
	return cmd
}

func runProvisioner(ctx context.Context, kubeconfig, root, node string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 100, 200
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 30*time.Second)
	core := factory.Core().V1()
	p := &provisioner{
		client: client, root: root, node: node,
		claims:  core.PersistentVolumeClaims().Lister(),
		volumes: core.PersistentVolumes().Lister(),
	}
	wake := make(chan struct{}, 1)
	poke := func(any) {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc: poke, DeleteFunc: poke, UpdateFunc: func(_, o any) { poke(o) },
	}
	for _, informer := range []cache.SharedIndexInformer{
		core.PersistentVolumeClaims().Informer(), core.PersistentVolumes().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
			p.sync(ctx)
		}
	}
}

// sync brings every claim and volume of ours a step further. What fails is
// logged and comes again with the next event or resync.
func (p *provisioner) sync(ctx context.Context) {
	claims, _ := p.claims.List(labels.Everything())
	for _, claim := range claims {
		if err := p.syncClaim(ctx, claim); err != nil {
			klog.ErrorS(err, "claim", "namespace", claim.Namespace, "name", claim.Name)
		}
	}
	volumes, _ := p.volumes.List(labels.Everything())
	for _, volume := range volumes {
		if err := p.syncVolume(ctx, volume); err != nil {
			klog.ErrorS(err, "volume", "name", volume.Name)
		}
	}
}

func (p *provisioner) syncClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	switch {
	case claim.Annotations[annProvisioner] != provisionerName || claim.DeletionTimestamp != nil:
		return nil
	case claim.Spec.VolumeName == "":
		return p.provision(ctx, claim)
	case claim.Status.Phase == corev1.ClaimBound:
		return p.expand(ctx, claim)
	}
	return nil
}

// provision makes the directory, then the volume that points at it.
func (p *provisioner) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	name := "pvc-" + string(claim.UID)
	if _, err := p.volumes.Get(name); err == nil {
		return nil
	}
	path := filepath.Join(p.root, name)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	// Pods run as users of their own (PostgreSQL as 26): the umask must not
	// close the directory to them.
	if err := os.Chmod(path, 0o777); err != nil {
		return err
	}
	volume := p.volume(name, path, claim)
	_, err := p.client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err == nil {
		klog.InfoS("provisioned", "namespace", claim.Namespace, "claim", claim.Name, "volume", name)
	}
	return err
}

func (p *provisioner) volume(name, path string, claim *corev1.PersistentVolumeClaim) *corev1.PersistentVolume {
	class := ""
	if claim.Spec.StorageClassName != nil {
		class = *claim.Spec.StorageClassName
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Annotations: map[string]string{annProvisionedBy: provisionerName},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{
				corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage],
			},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			StorageClassName:              class,
			ClaimRef: &corev1.ObjectReference{
				Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: claim.Namespace,
				Name: claim.Name, UID: claim.UID, ResourceVersion: claim.ResourceVersion,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				Local: &corev1.LocalVolumeSource{Path: path},
			},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{
					MatchExpressions: []corev1.NodeSelectorRequirement{{
						Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{p.node},
					}},
				}},
			}},
		},
	}
}

// expand answers a claim that asks for more: a directory has no size, so the
// new number is all there is to write.
func (p *provisioner) expand(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	want := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	have := claim.Status.Capacity[corev1.ResourceStorage]
	if want.Cmp(have) <= 0 {
		return nil
	}
	volume, err := json.Marshal(map[string]any{
		"spec": map[string]any{"capacity": map[string]string{"storage": want.String()}},
	})
	if err != nil {
		return err
	}
	if _, err := p.client.CoreV1().PersistentVolumes().Patch(ctx, claim.Spec.VolumeName,
		types.MergePatchType, volume, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("grow volume: %w", err)
	}
	status, err := json.Marshal(map[string]any{"status": map[string]any{
		"capacity": map[string]string{"storage": want.String()}, "conditions": nil,
	}})
	if err != nil {
		return err
	}
	_, err = p.client.CoreV1().PersistentVolumeClaims(claim.Namespace).Patch(ctx, claim.Name,
		types.MergePatchType, status, metav1.PatchOptions{}, "status")
	return err
}

// syncVolume removes the directory of a volume whose claim is gone.
func (p *provisioner) syncVolume(ctx context.Context, volume *corev1.PersistentVolume) error {
	if volume.Annotations[annProvisionedBy] != provisionerName ||
		volume.Status.Phase != corev1.VolumeReleased || volume.DeletionTimestamp != nil {
		return nil
	}
	if err := os.RemoveAll(filepath.Join(p.root, volume.Name)); err != nil {
		return err
	}
	err := p.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
