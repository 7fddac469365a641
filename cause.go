package daap

import "fmt"

// Cause says why an operation does not get on.
type Cause struct {
	Code CauseCode
	// Message says in one sentence what happened.
	Message string
	// Remedy says what to do now.
	Remedy string
}

// TellsLess says whether the cause tells less than any other that is known of the step: that the time is over, or
// that DAAP's own PostgreSQL was away, which is over by the time that it is recorded there. It is false for none.
func (c *Cause) TellsLess() bool {
	return c != nil && (c.Code == CauseDeadline || c.Code == CausePlatformPostgresDown)
}

// CauseCode names a kind of cause; it is stable, and part of the API.
type CauseCode string

// The causes for which an operation does not get on. What each means and what to do about it is in causes.
const (
	CauseImagePull            CauseCode = "IMAGE_PULL"
	CauseUnschedulable        CauseCode = "UNSCHEDULABLE"
	CausePVCPending           CauseCode = "PVC_PENDING"
	CauseStorageFull          CauseCode = "STORAGE_FULL"
	CauseQuota                CauseCode = "QUOTA"
	CausePodSecurity          CauseCode = "POD_SECURITY"
	CauseSecretMissing        CauseCode = "SECRET_MISSING"
	CauseJobFailed            CauseCode = "JOB_FAILED"
	CauseCrashLoop            CauseCode = "CRASH_LOOP"
	CausePluginMissing        CauseCode = "PLUGIN_MISSING"
	CauseNetworkBlocked       CauseCode = "NETWORK_BLOCKED"
	CauseOperatorDown         CauseCode = "OPERATOR_DOWN"
	CauseS3Denied             CauseCode = "S3_DENIED"
	CauseObjectLocked         CauseCode = "OBJECT_LOCKED"
	CauseClusterUnrecoverable CauseCode = "CLUSTER_UNRECOVERABLE"
	CauseFinalizer            CauseCode = "FINALIZER"
	CauseKubernetesDown       CauseCode = "KUBERNETES_DOWN"
	CausePlatformPostgresDown CauseCode = "PLATFORM_POSTGRES_DOWN"
	CauseConnectFailed        CauseCode = "CONNECT_FAILED"
	CauseForbidden            CauseCode = "FORBIDDEN"
	CauseRejected             CauseCode = "REJECTED"
	CauseVersionUnknown       CauseCode = "VERSION_UNKNOWN"
	CauseBackupFailed         CauseCode = "BACKUP_FAILED"
	CauseNoBackupBefore       CauseCode = "NO_BACKUP_BEFORE_TARGET"
	CauseTargetUnreachable    CauseCode = "RECOVERY_TARGET_UNREACHABLE"
	CauseArchiveNotEmpty      CauseCode = "ARCHIVE_NOT_EMPTY"
	CauseClusterGone          CauseCode = "CLUSTER_GONE"
	CauseDataLost             CauseCode = "DATA_LOST"
	CauseDeadline             CauseCode = "DEADLINE"
	CauseWorkflowLost         CauseCode = "WORKFLOW_LOST"
)

// CauseKind is what is known of a cause before it happens.
type CauseKind struct {
	Code CauseCode
	// Meaning finishes a sentence that begins with the code.
	Meaning string
	// Remedy is what to do about it where nothing better is known.
	Remedy string
}

