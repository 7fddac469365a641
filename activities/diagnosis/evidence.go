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

// The limits of the evidence; more would not change the diagnosis.
const (
	// eventsWithin is the maximum age of an event: the problem that an older one reports may be fixed.
	eventsWithin = 15 * time.Minute
	// maxListed limits each list. A database has a handful of objects of each kind, and Kubernetes keeps events for an
	// hour.
	maxListed = 500
	// maxLogs is the maximum number of containers whose logs are read, the newest pods' first.
	maxLogs = 4
	// logLines is the number of lines that are read from the end of a log, which has the reason why the container
	// ended.
	logLines = 20
	// maxLogBytes limits the size of these lines.
	maxLogBytes = 16 << 10
)

// Kinds, as events name them.
const (
	kindPod   = "Pod"
	kindJob   = "Job"
	kindClaim = "PersistentVolumeClaim"
)

// operatorLabels select CloudNativePG's operator in any namespace.
var operatorLabels = client.MatchingLabels{"app.kubernetes.io/name": "cloudnative-pg"}

// podLogs reads the last lines of a container's log.
type podLogs interface {
	Logs(ctx context.Context, namespace, pod, container string, lines int64) (string, error)
}

// PodLogs reads containers' logs from Kubernetes.
type PodLogs struct{ Client kubernetes.Interface }

// Logs returns the last lines of the container's log, at most 16 KiB. If the container waits for a restart, it returns
// the log of the previous run.
func (p PodLogs) Logs(ctx context.Context, namespace, pod, container string, lines int64) (string, error) {
	limit := int64(maxLogBytes)
	options := corev1.PodLogOptions{Container: container, TailLines: &lines, LimitBytes: &limit}
	text, err := p.Client.CoreV1().Pods(namespace).GetLogs(pod, &options).DoRaw(ctx)
	if err != nil {
		return "", fmt.Errorf("read log of container %s of pod %s/%s: %w", container, namespace, pod, err)
	}
	return string(text), nil
}

// evidence is the state of one database's objects in Kubernetes at one time. Objects that are missing or could not be
// read are empty.
type evidence struct {
	At        time.Time
	Namespace *corev1.Namespace
	Cluster   *cnpgv1.Cluster
	Poolers   []cnpgv1.Pooler
	Jobs      []batchv1.Job
	Pods      []corev1.Pod // the newest first
	Claims    []corev1.PersistentVolumeClaim
	Events    []corev1.Event
	// Applied are the objects that DAAP applied, if the namespace is being deleted.
	Applied   []metav1.PartialObjectMetadata
	Operators []appsv1.Deployment
	// OperatorsKnown distinguishes a missing operator from operators that DAAP may not read.
	OperatorsKnown bool
	// Logs are the last lines of the logs of failed containers.
	Logs map[containerOf]string
}

// containerOf names a container in the database's namespace.
type containerOf struct{ Pod, Container string }

// gather reads the evidence about the database. A kind that cannot be read stays empty; only if no kind can be read is
// that an error.
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

// applied reads the remaining objects in the namespace that DAAP applied. It leaves out kinds that the worker may not
// read: the worker's rights are deleted with the namespace.
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

// get reads one object; a missing one stays empty.
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

// logs reads the last lines of failed containers, and of the archiver if archiving fails: CNPG reports only its exit
// status. A log that cannot be read is left out: the container's state is enough.
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

// archivingFails reports whether WAL or base backups do not reach the object store.
func (e evidence) archivingFails() bool {
	return e.Cluster != nil && slices.ContainsFunc(archivingConditions, func(kind cnpgv1.ClusterConditionType) bool {
		return apimeta.IsStatusConditionFalse(e.Cluster.Status.Conditions, string(kind))
	})
}

// archivingConditions are the conditions of a Cluster that describe its archiving.
var archivingConditions = []cnpgv1.ClusterConditionType{cnpgv1.ConditionContinuousArchiving, cnpgv1.ConditionBackup}

// wanted leaves out objects that no longer affect whether the database starts: deleted ones, finished Jobs, and
// outdated events.
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
	e.Events = keep(e.Events, func(event *corev1.Event) bool { return e.isCurrent(event) })
	return e
}

// isCurrent reports whether the problem that the event reports may still exist.
func (e evidence) isCurrent(event *corev1.Event) bool {
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
	// An owner of pods has overcome its problem when it has created a pod.
	return !slices.ContainsFunc(e.Pods, func(pod corev1.Pod) bool {
		return owns(about.Name, about.UID, &pod) && pod.CreationTimestamp.After(lastSeen(event))
	})
}

// containers yields the containers of all pods in the order in which they start, including init containers: since CNPG
// 1.31, an init container bootstraps an instance.
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

// lastFailure returns how the container failed; nil if it runs, never ran or succeeded.
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

// lastSeen returns when the event last happened; reporters of the newer events API leave the old fields empty.
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

// PodReady reports whether the pod is ready according to Kubernetes.
func PodReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
	})
}

func jobDone(job *batchv1.Job) bool { return jobCondition(job, batchv1.JobComplete) != nil }

// jobCondition returns the Job's condition of that type if it is true, otherwise nil.
func jobCondition(job *batchv1.Job, is batchv1.JobConditionType) *batchv1.JobCondition {
	for i, condition := range job.Status.Conditions {
		if condition.Type == is && condition.Status == corev1.ConditionTrue {
			return &job.Status.Conditions[i]
		}
	}
	return nil
}

// owns reports whether the owner of that name has created the pod.
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
