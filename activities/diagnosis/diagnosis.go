// Package diagnosis finds out why a database makes no progress: from the objects in Kubernetes, it derives a cause with
// a remedy. It contains all texts of other programs that DAAP matches.
package diagnosis

import (
	"context"
	"slices"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
)

const (
	// diagnosisTimeout limits all reads of one diagnosis, because it delays the wait that asked for it.
	diagnosisTimeout = 5 * time.Second
	// patience is how long something may be in progress before it counts as stuck.
	patience = 30 * time.Second
	// minCrashes is how often a container or a Job's pod must fail before the failure is no accident.
	minCrashes = 3
)

// Diagnosis finds out why a database makes no progress, from its objects in Kubernetes.
type Diagnosis struct {
	// Reader reads from the API server: most of the evidence is in no watch.
	Reader client.Reader
	// Logs reads the logs of failed containers; nil leaves them out.
	Logs podLogs
}

// Of returns the most likely reason why the database makes no progress, or nil if none is known. It takes a few seconds
// at most and changes nothing. It works without objects that it may not read, and fails only if it cannot read any.
func (d Diagnosis) Of(ctx context.Context, database daap.Database) (*daap.Cause, error) {
	ctx, cancel := context.WithTimeout(ctx, diagnosisTimeout)
	defer cancel()
	e, err := d.gather(ctx, database)
	if err != nil {
		return nil, err
	}
	return diagnose(e), nil
}

// diagnose returns the first cause that the evidence shows; the checks are in the order of daap.Causes, the most
// specific first.
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

// Cause returns a cause whose message contains the texts of other programs only as far as they may be shown.
func Cause(code daap.CauseCode, format string, said ...string) *daap.Cause {
	args := make([]any, 0, len(said))
	for _, text := range said {
		args = append(args, Safe(text))
	}
	cause := daap.NewCause(code, format, args...)
	return &cause
}

func imagePull(e evidence) *daap.Cause {
	for pod, container := range e.containers() {
		if w := container.State.Waiting; w != nil && imageWords.in(w.Reason) {
			return Cause(daap.CauseImagePull, "Pod %s, container %s: image %s cannot be pulled: %s",
				pod.Name, container.Name, container.Image, WithReason(w.Reason, w.Message))
		}
	}
	return nil
}

func podSecurity(e evidence) *daap.Cause { return e.refused(daap.CausePodSecurity, podSecurityWords) }

func quota(e evidence) *daap.Cause { return e.refused(daap.CauseQuota, quotaWords) }

// refused finds objects that Kubernetes did not let a controller create: controllers report that in events, the
// operator also in the phases of its objects.
func (e evidence) refused(code daap.CauseCode, why words) *daap.Cause {
	for _, event := range e.Events {
		if event.Type == corev1.EventTypeWarning && why.in(event.Message) {
			about := event.InvolvedObject
			return Cause(code, "%s %s: %s", about.Kind, about.Name, event.Message)
		}
	}
	if phase, reason := e.phase(); why.in(reason) {
		return Cause(code, "Cluster %s: %s: %s", e.Cluster.Name, phase, reason)
	}
	for _, pooler := range e.Poolers {
		if why.in(pooler.Status.PhaseReason) {
			return Cause(code, "Pooler %s: %s", pooler.Name, pooler.Status.PhaseReason)
		}
	}
	return nil
}

// phase returns the operator's phase of an unfinished Cluster, and the reason; empty if there is none.
func (e evidence) phase() (phase, reason string) {
	if e.Cluster == nil || e.Cluster.Status.Phase == cnpgv1.PhaseHealthy {
		return "", ""
	}
	return e.Cluster.Status.Phase, e.Cluster.Status.PhaseReason
}

func unschedulable(e evidence) *daap.Cause {
	for i := range e.Pods {
		if message, _ := noNode(&e.Pods[i]); message != "" && !claimWords.in(message) {
			return Cause(daap.CauseUnschedulable, "Pod %s cannot be scheduled: %s", e.Pods[i].Name, message)
		}
	}
	return nil
}

// noNode returns why the scheduler has no node for the pod, and since when.
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
			return Cause(daap.CausePVCPending, "PersistentVolumeClaim %s lost its volume %s",
				claim.Name, claim.Spec.VolumeName)
		}
		if claim.Status.Phase != corev1.ClaimPending {
			continue
		}
		if event := e.eventOf(claim.Name, claimFailedWords); event != nil {
			return Cause(daap.CausePVCPending, "PersistentVolumeClaim %s is not bound: %s", claim.Name, event.Message)
		}
		// A claim that waits for its pod to be scheduled has the pod's cause.
		if e.At.Sub(claim.CreationTimestamp.Time) > patience && e.eventOf(claim.Name, claimWaitsWords) == nil {
			said := "no event gives a reason"
			if event := e.eventOf(claim.Name, claimComingWords); event != nil {
				said = event.Message
			}
			return Cause(daap.CausePVCPending, "PersistentVolumeClaim %s is not bound: %s", claim.Name, said)
		}
	}
	for i := range e.Pods {
		// The scheduler reports every claim until it is bound, which takes a moment.
		if message, since := noNode(&e.Pods[i]); claimWords.in(message) && e.At.Sub(since) > patience {
			return Cause(daap.CausePVCPending, "Pod %s is waiting for its volume: %s", e.Pods[i].Name, message)
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

func secretMissing(e evidence) *daap.Cause {
	for pod, container := range e.containers() {
		if w := container.State.Waiting; w != nil && configErrorWords.in(w.Reason) &&
			secretWords.in(w.Message) && missingWords.in(w.Message) {
			return Cause(daap.CauseSecretMissing, "Pod %s, container %s: %s", pod.Name, container.Name, w.Message)
		}
	}
	for _, event := range e.Events {
		unmounted := mountReasonWords.in(event.Reason) && secretWords.in(event.Message) && missingWords.in(event.Message)
		if unmounted || secretReasonWords.in(event.Reason) {
			about := event.InvolvedObject
			return Cause(daap.CauseSecretMissing, "%s %s: %s", about.Kind, about.Name, event.Message)
		}
	}
	return nil
}

// Hopeless reports whether waiting can no longer succeed.
func Hopeless(cause *daap.Cause) bool {
	if cause == nil {
		return false
	}
	return slices.Contains([]daap.CauseCode{
		daap.CauseNoBackupBefore, daap.CauseTargetUnreachable, daap.CauseArchiveNotEmpty,
	}, cause.Code)
}
