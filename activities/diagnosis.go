package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
)

const (
	// diagnosisTimeout bounds all that one diagnosis reads: it delays the wait that asked for it.
	diagnosisTimeout = 5 * time.Second
	// patience is how long something may be under way before it is called stuck.
	patience = 30 * time.Second
	// crashesTelling is how often a container or a Job's pod must end before it is no accident.
	crashesTelling = 3
)

// Diagnosis finds out why a database does not get on, by what Kubernetes shows of it.
type Diagnosis struct {
	// Reader asks Kubernetes itself: most of what tells is in no watch.
	Reader client.Reader
	// Logs reads what failed containers said; nil leaves it out.
	Logs podLogs
}

// Of returns what most likely keeps the database from getting on, nil where nothing is known. It takes a few
// seconds at most and changes nothing. What it may not read it does without; it fails only when nothing at all
// can be read.
func (d Diagnosis) Of(ctx context.Context, database daap.Database) (*daap.Cause, error) {
	ctx, cancel := context.WithTimeout(ctx, diagnosisTimeout)
	defer cancel()
	e, err := d.gather(ctx, database)
	if err != nil {
		return nil, err
	}
	return diagnose(e), nil
}

// diagnose returns the most telling cause that the evidence shows; the checks stand in the order of
// daap.Causes.
func diagnose(e evidence) *daap.Cause {
	wanted := e.wanted()
	for _, check := range []func(evidence) *daap.Cause{
		imagePull,
		podSecurity,
		quota,
		unschedulable,
		claimPending,
		volumesFull,
		secretMissing,
		storeDenied,
		recoveryFailed,
		networkBlocked,
		jobFailed,
		crashLoop,
		pluginMissing,
		clusterUnrecoverable,
		operatorDown,
	} {
		if cause := check(wanted); cause != nil {
			return cause
		}
	}
	return heldByFinalizer(e)
}

// because is a cause whose message has only what may be shown of the texts of others.
func because(code daap.CauseCode, format string, said ...string) *daap.Cause {
	args := make([]any, 0, len(said))
	for _, text := range said {
		args = append(args, safe(text))
	}
	cause := daap.NewCause(code, format, args...)
	return &cause
}

func imagePull(e evidence) *daap.Cause {
	for pod, container := range e.containers() {
		if w := container.State.Waiting; w != nil && imageWords.in(w.Reason) {
			return because(daap.CauseImagePull, "Pod %s, container %s: image %s cannot be pulled: %s",
				pod.Name, container.Name, container.Image, withReason(w.Reason, w.Message))
		}
	}
	return nil
}

func podSecurity(e evidence) *daap.Cause { return e.refused(daap.CausePodSecurity, podSecurityWords) }

func quota(e evidence) *daap.Cause { return e.refused(daap.CauseQuota, quotaWords) }

// refused looks for what Kubernetes did not let a controller make: controllers tell it in events, the operator
// also in the phases of what it works for.
func (e evidence) refused(code daap.CauseCode, why words) *daap.Cause {
	for _, event := range e.Events {
		if event.Type == corev1.EventTypeWarning && why.in(event.Message) {
			about := event.InvolvedObject
			return because(code, "%s %s: %s", about.Kind, about.Name, event.Message)
		}
	}
	if phase, reason := e.phase(); why.in(reason) {
		return because(code, "Cluster %s: %s: %s", e.Cluster.Name, phase, reason)
	}
	for _, pooler := range e.Poolers {
		if why.in(pooler.Status.PhaseReason) {
			return because(code, "Pooler %s: %s", pooler.Name, pooler.Status.PhaseReason)
		}
	}
	return nil
}

// phase is what the operator says of a Cluster that it is not done with; empty where there is none.
func (e evidence) phase() (phase, reason string) {
	if e.Cluster == nil || e.Cluster.Status.Phase == cnpgv1.PhaseHealthy {
		return "", ""
	}
	return e.Cluster.Status.Phase, e.Cluster.Status.PhaseReason
}

func unschedulable(e evidence) *daap.Cause {
	for i := range e.Pods {
		if message, _ := noNode(&e.Pods[i]); message != "" && !claimWords.in(message) {
			return because(daap.CauseUnschedulable, "Pod %s cannot be scheduled: %s", e.Pods[i].Name, message)
		}
	}
	return nil
}

// noNode is what the scheduler says of a pod that it has no node for, and since when.
func noNode(pod *corev1.Pod) (message string, since time.Time) {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse &&
			condition.Reason == corev1.PodReasonUnschedulable {
			return condition.Message, condition.LastTransitionTime.Time
		}
	}
	return "", time.Time{}
}

