package daap

import "fmt"

// Cause explains why an operation makes no progress.
type Cause struct {
	Code CauseCode
	// Message says what happened, in one sentence.
	Message string
	// Remedy says what to do.
	Remedy string
}

// TellsLess reports whether any other known cause of the step says more: a deadline, or an outage of DAAP's own
// PostgreSQL, which is over by the time it is recorded there. It is false for nil.
func (c *Cause) TellsLess() bool {
	return c != nil && (c.Code == CauseDeadline || c.Code == CausePlatformPostgresDown)
}

// CauseCode identifies a kind of cause; it is stable and part of the API.
type CauseCode string

// The causes. Their meanings and remedies are in causes.
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

// CauseKind describes a kind of cause.
type CauseKind struct {
	Code CauseCode
	// Meaning completes a sentence that begins with the code.
	Meaning string
	// Remedy is the default remedy.
	Remedy string
}

// causes lists all causes, the most specific first: if several apply, the first one is reported.
var causes = []CauseKind{
	{
		CauseImagePull, "a container image cannot be pulled",
		"Make the image available to the nodes, or correct its name or the pull secret. Kubernetes then pulls it; or " +
			"retry.",
	},
	{
		CausePodSecurity, "Pod Security rejects a pod",
		"Exempt the namespace, or correct the pod settings that the message names; then retry.",
	},
	{
		CauseQuota, "a Kubernetes quota or limit rejects an object",
		"Raise the quota or limit that the message names, or free resources; then retry.",
	},
	{
		CauseUnschedulable, "no node has room for a pod",
		"Add nodes, or free the resource that the message names. Kubernetes then schedules the pod; or retry.",
	},
	{
		CausePVCPending, "a volume claim is not bound to a volume",
		"Check the storage class and its provisioner. Once they work, Kubernetes binds the volume; or retry.",
	},
	{
		CauseStorageFull, "the volumes of the database are full",
		"Enlarge the volume claims with kubectl patch pvc, as docs/operators/causes.md describes: the operator does not " +
			"grow volumes while PostgreSQL is stopped. Once PostgreSQL runs again, use PATCH /databases/{id} to change " +
			"the database to a tier with that much storage.",
	},
	{
		CauseSecretMissing, "a Secret or ConfigMap that a pod needs is missing",
		"Recreate the object that the message names, as docs/operators/causes.md describes; then retry.",
	},
	{
		CauseS3Denied, "the object store denies access or cannot be reached",
		"Check the bucket, the credentials and their permissions; then retry.",
	},
	{
		CauseObjectLocked, "the object store keeps objects until their retention ends",
		"Wait until the retention of the bucket's objects ends, or remove it; then retry.",
	},
	{
		CauseNoBackupBefore, "the source has no base backup from before the target",
		"Abort, and restore to a later target_time; GET /databases/{id} of the source gives the earliest one.",
	},
	{
		CauseTargetUnreachable, "the source's archive ends before the target",
		"Abort, and restore to latest or to the time that the message names.",
	},
	{
		CauseArchiveNotEmpty, "the archive of the new Cluster already contains objects",
		"Find out what wrote to the database's prefix in the bucket, and move those objects away; then retry.",
	},
	{
		CauseClusterGone, "the Cluster that DAAP created for the database is missing or was replaced",
		"Inspect the object that the message names: it may hold the only copy of the data. Once it is repaired or " +
			"deleted, retry; or abort, and reconcile the database.",
	},
	{
		CauseDataLost, "the Cluster and its volumes are gone, and no backup exists to restore them",
		"Abort: DAAP creates no empty replacement. Retained volumes can be recovered by hand, as " +
			"docs/operators/causes.md describes; otherwise delete the database.",
	},
	{
		CauseNetworkBlocked, "the network blocks a connection that the database needs",
		"Allow the connection that the message names: check the namespace's NetworkPolicies and the worker's " +
			"DAAP_NETWORK_… settings; then retry.",
	},
	{
		CauseJobFailed, "a Job of the operator failed",
		"Fix the problem in the Job's last log lines, which the message quotes, and delete the failed Job; then retry.",
	},
	{
		CauseCrashLoop, "a container keeps crashing",
		"Read the container's log and fix the problem; then retry.",
	},
	{
		CausePluginMissing, "the operator cannot find a plugin that the Cluster needs",
		"Install the plugin, or check that its pod is ready; then retry.",
	},
	{
		CauseClusterUnrecoverable, "the operator reports the Cluster as unrecoverable",
		"Abort the provision and create the database again; it contained no data yet.",
	},
	{
		CauseOperatorDown, "the CloudNativePG operator is not running",
		"Start the operator's Deployment. The operation then continues; or retry.",
	},
	{
		CauseFinalizer, "an object in the namespace cannot be deleted",
		"Start the controller that owns the finalizer in the message, or remove the finalizer by hand; then retry.",
	},
	{
		CauseKubernetesDown, "the Kubernetes API does not answer",
		"Start the API server. The operation then continues; or retry.",
	},
	{
		CausePlatformPostgresDown, "DAAP's own PostgreSQL does not answer",
		"Start DAAP's own PostgreSQL. The operation then continues; or retry.",
	},
	{
		CauseConnectFailed, "the database runs but accepts no connections",
		"Check the logs of the database's and the pooler's pods, and the network path from the worker to them; then " +
			"retry.",
	},
	{
		CauseForbidden, "Kubernetes denies the worker a permission",
		"Grant the worker's service account the permission that the message names; then retry.",
	},
	{
		CauseRejected, "Kubernetes rejected an object, and a retry alone does not help",
		"Fix the problem that the message names; then retry.",
	},
	{
		CauseVersionUnknown, "the worker has no image for the PostgreSQL version",
		"Add the version and its image to DAAP_POSTGRES_VERSIONS of all workers and restart them; then retry.",
	},
	{
		CauseBackupFailed, "a base backup failed",
		"Fix the problem that the message names. DAAP then takes another base backup; or retry.",
	},
	{
		CauseWorkflowLost, "the workflow ended before the operation was over",
		"Retry: a new workflow goes through all steps again and repeats nothing that is done. Or abort.",
	},
	{
		CauseDeadline, "the step did not finish in time",
		"Check what the step was waiting for, which the message names; then retry.",
	},
}

// Causes returns all kinds of causes, the most specific first.
func Causes() []CauseKind { return append([]CauseKind(nil), causes...) }

// NewCause returns a cause with the default remedy of its code.
func NewCause(code CauseCode, format string, args ...any) Cause {
	cause := Cause{Code: code, Message: fmt.Sprintf(format, args...)}
	for _, kind := range causes {
		if kind.Code == code {
			cause.Remedy = kind.Remedy
		}
	}
	return cause
}
