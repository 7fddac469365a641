package diagnosis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// What of Kubernetes is looked at; more would tell no more.
const (
	// eventsWithin is how old an event may be: what it tells of may be long mended.
	eventsWithin = 15 * time.Minute
	// maxListed bounds each list. A database has a handful of each kind, and Kubernetes keeps events for an hour.
	maxListed = 500
	// maxLogs bounds how many containers' logs are read, the newest pods' first.
	maxLogs = 4
	// logLines are read from a log's end: what a container says last tells why it ended.
	logLines = 20
	// maxLogBytes bounds what is read of them.
	maxLogBytes = 16 << 10
)

// Kinds, as events name them.
const (
	kindPod   = "Pod"
	kindJob   = "Job"
	kindClaim = "PersistentVolumeClaim"
)

// operatorLabels choose CloudNativePG's operator, in whatever namespace it was installed.
var operatorLabels = client.MatchingLabels{"app.kubernetes.io/name": "cloudnative-pg"}

// podLogs reads the last lines of a container's log.
type podLogs interface {
	Logs(ctx context.Context, namespace, pod, container string, lines int64) (string, error)
}

// PodLogs reads containers' logs from Kubernetes.
type PodLogs struct{ Client kubernetes.Interface }

// Logs returns the last lines of the container's log, 16 KiB at most; of a container that waits to be started
// again, those of its run before.
func (p PodLogs) Logs(ctx context.Context, namespace, pod, container string, lines int64) (string, error) {
	limit := int64(maxLogBytes)
	options := corev1.PodLogOptions{Container: container, TailLines: &lines, LimitBytes: &limit}
	text, err := p.Client.CoreV1().Pods(namespace).GetLogs(pod, &options).DoRaw(ctx)
	if err != nil {
		return "", fmt.Errorf("read log of container %s of pod %s/%s: %w", container, namespace, pod, err)
	}
	return string(text), nil
}

// evidence is what Kubernetes shows of one database at one moment. What is not there, or could not be read, is
// empty.
type evidence struct {
	At        time.Time
	Namespace *corev1.Namespace
	Cluster   *cnpgv1.Cluster
	Poolers   []cnpgv1.Pooler
	Jobs      []batchv1.Job
	Pods      []corev1.Pod // the newest first
	Claims    []corev1.PersistentVolumeClaim
	Events    []corev1.Event
	// Applied are the objects that DAAP applied, where the namespace is being deleted.
	Applied   []metav1.PartialObjectMetadata
	Operators []appsv1.Deployment
	// OperatorsKnown tells no operator from operators that DAAP may not see.
	OperatorsKnown bool
	// Logs are the last lines of containers that failed.
	Logs map[containerOf]string
}

// containerOf names a container in the database's namespace.
type containerOf struct{ Pod, Container string }

// gather reads all there is to see of the database. One kind that cannot be read leaves its place empty; it is
// an error only when nothing at all can be.
func (d Diagnosis) gather(ctx context.Context, database daap.Database) (evidence, error) {
	var (
		name      = daap.Namespace(database.ID)
		in        = client.InNamespace(name)
		namespace corev1.Namespace
		cluster   cnpgv1.Cluster
		poolers   cnpgv1.PoolerList
		jobs      batchv1.JobList
		pods      corev1.PodList
		claims    corev1.PersistentVolumeClaimList
		events    corev1.EventList
		operators appsv1.DeploymentList
	)
	noOperators := d.list(ctx, &operators, operatorLabels)
	read := []error{
		noOperators,
		d.get(ctx, client.ObjectKey{Name: name}, &namespace),
		d.get(ctx, client.ObjectKey{Namespace: name, Name: manifest.ClusterName(database)}, &cluster),
		d.list(ctx, &poolers, in),
		d.list(ctx, &jobs, in),
		d.list(ctx, &pods, in),
		d.list(ctx, &claims, in),
		d.list(ctx, &events, in),
	}
	if !slices.Contains(read, nil) {
		return evidence{}, fmt.Errorf("read the objects of database %s: %w", database.ID, errors.Join(read...))
	}
	e := evidence{
		At: time.Now(), Poolers: poolers.Items, Jobs: jobs.Items, Pods: pods.Items, Claims: claims.Items,
		Events: events.Items, Operators: operators.Items, OperatorsKnown: noOperators == nil,
	}
	if namespace.Name != "" {
		e.Namespace = &namespace
	}
	if cluster.Name != "" {
		e.Cluster = &cluster
	}
	if namespace.DeletionTimestamp != nil {
		e.Applied = d.applied(ctx, name)
	}
	slices.SortStableFunc(e.Pods, func(a, b corev1.Pod) int {
		return b.CreationTimestamp.Compare(a.CreationTimestamp.Time)
	})
	e.Logs = d.logs(ctx, name, e.wanted())
	return e, nil
}