// causes are all causes, the most telling first: of several at once the first one is told.
var causes = []CauseKind{
	{
		CauseImagePull, "an image cannot be pulled",
		"Make the image available to the nodes, or mend its name and the pull secret; it is pulled by itself, or retry.",
	},
	{
		CausePodSecurity, "Pod Security refuses a pod",
		"Exempt the namespace or mend the pod's settings as the message says, then retry.",
	},
	{
		CauseQuota, "a resource quota or limit of Kubernetes refuses an object",
		"Raise the quota that the message names or free what it counts, then retry.",
	},
	{
		CauseUnschedulable, "no node has room for a pod",
		"Add nodes or free the resource that the message names; the pod is scheduled by itself, or retry.",
	},
	{
		CausePVCPending, "a volume is not bound to its claim",
		"Look at the storage class and its provisioner; the volume is bound by itself, or retry.",
	},
	{
		CauseStorageFull, "the volumes of the database are full",
		"First grow the volume claims with kubectl patch pvc, as docs/operators/causes.md says; once PostgreSQL runs again, give the " +
			"database a tier with as much storage by PATCH /databases/{id}. The operator grows no volume while PostgreSQL " +
			"stands.",
	},
	{
		CauseSecretMissing, "a Secret or ConfigMap that a pod needs is missing",
		"Put back what the message names, as docs/operators/causes.md says, then retry.",
	},
	{
		CauseS3Denied, "the object store refuses or cannot be reached",
		"Check the bucket, the credentials and their rights, then retry.",
	},
	{
		CauseObjectLocked, "the object store keeps objects until their retention ends",
		"Wait until the retention of the bucket's objects ends, or lift it; then retry.",
	},
	{
		CauseNoBackupBefore, "the source has no base backup from before the target",
		"Abort, and restore to a later target_time: GET /databases/{id} of the source says from when on.",
	},
	{
		CauseTargetUnreachable, "the source's archive ends before the target",
		"Abort, and restore to latest, or to the time that the message names.",
	},
	{
		CauseArchiveNotEmpty, "the archive of the new Cluster has something in it already",
		"Look at what is under the database's prefix in the bucket and who wrote it; move it away, then retry.",
	},
	{
		CauseClusterGone, "the database's Cluster is not there as DAAP made it",
		"Look at what the message names: it may have the last of the data. Once it is mended or gone, retry; or abort, and " +
			"reconcile the database.",
	},
	{
		CauseDataLost, "the Cluster and its volumes are gone, and there is no backup to restore them from",
		"Abort: nothing is made in their place. Volumes that were retained can be had back by hand, as docs/operators/causes.md " +
			"says; else delete the database.",
	},
	{
		CauseNetworkBlocked, "the network lets nobody through whom the database needs",
		"Allow the connection that the message names: look at the NetworkPolicies of the namespace and at the worker's " +
			"DAAP_NETWORK_…; then retry.",
	},
	{
		CauseJobFailed, "a Job of the operator failed",
		"Read the Job's last lines in the message; mend what they name, delete the failed Job, then retry.",
	},
	{
		CauseCrashLoop, "a container ends again and again",
		"Read the container's log; mend what it names, then retry.",
	},
	{
		CausePluginMissing, "the operator does not know a plugin that the Cluster needs",
		"Install the plugin or look whether its pod is ready, then retry.",
	},
	{
		CauseClusterUnrecoverable, "the operator has given the Cluster up",
		"Abort a provision and ask for the database anew; nothing was in it.",
	},
	{
		CauseOperatorDown, "CloudNativePG's operator does not run",
		"Bring the operator's Deployment up; the operation goes on by itself, or retry.",
	},
	{
		CauseFinalizer, "something in the namespace cannot be deleted",
		"Bring up what owns the finalizer that the message names, or remove the finalizer by hand; then retry.",
	},
	{
		CauseKubernetesDown, "the Kubernetes API does not answer",
		"Bring the API server up; the operation goes on by itself, or retry.",
	},
	{
		CausePlatformPostgresDown, "DAAP's own PostgreSQL does not answer",
		"Bring DAAP's own PostgreSQL up; the operation goes on by itself, or retry.",
	},
	{
		CauseConnectFailed, "the database runs but takes no connection",
		"Look at the logs of the database's and the pooler's pods, and at the worker's way to them; then retry.",
	},
	{
		CauseForbidden, "Kubernetes does not let the worker do this",
		"Give the worker's service account the right that the message names, then retry.",
	},
	{
		CauseRejected, "Kubernetes refused an object for good",
		"Mend what the message names, then retry.",
	},
	{
		CauseVersionUnknown, "the worker knows no image of the PostgreSQL version",
		"Name the version with its image in DAAP_POSTGRES_VERSIONS of all workers, start them anew, then retry.",
	},
	{
		CauseBackupFailed, "a base backup failed",
		"Mend what the message names; another base backup is taken by itself, or retry.",
	},
	{
		CauseWorkflowLost, "the workflow ended without carrying the operation out",
		"Retry: a new workflow goes through all steps again, and finds done what is done. Or abort.",
	},
	{
		CauseDeadline, "the step was not done in its time",
		"Look at what the message says it waited for; then retry.",
	},
}

// Causes returns what is known of every cause, the most telling first.
func Causes() []CauseKind { return append([]CauseKind(nil), causes...) }

// NewCause returns a cause with the remedy that is known for its code.
func NewCause(code CauseCode, format string, args ...any) Cause {
	cause := Cause{Code: code, Message: fmt.Sprintf(format, args...)}
	for _, kind := range causes {
		if kind.Code == code {
			cause.Remedy = kind.Remedy
		}
	}
	return cause
}
