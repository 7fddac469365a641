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

// Watch is the worker's single shared watch of all databases' objects: any number of waits read its cache, without
// further requests to Kubernetes. Call Start before reading.
type Watch struct {
	client.Reader
	cache   cache.Cache
	watched []client.Object

	streams streams

	mu      sync.Mutex
	waiters map[string]map[chan struct{}]struct{} // by namespace
	// changed are the namespaces with changes since the last TakeChanged; nil if nothing follows the watch.
	changed map[string]struct{}
	news    chan struct{}
}

// GCPercent is the recommended garbage collection target of a process with a Watch (see debug.SetGCPercent): nearly all
// of its memory is the cache, which stays, and Go's default would use as much again for garbage.
const GCPercent = 15

// startPatience limits how long NewWatch waits for an unavailable Kubernetes API, startPause is the pause between two
// attempts.
const startPatience, startPause = 2 * time.Minute, 500 * time.Millisecond

// NewWatch returns a watch of the objects that DAAP and, for them, CNPG created. It asks the Kubernetes API for their
// resources. While that is unavailable, it retries for at most two minutes. A missing resource is an immediate error,
// except the backup plugin's: without it, no database has backups.
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
		// No reader changes the objects, and copying everything that a check of the fleet reads would double its
		// memory.
		DefaultUnsafeDisableDeepCopy: new(true),
		ByObject:                     watched,
	})
	w.Reader = w.cache
	return err
}

// watchedResources are the watched resources: those that DAAP applies, and those that CNPG creates for them and that
// conditions are derived from.
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

// followedAs returns an object of the kind as the watch stores it: a Cluster with its status, all other kinds as
// metadata only.
func followedAs(kind schema.GroupVersionKind) client.Object {
	if kind == manifest.ClusterKind {
		return &cnpgv1.Cluster{}
	}
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	return object
}

// Start watches until ctx is done. It returns when the cache is filled, or with an error.
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

// isUnavailable reports whether the Kubernetes API did not respond, or responded that it cannot serve the request for
// now.
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

// wake wakes the subscribers of the object's namespace.
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

// WakeIn wakes the subscribers of the namespace and the follower of all namespaces. A nil Watch has none.
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
	default: // a wake-up is already pending
	}
}

// Follow returns a channel that receives a value after changes in any namespace; TakeChanged then returns those
// namespaces. Only one caller may follow.
func (w *Watch) Follow() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed, w.news = map[string]struct{}{}, make(chan struct{}, 1)
	return w.news
}

// TakeChanged returns the namespaces that have changed since the last call.
func (w *Watch) TakeChanged() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := slices.Collect(maps.Keys(w.changed))
	clear(w.changed)
	return all
}

// Until returns the time up to which the watch knows all changes: now, unless it is disconnected from Kubernetes.
func (w *Watch) Until(now time.Time) time.Time { return w.streams.until(now) }

// Subscribe returns a channel that receives a value after changes in the namespace, and a function that ends the
// subscription.
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