func claimPending(e evidence) *daap.Cause {
	for _, claim := range e.Claims {
		if claim.Status.Phase == corev1.ClaimLost {
			return because(daap.CausePVCPending, "PersistentVolumeClaim %s lost its volume %s",
				claim.Name, claim.Spec.VolumeName)
		}
		if claim.Status.Phase != corev1.ClaimPending {
			continue
		}
		if event := e.eventOf(claim.Name, claimFailedWords); event != nil {
			return because(daap.CausePVCPending, "PersistentVolumeClaim %s is not bound: %s", claim.Name, event.Message)
		}
		// A claim that waits for its pod to get a node waits for what keeps the pod.
		if e.At.Sub(claim.CreationTimestamp.Time) > patience && e.eventOf(claim.Name, claimWaitsWords) == nil {
			said := "no event gives a reason"
			if event := e.eventOf(claim.Name, claimComingWords); event != nil {
				said = event.Message
			}
			return because(daap.CausePVCPending, "PersistentVolumeClaim %s is not bound: %s", claim.Name, said)
		}
	}
	for i := range e.Pods {
		// The scheduler complains of every claim until it is bound, which takes a moment.
		if message, since := noNode(&e.Pods[i]); claimWords.in(message) && e.At.Sub(since) > patience {
			return because(daap.CausePVCPending, "Pod %s is waiting for its volume: %s", e.Pods[i].Name, message)
		}
	}
	return nil
}

// eventOf finds an event of a claim by its reason.
func (e evidence) eventOf(claim string, reason words) *corev1.Event {
	for i, event := range e.Events {
		if event.InvolvedObject.Kind == kindClaim && event.InvolvedObject.Name == claim && reason.in(event.Reason) {
			return &e.Events[i]
		}
	}
	return nil
}

// fullExitCode is that of CNPG's instance manager where there is no room for two segments of WAL.
const fullExitCode = 4

// storageFull says whether the operator has stopped for want of room: it grows no volume then, and does nothing else.
func storageFull(cluster *cnpgv1.Cluster) bool {
	return cluster != nil && fullPhaseWords.in(cluster.Status.Phase)
}

func volumesFull(e evidence) *daap.Cause {
	if storageFull(e.Cluster) {
		return because(daap.CauseStorageFull, "Cluster %s: %s", e.Cluster.Name, withReason(e.phase()))
	}
	for pod, container := range e.containers() {
		end := lastFailure(container)
		if end != nil && container.Name == postgresContainer && end.ExitCode == fullExitCode {
			return because(daap.CauseStorageFull, "Pod %s, container %s exited because its volume has no room for WAL",
				pod.Name, container.Name)
		}
		for _, line := range logOf(e.Logs[containerOf{pod.Name, container.Name}]) {
			if fullWords.in(line.Whole) {
				return because(daap.CauseStorageFull, "Pod %s, container %s: %s", pod.Name, container.Name,
					firstOf(line.Text, "see its log"))
			}
		}
	}
	return nil
}

func secretMissing(e evidence) *daap.Cause {
	for pod, container := range e.containers() {
		if w := container.State.Waiting; w != nil && configErrorWords.in(w.Reason) &&
			secretWords.in(w.Message) && missingWords.in(w.Message) {
			return because(daap.CauseSecretMissing, "Pod %s, container %s: %s", pod.Name, container.Name, w.Message)
		}
	}
	for _, event := range e.Events {
		unmounted := mountReasonWords.in(event.Reason) && secretWords.in(event.Message) && missingWords.in(event.Message)
		if unmounted || secretReasonWords.in(event.Reason) {
			about := event.InvolvedObject
			return because(daap.CauseSecretMissing, "%s %s: %s", about.Kind, about.Name, event.Message)
		}
	}
	return nil
}

func storeDenied(e evidence) *daap.Cause {
	for pod, container := range e.containers() {
		for _, line := range logOf(e.Logs[containerOf{pod.Name, container.Name}]) {
			if storeWords.in(line.Whole) {
				said := firstOf(line.Text, "see its log")
				return because(daap.CauseS3Denied, "Pod %s, container %s: %s", pod.Name, container.Name, said)
			}
		}
	}
	if e.Cluster == nil {
		return nil
	}
	for _, kind := range archivingConditions {
		told := apimeta.FindStatusCondition(e.Cluster.Status.Conditions, string(kind))
		if told != nil && told.Status == metav1.ConditionFalse && storeWords.in(told.Message) {
			return because(daap.CauseS3Denied, "Cluster %s, %s: %s", e.Cluster.Name, told.Type, told.Message)
		}
	}
	return nil
}

// recoveryFailed finds what no other try of a recovery can change.
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
					return because(code, "Pod %s: %s", pod.Name, withReason(firstOf(line.Text, "see its log"), reached))
				}
			}
		}
	}
	return nil
}

// hopeless says whether what is waited for cannot come about by itself any more.
func hopeless(cause *daap.Cause) bool {
	if cause == nil {
		return false
	}
	return slices.Contains([]daap.CauseCode{
		daap.CauseNoBackupBefore, daap.CauseTargetUnreachable, daap.CauseArchiveNotEmpty,
	}, cause.Code)
}

