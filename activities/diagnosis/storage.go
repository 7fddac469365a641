package diagnosis

import (
	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// fullExitCode is the exit code of CNPG's instance manager if there is no space for two segments of WAL.
const fullExitCode = 4

// storageFull reports whether the operator has stopped because a volume is full: it then neither grows volumes nor does
// anything else.
func storageFull(cluster *cnpgv1.Cluster) bool {
	return cluster != nil && fullPhaseWords.in(cluster.Status.Phase)
}

// VolumesFull returns the cause if a volume is full, according to the Cluster and the pods of its instances; otherwise
// nil.
func VolumesFull(cluster *cnpgv1.Cluster, pods []corev1.Pod) *daap.Cause {
	return volumesFull(evidence{Cluster: cluster, Pods: pods})
}

func volumesFull(e evidence) *daap.Cause {
	if storageFull(e.Cluster) {
		return Cause(daap.CauseStorageFull, "Cluster %s: %s", e.Cluster.Name, WithReason(e.phase()))
	}
	for pod, container := range e.containers() {
		end := lastFailure(container)
		if end != nil && container.Name == manifest.PostgresContainer && end.ExitCode == fullExitCode {
			return Cause(daap.CauseStorageFull, "Pod %s, container %s exited because its volume has no room for WAL",
				pod.Name, container.Name)
		}
		for _, line := range logOf(e.Logs[containerOf{pod.Name, container.Name}]) {
			if fullWords.in(line.Whole) {
				return Cause(daap.CauseStorageFull, "Pod %s, container %s: %s", pod.Name, container.Name,
					FirstOf(line.Text, "see its log"))
			}
		}
	}
	return nil
}

func storeDenied(e evidence) *daap.Cause {
	for pod, container := range e.containers() {
		for _, line := range logOf(e.Logs[containerOf{pod.Name, container.Name}]) {
			if storeWords.in(line.Whole) {
				said := FirstOf(line.Text, "see its log")
				return Cause(daap.CauseS3Denied, "Pod %s, container %s: %s", pod.Name, container.Name, said)
			}
		}
	}
	if e.Cluster == nil {
		return nil
	}
	for _, kind := range archivingConditions {
		condition := apimeta.FindStatusCondition(e.Cluster.Status.Conditions, string(kind))
		if condition != nil && condition.Status == metav1.ConditionFalse && storeWords.in(condition.Message) {
			return Cause(daap.CauseS3Denied, "Cluster %s, %s: %s", e.Cluster.Name, condition.Type, condition.Message)
		}
	}
	return nil
}

// recoveryFailed finds a failure of a recovery that no retry can fix.
func recoveryFailed(e evidence) *daap.Cause {
	for pod, container := range e.containers() {
		reached := ""
		for _, line := range logOf(e.Logs[containerOf{pod.Name, container.Name}]) {
			if lastReachedWords.in(line.Whole) {
				reached = line.Text
			}
			for code, words := range map[daap.CauseCode]words{
				daap.CauseNoBackupBefore: noBackupWords, daap.CauseTargetUnreachable: unreachedWords,
				daap.CauseArchiveNotEmpty: notEmptyWords,
			} {
				if words.in(line.Whole) {
					return Cause(code, "Pod %s: %s", pod.Name, WithReason(FirstOf(line.Text, "see its log"), reached))
				}
			}
		}
	}
	return nil
}