// applied reads what there is in the namespace of what DAAP applied. A kind that may not be read is left out: the worker's
// rights go with the namespace.
func (d Diagnosis) applied(ctx context.Context, namespace string) []metav1.PartialObjectMetadata {
	var all []metav1.PartialObjectMetadata
	for _, kind := range manifest.FollowedKinds() {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if kind.Kind == "Namespace" || d.list(ctx, list, client.InNamespace(namespace)) != nil {
			continue
		}
		for _, one := range list.Items {
			one.SetGroupVersionKind(kind)
			all = append(all, one)
		}
	}
	return all
}

// get reads one object; one that is not there stays empty.
func (d Diagnosis) get(ctx context.Context, key client.ObjectKey, into client.Object) error {
	if err := d.Reader.Get(ctx, key, into); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get %T %s: %w", into, key, err)
	}
	return nil
}

func (d Diagnosis) list(ctx context.Context, into client.ObjectList, of client.ListOption) error {
	if err := d.Reader.List(ctx, into, of, client.Limit(maxListed)); err != nil {
		return fmt.Errorf("list %T: %w", into, err)
	}
	return nil
}

// logs reads what failed containers said last, and what archives where that fails: of that CNPG tells an exit status
// alone. A log that cannot be read is left out: the container's state tells enough.
func (d Diagnosis) logs(ctx context.Context, namespace string, e evidence) map[containerOf]string {
	logs := map[containerOf]string{}
	if d.Logs == nil {
		return logs
	}
	for pod, container := range e.containers() {
		if len(logs) == maxLogs {
			break
		}
		if lastFailure(container) == nil && (container.Name != manifest.ArchiverContainer || !e.archivingFails()) {
			continue
		}
		if text, err := d.Logs.Logs(ctx, namespace, pod.Name, container.Name, logLines); err == nil {
			logs[containerOf{pod.Name, container.Name}] = text
		}
	}
	return logs
}

// archivingFails says whether WAL or base backups do not get to the object store.
func (e evidence) archivingFails() bool {
	return e.Cluster != nil && slices.ContainsFunc(archivingConditions, func(kind cnpgv1.ClusterConditionType) bool {
		return apimeta.IsStatusConditionFalse(e.Cluster.Status.Conditions, string(kind))
	})
}

// archivingConditions are those of a Cluster that tell of its archive.
var archivingConditions = []cnpgv1.ClusterConditionType{cnpgv1.ConditionContinuousArchiving, cnpgv1.ConditionBackup}

// wanted leaves out what no longer matters to whether the database comes up: what is being deleted, Jobs that
// are done, and events that have been overtaken.
func (e evidence) wanted() evidence {
	if e.Namespace != nil && e.Namespace.DeletionTimestamp != nil {
		return evidence{At: e.At, Operators: e.Operators, OperatorsKnown: e.OperatorsKnown}
	}
	all := e
	if e.Cluster != nil && e.Cluster.DeletionTimestamp != nil {
		e.Cluster = nil
	}
	e.Poolers = keep(e.Poolers, func(pooler *cnpgv1.Pooler) bool { return pooler.DeletionTimestamp == nil })
	e.Claims = keep(e.Claims, func(claim *corev1.PersistentVolumeClaim) bool { return claim.DeletionTimestamp == nil })
	e.Jobs = keep(e.Jobs, func(job *batchv1.Job) bool {
		return job.DeletionTimestamp == nil && !jobDone(job)
	})
	e.Pods = keep(e.Pods, func(pod *corev1.Pod) bool {
		return pod.DeletionTimestamp == nil && !slices.ContainsFunc(all.Jobs, func(job batchv1.Job) bool {
			return jobDone(&job) && owns(job.Name, job.UID, pod)
		})
	})
	e.Events = keep(e.Events, func(event *corev1.Event) bool { return e.stands(event) })
	return e
}

