package diagnosis

import (
	"fmt"
	"strings"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// networkBlocked finds blocked connections: from the operator to the database's pods, or from them to the Kubernetes
// API.
func networkBlocked(e evidence) *daap.Cause {
	phase, reason := e.phase()
	if networkWords.in(phase) {
		return Cause(daap.CauseNetworkBlocked, "Cluster %s: %s", e.Cluster.Name, WithReason(phase, reason))
	}
	for pod, container := range e.containers() {
		end := lastFailure(container)
		if end == nil {
			continue
		}
		if said := FirstOf(e.lastErrors(pod, container), end.Message); dialWords.in(said) && apiWords.in(said) {
			return Cause(daap.CauseNetworkBlocked, "Pod %s, container %s cannot reach the Kubernetes API: %s",
				pod.Name, container.Name, said)
		}
	}
	return nil
}

func jobFailed(e evidence) *daap.Cause {
	for i := range e.Jobs {
		job := &e.Jobs[i]
		how := fmt.Sprintf("has failed %d times so far", job.Status.Failed)
		if failed := jobCondition(job, batchv1.JobFailed); failed != nil {
			how = WithReason("failed", failed.Reason)
		} else if job.Status.Failed < minCrashes {
			continue // Kubernetes retries for many minutes before the Job counts as failed
		}
		return Cause(daap.CauseJobFailed, "Job %s %s: %s", job.Name, how, e.lastErrorsOf(job))
	}
	return nil
}

// lastErrorsOf returns the last errors in the log of the Job's newest pod that has one.
func (e evidence) lastErrorsOf(job *batchv1.Job) string {
	for pod, container := range e.containers() {
		if said := e.lastErrors(pod, container); said != "" && owns(job.Name, job.UID, pod) {
			return said
		}
	}
	return "its log has no error"
}

func (e evidence) lastErrors(pod *corev1.Pod, container *corev1.ContainerStatus) string {
	return lastErrors(e.Logs[containerOf{pod.Name, container.Name}])
}

func crashLoop(e evidence) *daap.Cause {
	for pod, container := range e.containers() {
		waiting := container.State.Waiting
		backsOff := waiting != nil && crashWords.in(waiting.Reason)
		end := lastFailure(container)
		if !backsOff && (end == nil || waiting != nil || container.RestartCount < minCrashes) {
			continue
		}
		how, said := "", e.lastErrors(pod, container)
		if end != nil {
			how = WithReason(fmt.Sprintf(", most recently with exit code %d", end.ExitCode), end.Reason)
			said = FirstOf(said, end.Message)
		}
		return Cause(daap.CauseCrashLoop, "Pod %s, container %s has exited %s times%s: %s", pod.Name, container.Name,
			fmt.Sprint(max(1, container.RestartCount)), how, FirstOf(said, "its log has no error"))
	}
	return nil
}

func pluginMissing(e evidence) *daap.Cause {
	phase, reason := e.phase()
	if phase != cnpgv1.PhaseUnknownPlugin && phase != cnpgv1.PhaseFailurePlugin {
		return nil
	}
	return Cause(daap.CausePluginMissing, "Cluster %s: %s", e.Cluster.Name, WithReason(phase, reason))
}

func clusterUnrecoverable(e evidence) *daap.Cause {
	phase, reason := e.phase()
	if phase != cnpgv1.PhaseUnrecoverable {
		return halfCreated(e)
	}
	for pod, container := range e.containers() {
		if said := e.lastErrors(pod, container); said != "" {
			return Cause(daap.CauseClusterUnrecoverable, "Cluster %s: %s; pod %s, container %s: %s",
				e.Cluster.Name, WithReason(phase, reason), pod.Name, container.Name, said)
		}
	}
	return Cause(daap.CauseClusterUnrecoverable, "Cluster %s: %s", e.Cluster.Name, WithReason(phase, reason))
}

// halfCreated finds a Cluster whose operator stopped between creating the volume claim of the first instance and the
// Job that initializes it: it waits for that Job forever, even after the operator has restarted. A Cluster that once
// had a primary is not half created: it hibernates, wakes up, or lost its pod.
func halfCreated(e evidence) *daap.Cause {
	if e.Cluster == nil || e.Cluster.Status.CurrentPrimary != "" ||
		len(e.Cluster.Status.DanglingPVC) == 0 || len(e.Jobs) > 0 ||
		e.At.Sub(e.Cluster.CreationTimestamp.Time) < patience || operatorDown(e) != nil {
		return nil
	}
	for i := range e.Pods {
		if e.Pods[i].Labels[manifest.LabelPodRole] != manifest.RolePooler {
			return nil
		}
	}
	return Cause(daap.CauseClusterUnrecoverable,
		"Cluster %s: the operator stopped while creating the first instance; volume claim %s is waiting for a Job that "+
			"does not exist",
		e.Cluster.Name, strings.Join(e.Cluster.Status.DanglingPVC, ", "))
}

func operatorDown(e evidence) *daap.Cause {
	if !e.OperatorsKnown {
		return nil
	}
	if len(e.Operators) == 0 {
		return Cause(daap.CauseOperatorDown, "The Deployment of the CloudNativePG operator does not exist")
	}
	for _, operator := range e.Operators {
		if operator.Status.ReadyReplicas > 0 {
			return nil
		}
	}
	return Cause(daap.CauseOperatorDown, "No replica of Deployment %s/%s is ready",
		e.Operators[0].Namespace, e.Operators[0].Name)
}
