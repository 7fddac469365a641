package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/daap-dev/daap/activities/manifest"
)

// Watch is the worker's one shared watch of all databases' objects: any number of waits read its copies,
// and Kubernetes is asked no more for it. It needs Start before anything is read.
type Watch struct {
	client.Reader
	cache   cache.Cache
	watched []client.Object

	streams streams

	mu      sync.Mutex
	waiters map[string]map[chan struct{}]struct{} // by namespace
	// changed are the namespaces in which something changed since they were taken; nil where nobody follows.
	changed map[string]struct{}
	news    chan struct{}
}

// GCPercent is what a process with a Watch is best run with (see debug.SetGCPercent): nearly all of its memory is what
// is watched, which stays, and with Go's default it would take as much again for garbage.
const GCPercent = 15

// startPatience bounds how long NewWatch waits for an unavailable Kubernetes API, startPause is the pause between two
// attempts.
const startPatience, startPause = 2 * time.Minute, 500 * time.Millisecond

// NewWatch returns a watch of the objects that DAAP and, for them, CNPG made. It asks the Kubernetes API for their
// resources. While that is unavailable, it asks again, for at most two minutes; a resource that is missing there is an
// error at once, but for the backup plugin's: without it, no database has backups.
func NewWatch(ctx context.Context, config *rest.Config, scheme *runtime.Scheme) (*Watch, error) {
	w := &Watch{}
	config = rest.CopyConfig(config)
	config.Wrap(w.streams.follow)
	requests, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("create the shared watch: %w", err)
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, startPause, startPatience, true, func(context.Context) (bool, error) {
		if last = w.open(config, requests, scheme); isUnavailable(last) {
			return false, nil
		}
		return true, last
	})
	if err != nil {
		return nil, fmt.Errorf("create the shared watch: %w", cmp.Or(last, err))
	}
	return w, nil
}

// open creates the cache of the watch.
func (w *Watch) open(config *rest.Config, requests *http.Client, scheme *runtime.Scheme) error {
	mapper, err := apiutil.NewDynamicRESTMapper(config, requests)
	if err != nil {
		return err
	}
	watched, err := watchedResources(mapper)
	if err != nil {
		return err
	}
	w.watched = slices.Collect(maps.Keys(watched))
	w.cache, err = cache.New(config, cache.Options{
		Scheme: scheme, HTTPClient: requests, Mapper: mapper,
		DefaultTransform: reduce,
		// Nobody changes what is read, and a copy of all that a check of the fleet reads would be as much again.
		DefaultUnsafeDisableDeepCopy: new(true),
		ByObject:                     watched,
	})
	w.Reader = w.cache
	return err
}

// watchedResources are the resources that the watch has: what DAAP applies, and of what CNPG makes for it the resources
// that conditions are derived from.
func watchedResources(mapper apimeta.RESTMapper) (map[client.Object]cache.ByObject, error) {
	exists, err := labels.NewRequirement(manifest.LabelCluster, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("select by label %s: %w", manifest.LabelCluster, err)
	}
	ofCNPG := cache.ByObject{Label: labels.NewSelector().Add(*exists)}
	managed := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{manifest.LabelManagedBy: manifest.FieldOwner})}
	all := map[client.Object]cache.ByObject{&appsv1.Deployment{}: ofCNPG, &corev1.Pod{}: ofCNPG, &cnpgv1.Backup{}: ofCNPG}
	for _, kind := range manifest.FollowedKinds() {
		if kind.GroupVersion().String() == manifest.ObjectStoreVersion {
			_, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
			if apimeta.IsNoMatchError(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("find kind %s: %w", kind.Kind, err)
			}
		}
		all[followedAs(kind)] = managed
	}
	return all, nil
}

// followedAs returns an object of the kind as the watch has it: a Cluster with its status, of all others the metadata
// alone.
func followedAs(kind schema.GroupVersionKind) client.Object {
	if kind == manifest.ClusterKind {
		return &cnpgv1.Cluster{}
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	return object
}

// Start watches until ctx is done. It returns once everything is read for the first time, or with an error.
func (w *Watch) Start(ctx context.Context) error {
	handler := toolscache.ResourceEventHandlerFuncs{
		AddFunc:    w.wake,
		UpdateFunc: func(_, obj any) { w.wake(obj) },
		DeleteFunc: w.wake,
	}
	ended := make(chan error, 1)
	go func() { ended <- w.cache.Start(ctx) }()
	for _, obj := range w.watched {
		informer, err := w.cache.GetInformer(ctx, obj, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watch %T: %w", obj, err)
		}
		if _, err := informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watch %T: %w", obj, err)
		}
	}
	synced := make(chan bool, 1)
	go func() { synced <- w.cache.WaitForCacheSync(ctx) }()
	select {
	case err := <-ended:
		return fmt.Errorf("watch Kubernetes: %w", err)
	case ok := <-synced:
		if !ok {
			return fmt.Errorf("fill the watch cache: %w", context.Cause(ctx))
		}
		return nil
	}
}

// isUnavailable says whether the Kubernetes API did not answer, or answered that it cannot do so for now.
func isUnavailable(err error) bool {
	if err == nil || apimeta.IsNoMatchError(err) || runtime.IsNotRegisteredError(err) {
		return false
	}
	var answered apierrors.APIStatus
	if !errors.As(err, &answered) {
		return true
	}
	return answered.Status().Code >= http.StatusInternalServerError || apierrors.IsTooManyRequests(err)
}

// wake tells those who wait in the object's namespace to look again.
func (w *Watch) wake(obj any) {
	if tombstone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	changed, ok := obj.(metav1.Object)
	if !ok {
		return
	}
	namespace := changed.GetNamespace()
	if namespace == "" {
		namespace = changed.GetName() // the object is the namespace itself
	}
	w.WakeIn(namespace)
}

// WakeIn wakes those who wait in the namespace, and those who follow all of them. A nil Watch has none.
func (w *Watch) WakeIn(namespace string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for waiter := range w.waiters[namespace] {
		notify(waiter)
	}
	if w.changed != nil {
		w.changed[namespace] = struct{}{}
		notify(w.news)
	}
}

func notify(waiter chan<- struct{}) {
	select {
	case waiter <- struct{}{}:
	default: // a wake-up is due already
	}
}

// Follow returns a channel that gets a value after changes anywhere, which TakeChanged then returns. One may follow.
func (w *Watch) Follow() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed, w.news = map[string]struct{}{}, make(chan struct{}, 1)
	return w.news
}

// TakeChanged returns the namespaces in which something changed since the last call.
func (w *Watch) TakeChanged() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := slices.Collect(maps.Keys(w.changed))
	clear(w.changed)
	return all
}

// Until is until when the watch knows all that happened: now, unless it is cut off from Kubernetes.
func (w *Watch) Until(now time.Time) time.Time { return w.streams.until(now) }

// Subscribe returns a channel that gets a value after changes in the namespace, and its end.
func (w *Watch) Subscribe(namespace string) (<-chan struct{}, func()) {
	waiter := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiters == nil {
		w.waiters = map[string]map[chan struct{}]struct{}{}
	}
	if w.waiters[namespace] == nil {
		w.waiters[namespace] = map[chan struct{}]struct{}{}
	}
	w.waiters[namespace][waiter] = struct{}{}
	return waiter, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.waiters[namespace], waiter)
		if len(w.waiters[namespace]) == 0 {
			delete(w.waiters, namespace)
		}
	}
}