// stands says whether what the event tells of may still be so.
func (e evidence) stands(event *corev1.Event) bool {
	if e.At.Sub(lastSeen(event)) > eventsWithin {
		return false
	}
	about := event.InvolvedObject
	is := func(object metav1.ObjectMeta) bool {
		return object.Name == about.Name && (about.UID == "" || object.UID == about.UID)
	}
	switch about.Kind {
	case kindPod:
		return slices.ContainsFunc(e.Pods, func(pod corev1.Pod) bool { return is(pod.ObjectMeta) && !PodReady(&pod) })
	case kindClaim:
		return slices.ContainsFunc(e.Claims, func(claim corev1.PersistentVolumeClaim) bool {
			return is(claim.ObjectMeta) && claim.Status.Phase != corev1.ClaimBound
		})
	case cnpgv1.ClusterKind:
		return e.Cluster != nil && is(e.Cluster.ObjectMeta) && e.Cluster.Status.Phase != cnpgv1.PhaseHealthy
	case kindJob:
		if !slices.ContainsFunc(e.Jobs, func(job batchv1.Job) bool { return is(job.ObjectMeta) }) {
			return false
		}
	}
	// What makes pods has overcome its trouble once it made one.
	return !slices.ContainsFunc(e.Pods, func(pod corev1.Pod) bool {
		return owns(about.Name, about.UID, &pod) && pod.CreationTimestamp.After(lastSeen(event))
	})
}

// containers yields every container of every pod in the order in which they start. Init containers count as all
// others do: from CNPG 1.31 on an instance is bootstrapped by one.
func (e evidence) containers() func(yield func(*corev1.Pod, *corev1.ContainerStatus) bool) {
	return func(yield func(*corev1.Pod, *corev1.ContainerStatus) bool) {
		for i := range e.Pods {
			pod := &e.Pods[i]
			for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
				if !yield(pod, &status) {
					return
				}
			}
		}
	}
}

// lastFailure returns how the container ended, if it did and should not have; nil while it runs or never ran.
func lastFailure(container *corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	if container.State.Running != nil {
		return nil
	}
	end := cmp.Or(container.State.Terminated, container.LastTerminationState.Terminated)
	if end == nil || (container.State.Terminated != nil && end.ExitCode == 0) {
		return nil
	}
	return end
}

// lastSeen is when the event happened last; who reports it in the new way leaves the old fields empty.
func lastSeen(event *corev1.Event) time.Time {
	last := event.CreationTimestamp.Time
	for _, at := range []time.Time{event.FirstTimestamp.Time, event.LastTimestamp.Time, event.EventTime.Time} {
		if at.After(last) {
			last = at
		}
	}
	if series := event.Series; series != nil && series.LastObservedTime.After(last) {
		last = series.LastObservedTime.Time
	}
	return last
}

// PodReady reports whether Kubernetes calls the pod ready.
func PodReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
	})
}

func jobDone(job *batchv1.Job) bool { return jobCondition(job, batchv1.JobComplete) != nil }

// jobCondition returns the Job's condition of that type if it is true, else nil.
func jobCondition(job *batchv1.Job, is batchv1.JobConditionType) *batchv1.JobCondition {
	for i, condition := range job.Status.Conditions {
		if condition.Type == is && condition.Status == corev1.ConditionTrue {
			return &job.Status.Conditions[i]
		}
	}
	return nil
}

// owns says whether the pod was made for the owner of that name.
func owns(name string, uid types.UID, pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.OwnerReferences, func(owner metav1.OwnerReference) bool {
		return owner.Name == name && (uid == "" || owner.UID == uid)
	})
}

func keep[T any](all []T, wanted func(*T) bool) []T {
	var kept []T
	for i := range all {
		if wanted(&all[i]) {
			kept = append(kept, all[i])
		}
	}
	return kept
}