// networkBlocked finds what does not get through to or from the database's pods: the operator to them, or they to the
// Kubernetes API.
func networkBlocked(e evidence) *daap.Cause {
	phase, reason := e.phase()
	if networkWords.in(phase) {
		return because(daap.CauseNetworkBlocked, "Cluster %s: %s", e.Cluster.Name, withReason(phase, reason))
	}
	for pod, container := range e.containers() {
		end := lastFailure(container)
		if end == nil {
			continue
		}
		if said := firstOf(e.lastErrors(pod, container), end.Message); dialWords.in(said) && apiWords.in(said) {
			return because(daap.CauseNetworkBlocked, "Pod %s, container %s cannot reach the Kubernetes API: %s",
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
			how = withReason("failed", failed.Reason)
		} else if job.Status.Failed < crashesTelling {
			continue // Kubernetes starts a failed pod anew for many minutes before it calls the Job failed
		}
		return because(daap.CauseJobFailed, "Job %s %s: %s", job.Name, how, e.lastErrorsOf(job))
	}
	return nil
}

// lastErrorsOf returns what the Job's newest pod that left a log said last.
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
		if !backsOff && (end == nil || waiting != nil || container.RestartCount < crashesTelling) {
			continue
		}
		how, said := "", e.lastErrors(pod, container)
		if end != nil {
			how = withReason(fmt.Sprintf(", most recently with exit code %d", end.ExitCode), end.Reason)
			said = firstOf(said, end.Message)
		}
		return because(daap.CauseCrashLoop, "Pod %s, container %s has exited %s times%s: %s", pod.Name, container.Name,
			fmt.Sprint(max(1, container.RestartCount)), how, firstOf(said, "its log has no error"))
	}
	return nil
}

func pluginMissing(e evidence) *daap.Cause {
	phase, reason := e.phase()
	if phase != cnpgv1.PhaseUnknownPlugin && phase != cnpgv1.PhaseFailurePlugin {
		return nil
	}
	return because(daap.CausePluginMissing, "Cluster %s: %s", e.Cluster.Name, withReason(phase, reason))
}

func clusterUnrecoverable(e evidence) *daap.Cause {
	phase, reason := e.phase()
	if phase != cnpgv1.PhaseUnrecoverable {
		return leftHalfMade(e)
	}
	for pod, container := range e.containers() {
		if said := e.lastErrors(pod, container); said != "" {
			return because(daap.CauseClusterUnrecoverable, "Cluster %s: %s; pod %s, container %s: %s",
				e.Cluster.Name, withReason(phase, reason), pod.Name, container.Name, said)
		}
	}
	return because(daap.CauseClusterUnrecoverable, "Cluster %s: %s", e.Cluster.Name, withReason(phase, reason))
}

// leftHalfMade finds a Cluster whose operator died between making the volume claim of the first instance and the Job
// that fills it: it waits for that Job for good, also after the operator is back. One that had a primary once is not
// half made: it hibernates, wakes up, or lost its pod.
func leftHalfMade(e evidence) *daap.Cause {
	if e.Cluster == nil || e.Cluster.Status.CurrentPrimary != "" ||
		len(e.Cluster.Status.DanglingPVC) == 0 || len(e.Jobs) > 0 ||
		e.At.Sub(e.Cluster.CreationTimestamp.Time) < patience || operatorDown(e) != nil {
		return nil
	}
	for i := range e.Pods {
		if e.Pods[i].Labels[podRoleLabel] != poolerRole {
			return nil
		}
	}
	return because(daap.CauseClusterUnrecoverable,
		"Cluster %s: the operator stopped while creating the first instance; volume claim %s is waiting for a Job that "+
			"does not exist",
		e.Cluster.Name, strings.Join(e.Cluster.Status.DanglingPVC, ", "))
}

// podRoleLabel is CNPG's label that tells the pods of a Pooler from those of instances, which run PostgreSQL in
// postgresContainer.
const (
	podRoleLabel      = "cnpg.io/podRole"
	poolerRole        = "pooler"
	instanceRole      = "instance"
	postgresContainer = "postgres"
	archiverContainer = "plugin-barman-cloud"
)

func operatorDown(e evidence) *daap.Cause {
	if !e.OperatorsKnown {
		return nil
	}
	if len(e.Operators) == 0 {
		return because(daap.CauseOperatorDown, "The Deployment of the CloudNativePG operator does not exist")
	}
	for _, operator := range e.Operators {
		if operator.Status.ReadyReplicas > 0 {
			return nil
		}
	}
	return because(daap.CauseOperatorDown, "No replica of Deployment %s/%s is ready",
		e.Operators[0].Namespace, e.Operators[0].Name)
}

// firstOf returns the first text that says something; empty when none does.
func firstOf(texts ...string) string {
	for _, text := range texts {
		if strings.TrimSpace(text) != "" {
			return text
		}
	}
	return ""
}
