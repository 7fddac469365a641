package diagnosis

import (
	"strings"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap"
)

// Every piece below changes the evidence of a database that starts normally.
type piece func(*evidence)

var moment = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(moment.Add(-d)) }

// comingUp is a database whose Cluster is being set up without problems.
func comingUp(pieces ...piece) evidence {
	e := evidence{
		At:             moment,
		Namespace:      &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "daap-1"}},
		Cluster:        &cnpgv1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "pg-1"}},
		Operators:      []appsv1.Deployment{{Status: appsv1.DeploymentStatus{ReadyReplicas: 1}}},
		OperatorsKnown: true,
		Logs:           map[containerOf]string{},
	}
	e.Cluster.Status.Phase = cnpgv1.PhaseFirstPrimary
	for _, change := range pieces {
		change(&e)
	}
	return e
}

func phase(phase, reason string) piece {
	return func(e *evidence) { e.Cluster.Status.Phase, e.Cluster.Status.PhaseReason = phase, reason }
}

func condition(kind cnpgv1.ClusterConditionType, message string) piece {
	return func(e *evidence) {
		e.Cluster.Status.Conditions = append(e.Cluster.Status.Conditions,
			metav1.Condition{Type: string(kind), Status: metav1.ConditionFalse, Message: message})
	}
}

func pod(name string, more ...func(*corev1.Pod)) piece {
	return func(e *evidence) {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: ago(time.Minute)}}
		for _, change := range more {
			change(&p)
		}
		e.Pods = append(e.Pods, p)
	}
}

func initContainer(status corev1.ContainerStatus) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.InitContainerStatuses = append(p.Status.InitContainerStatuses, status) }
}

func container(status corev1.ContainerStatus) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, status) }
}

func waits(reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "c", Image: "pg:17", State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message},
	}}
}

func ended(code, restarts int32) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "c", RestartCount: restarts, State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Error"},
	}}
}

func crashing(restarts int32) corev1.ContainerStatus {
	status := waits("CrashLoopBackOff", "back-off 40s restarting failed container")
	status.RestartCount = restarts
	status.LastTerminationState = corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"},
	}
	return status
}

func noRoom(message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
			Message: message, LastTransitionTime: ago(time.Minute),
		})
	}
}

func ofOwner(name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.OwnerReferences = []metav1.OwnerReference{{Name: name}} }
}

func warning(kind, name, reason, message string) piece {
	return warningAt(2*time.Minute, kind, name, reason, message)
}

func warningAt(age time.Duration, kind, name, reason, message string) piece {
	return func(e *evidence) {
		e.Events = append(e.Events, corev1.Event{
			Type: corev1.EventTypeWarning, Reason: reason, Message: message, LastTimestamp: ago(age),
			InvolvedObject: corev1.ObjectReference{Kind: kind, Name: name},
		})
	}
}

func job(name string, failed int32, conditions ...batchv1.JobConditionType) piece {
	return func(e *evidence) {
		j := batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: batchv1.JobStatus{Failed: failed}}
		for _, is := range conditions {
			j.Status.Conditions = append(j.Status.Conditions,
				batchv1.JobCondition{Type: is, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonBackoffLimitExceeded})
		}
		e.Jobs = append(e.Jobs, j)
	}
}

func logSays(pod, text string) piece {
	return func(e *evidence) { e.Logs[containerOf{pod, "c"}] = text }
}

func claim(age time.Duration, phase corev1.PersistentVolumeClaimPhase) piece {
	return func(e *evidence) {
		c := corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "pg-1-1", CreationTimestamp: ago(age)}}
		c.Status.Phase = phase
		e.Claims = append(e.Claims, c)
	}
}

// deleted marks the object as being deleted, held by the finalizers.
func deleted(age time.Duration, object *metav1.ObjectMeta, finalizers ...string) {
	at := ago(age)
	object.DeletionTimestamp, object.Finalizers = &at, finalizers
}

func namespaceDeleted(kind corev1.NamespaceConditionType, message string) piece {
	return func(e *evidence) {
		deleted(time.Minute, &e.Namespace.ObjectMeta)
		e.Namespace.Status.Conditions = []corev1.NamespaceCondition{{Type: kind, Status: corev1.ConditionTrue, Message: message}}
	}
}

// dangling is a Cluster that has only its first volume claim.
func dangling(e *evidence) {
	phase(cnpgv1.PhaseFirstPrimary, "")(e)
	e.Cluster.CreationTimestamp, e.Cluster.Status.DanglingPVC = ago(time.Minute), []string{"pg-1-1"}
}

func operators(ready ...int32) piece {
	return func(e *evidence) {
		e.Operators = nil
		for _, replicas := range ready {
			e.Operators = append(e.Operators, appsv1.Deployment{
				ObjectMeta: metav1.ObjectMeta{Namespace: "cnpg-system", Name: "cnpg-controller-manager"},
				Status:     appsv1.DeploymentStatus{ReadyReplicas: replicas},
			})
		}
	}
}

const (
	insecure  = `pods "pg-1-1" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false`
	overQuota = `pods "pg-1-1" is forbidden: exceeded quota: small, requested: limits.cpu=2, used: limits.cpu=1, limited: limits.cpu=2`
	overLimit = `pods "pg-1-1" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi`
	noCPU     = "0/3 nodes are available: 3 Insufficient cpu."
	noVolume  = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."
	initLog   = `{"level":"info","msg":"PGDATA is empty"}` + "\n" +
		`{"level":"error","msg":"Error while bootstrapping","error":"exit status 1","stacktrace":"main.go:1"}`
	noWayLog = `{"level":"error","msg":"error while waiting for the API server to be reachable","error":"Get \"https://10.96.0.1:443/apis/` +
		`postgresql.cnpg.io/v1/namespaces/daap-x/clusters/pg-1\": dial tcp 10.96.0.1:443: connect: connection refused"}`
)

func TestDiagnosisReportsTheMostSpecificCause(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pieces []piece
		code   daap.CauseCode // empty if there is none
		says   string
	}{
		"image":                     {[]piece{pod("pg-1-1", container(waits("ImagePullBackOff", "Back-off pulling")))}, daap.CauseImagePull, "Pod pg-1-1, container c: image pg:17"},
		"image of bootstrap":        {[]piece{pod("pg-1-1", initContainer(waits("ErrImagePull", "not found")))}, daap.CauseImagePull, "not found"},
		"image of a deleted pod":    {[]piece{pod("pg-1-1", container(waits("ErrImagePull", "")), func(p *corev1.Pod) { deleted(0, &p.ObjectMeta) })}, "", ""},
		"pod security of a Job":     {[]piece{job("init", 0), warning("Job", "init", "FailedCreate", insecure)}, daap.CausePodSecurity, "Job init"},
		"pod security in the phase": {[]piece{phase(cnpgv1.PhaseCannotCreateClusterObjects, insecure)}, daap.CausePodSecurity, "allowPrivilegeEscalation"},
		"quota":                     {[]piece{warning("ReplicaSet", "pooler-1", "FailedCreate", overQuota)}, daap.CauseQuota, "limits.cpu=2"},
		"quota in the phase":        {[]piece{phase(cnpgv1.PhaseCannotCreateClusterObjects, overQuota)}, daap.CauseQuota, "exceeded quota: small"},
		"quota of a Pooler":         {[]piece{func(e *evidence) { e.Poolers = []cnpgv1.Pooler{{Status: cnpgv1.PoolerStatus{PhaseReason: overQuota}}} }}, daap.CauseQuota, "Pooler"},
		"limit range":               {[]piece{job("init", 0), warning("Job", "init", "FailedCreate", overLimit)}, daap.CauseQuota, "maximum memory"},
		"quota long ago":            {[]piece{warningAt(time.Hour, "ReplicaSet", "pooler-1", "FailedCreate", overQuota)}, "", ""},
		"quota that was raised":     {[]piece{warning("ReplicaSet", "pooler-1", "FailedCreate", overQuota), pod("pooler-1-a", ofOwner("pooler-1"))}, "", ""},
		"quota of a deleted Job":    {[]piece{warning("Job", "init", "FailedCreate", overQuota)}, "", ""},
		"no room":                   {[]piece{pod("pg-1-1", noRoom(noCPU))}, daap.CauseUnschedulable, "Insufficient cpu"},
		"no volume for a pod":       {[]piece{pod("pg-1-1", noRoom(noVolume))}, daap.CausePVCPending, "Pod pg-1-1 is waiting"},
		"provisioning failed":       {[]piece{claim(time.Second, corev1.ClaimPending), warning("PersistentVolumeClaim", "pg-1-1", "ProvisioningFailed", "no such class")}, daap.CausePVCPending, "no such class"},
		"no provisioner":            {[]piece{claim(time.Minute, corev1.ClaimPending), warning("PersistentVolumeClaim", "pg-1-1", "ExternalProvisioning", "waiting for x.example")}, daap.CausePVCPending, "x.example"},
		"claim for too long": {[]piece{claim(time.Minute, corev1.ClaimPending)}, daap.CausePVCPending, "no event " +
			"gives a reason"},
		"new claim":                 {[]piece{claim(time.Second, corev1.ClaimPending)}, "", ""},
		"claim that is bound":       {[]piece{claim(time.Minute, corev1.ClaimBound), warning("PersistentVolumeClaim", "pg-1-1", "ProvisioningFailed", "")}, "", ""},
		"claim waits for its pod":   {[]piece{claim(time.Minute, corev1.ClaimPending), warning("PersistentVolumeClaim", "pg-1-1", "WaitForFirstConsumer", "")}, "", ""},
		"claim lost its volume":     {[]piece{claim(time.Minute, corev1.ClaimLost)}, daap.CausePVCPending, "lost its volume"},
		"full":                      {[]piece{phase("Not enough disk space", "Insufficient disk space detected in one or more pods")}, daap.CauseStorageFull, "Cluster pg-1: Not enough disk space (Insufficient disk space"},
		"ended when it was full":    {[]piece{pod("pg-1-1", container(func() corev1.ContainerStatus { s := ended(4, 1); s.Name = "postgres"; return s }()))}, daap.CauseStorageFull, "Pod pg-1-1"},
		"another container exited":  {[]piece{pod("pg-1-1", container(ended(4, 1)))}, "", ""},
		"panics when it is full":    {[]piece{pod("pg-1-1", container(crashing(2))), logSays("pg-1-1", `{"level":"info","msg":"record","record":{"message":"could not write to file \"pg_wal/xlogtemp.29\": No space left on device"}}`)}, daap.CauseStorageFull, "could not write to file"},
		"no secret":                 {[]piece{pod("pg-1-1", container(waits("CreateContainerConfigError", `secret "app" not found`)))}, daap.CauseSecretMissing, `secret "app"`},
		"no secret for bootstrap":   {[]piece{pod("pg-1-1", initContainer(waits("CreateContainerConfigError", `configmap "queries" not found`)))}, daap.CauseSecretMissing, "queries"},
		"no secret for a mount":     {[]piece{pod("pg-1-1"), warning("Pod", "pg-1-1", "FailedMount", `MountVolume.SetUp failed for volume "a" : secret "app" not found`)}, daap.CauseSecretMissing, "Pod pg-1-1"},
		"no secret for the Cluster": {[]piece{warning("Cluster", "pg-1", "SecretNotFound", "getting secret ca")}, daap.CauseSecretMissing, "Cluster pg-1"},
		"no secret, but fixed":      {[]piece{phase(cnpgv1.PhaseHealthy, ""), warning("Cluster", "pg-1", "SecretNotFound", "getting secret ca")}, "", ""},
		"root in the container":     {[]piece{pod("pg-1-1", container(waits("CreateContainerConfigError", "container has runAsNonRoot")))}, "", ""},
		"store denies a Job":        {[]piece{job("restore", 1, batchv1.JobFailed), pod("restore-a", ofOwner("restore"), container(ended(1, 0))), logSays("restore-a", "An error occurred (InvalidAccessKeyId) when calling GetObject\n")}, daap.CauseS3Denied, "InvalidAccessKeyId"},
		"store denies bootstrap":    {[]piece{pod("pg-1-1", initContainer(ended(1, 1))), logSays("pg-1-1", `{"level":"info","msg":"ERROR: Access Denied"}`)}, daap.CauseS3Denied, "Access Denied"},
		"store denies archiving":    {[]piece{phase(cnpgv1.PhaseHealthy, ""), condition(cnpgv1.ConditionContinuousArchiving, "Could not connect to the endpoint URL: x")}, daap.CauseS3Denied, "ContinuousArchiving"},
		"no backup before target":   {[]piece{job("full-recovery", 1), pod("restore-a", ofOwner("full-recovery"), container(ended(1, 0))), logSays("restore-a", `{"level":"error","msg":"Error while restoring a backup","error":"no target backup found"}`)}, daap.CauseNoBackupBefore, "no target backup found"},
		"target is not reached": {[]piece{job("full-recovery", 1), pod("restore-a", ofOwner("full-recovery"), container(ended(1, 0))), logSays("restore-a", `{"level":"info","msg":"record","record":{"message":"last completed transaction was at log time 2026-11-26 02:01:01"}}
{"level":"info","msg":"record","record":{"message":"recovery ended before configured recovery target was reached"}}`)}, daap.CauseTargetUnreachable, "recovery ended before configured recovery target was reached (last completed transaction was at log time 2026-11-26 02:01:01)"},
		"archive is not empty":      {[]piece{job("full-recovery", 1), pod("restore-a", ofOwner("full-recovery"), container(ended(1, 0))), logSays("restore-a", "ERROR: WAL archive check failed for server pg-1: Expected empty archive")}, daap.CauseArchiveNotEmpty, "Expected empty archive"},
		"store denied, then not":    {[]piece{job("restore", 1, batchv1.JobComplete), pod("restore-a", ofOwner("restore"), container(ended(1, 0))), logSays("restore-a", "AccessDenied")}, "", ""},
		"Job failed":                {[]piece{job("init", 7, batchv1.JobFailed), pod("init-a", ofOwner("init"), container(ended(1, 0))), logSays("init-a", initLog)}, daap.CauseJobFailed, "Job init failed (BackoffLimitExceeded): Error while bootstrapping (exit status 1)"},
		"Job fails again and again": {[]piece{job("init", 3)}, daap.CauseJobFailed, "3 times so far"},
		"Job failed once":           {[]piece{job("init", 1), pod("init-a", ofOwner("init"), container(ended(1, 0))), logSays("init-a", initLog)}, "", ""},
		"crash loop":                {[]piece{pod("pg-1-1", container(crashing(2)))}, daap.CauseCrashLoop, "exited 2 times, most recently with exit code 137 (OOMKilled)"},
		"crash loop of bootstrap":   {[]piece{pod("pg-1-1", initContainer(crashing(1))), logSays("pg-1-1", initLog)}, daap.CauseCrashLoop, "Error while bootstrapping"},
		"crashes before back-off":   {[]piece{pod("pg-1-1", initContainer(ended(2, 3)))}, daap.CauseCrashLoop, "exit code 2"},
		"one crash":                 {[]piece{pod("pg-1-1", container(ended(1, 1)))}, "", ""},
		"bootstrap is done":         {[]piece{pod("pg-1-1", initContainer(ended(0, 3)))}, "", ""},
		"unknown plugin":            {[]piece{phase(cnpgv1.PhaseUnknownPlugin, "barman-cloud")}, daap.CausePluginMissing, "barman-cloud"},
		"failing plugin":            {[]piece{phase(cnpgv1.PhaseFailurePlugin, "")}, daap.CausePluginMissing, "interacting with plugins"},
		"network":                   {[]piece{phase("Instance Status Extraction Error: HTTP communication issue", "")}, daap.CauseNetworkBlocked, "HTTP communication"},
		"no way to the API server":  {[]piece{pod("pg-1-1", initContainer(crashing(1))), logSays("pg-1-1", noWayLog)}, daap.CauseNetworkBlocked, "cannot reach the Kubernetes API"},
		"given up":                  {[]piece{phase(cnpgv1.PhaseUnrecoverable, "jobs failed: init")}, daap.CauseClusterUnrecoverable, "jobs failed: init"},
		"given up, bootstrap log":   {[]piece{phase(cnpgv1.PhaseUnrecoverable, ""), pod("pg-1-1", initContainer(ended(1, 0))), logSays("pg-1-1", initLog)}, daap.CauseClusterUnrecoverable, "exit status 1"},
		"operator down":             {[]piece{operators(0)}, daap.CauseOperatorDown, "cnpg-system/cnpg-controller-manager"},
		"one operator of two":       {[]piece{operators(0, 1)}, "", ""},
		"operator does not exist":   {[]piece{phase("", ""), operators()}, daap.CauseOperatorDown, "does not exist"},
		"operator not readable":     {[]piece{operators(), func(e *evidence) { e.OperatorsKnown = false }}, "", ""},
		"finalizer of a claim":      {[]piece{claim(time.Hour, corev1.ClaimBound), func(e *evidence) { deleted(time.Minute, &e.Claims[0].ObjectMeta, "example.com/keep") }}, daap.CauseFinalizer, "PersistentVolumeClaim pg-1-1 is being deleted, but finalizer example.com/keep holds it"},
		"claim in use":              {[]piece{pod("pg-1-1"), claim(time.Hour, corev1.ClaimBound), func(e *evidence) { deleted(time.Minute, &e.Claims[0].ObjectMeta, "kubernetes.io/pvc-protection") }}, "", ""},
		"finalizer just now":        {[]piece{claim(time.Hour, corev1.ClaimBound), func(e *evidence) { deleted(time.Second, &e.Claims[0].ObjectMeta, "example.com/keep") }}, "", ""},
		"finalizer in a namespace":  {[]piece{namespaceDeleted(corev1.NamespaceFinalizersRemaining, "cnpg.io/deleteDatabase in 1 resource instances")}, daap.CauseFinalizer, "cnpg.io/deleteDatabase"},
		"content that cannot go":    {[]piece{namespaceDeleted(corev1.NamespaceDeletionContentFailure, "webhook denied the request")}, daap.CauseFinalizer, "webhook denied"},
		"pods that still stop":      {[]piece{namespaceDeleted(corev1.NamespaceContentRemaining, "pods. has 1"), pod("pg-1-1", func(p *corev1.Pod) { deleted(-time.Minute, &p.ObjectMeta) })}, "", ""},
		"healthy":                   {[]piece{phase(cnpgv1.PhaseHealthy, "")}, "", ""},
		"coming up":                 {[]piece{pod("pg-1-1", initContainer(waits("PodInitializing", "")), container(waits("ContainerCreating", "")))}, "", ""},

		"full before the store":         {[]piece{phase("Not enough disk space", ""), condition(cnpgv1.ConditionContinuousArchiving, "AccessDenied")}, daap.CauseStorageFull, ""},
		"image before crash":            {[]piece{pod("a", container(crashing(5))), pod("b", container(waits("ErrImagePull", "")))}, daap.CauseImagePull, "Pod b"},
		"pod security before quota":     {[]piece{job("init", 0), warning("Job", "init", "FailedCreate", overQuota), warning("Job", "init", "FailedCreate", insecure)}, daap.CausePodSecurity, ""},
		"quota before the operator":     {[]piece{operators(0), warning("ReplicaSet", "pooler-1", "FailedCreate", overQuota)}, daap.CauseQuota, ""},
		"no room before the claim":      {[]piece{claim(time.Minute, corev1.ClaimPending), pod("pg-1-1", noRoom(noCPU))}, daap.CauseUnschedulable, ""},
		"Job before given up":           {[]piece{phase(cnpgv1.PhaseUnrecoverable, ""), job("init", 7, batchv1.JobFailed)}, daap.CauseJobFailed, "its log has no error"},
		"half created":                  {[]piece{dangling}, daap.CauseClusterUnrecoverable, "is waiting for a Job that does not exist"},
		"half created, with a Job":      {[]piece{dangling, func(e *evidence) { e.Jobs = append(e.Jobs, batchv1.Job{}) }}, "", ""},
		"half created, operator down":   {[]piece{dangling, operators(0)}, daap.CauseOperatorDown, ""},
		"woken up, or without its pod":  {[]piece{dangling, func(e *evidence) { e.Cluster.Status.CurrentPrimary = "pg-1-1" }}, "", ""},
		"given up before the operator":  {[]piece{phase(cnpgv1.PhaseUnrecoverable, ""), operators(0)}, daap.CauseClusterUnrecoverable, ""},
		"operator before the finalizer": {[]piece{operators(0), namespaceDeleted(corev1.NamespaceFinalizersRemaining, "x")}, daap.CauseOperatorDown, ""},
		"finalizer before old troubles": {[]piece{namespaceDeleted(corev1.NamespaceFinalizersRemaining, "x"), pod("a", container(crashing(5)))}, daap.CauseFinalizer, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := diagnose(comingUp(tt.pieces...))
			switch {
			case got == nil && tt.code != "":
				t.Errorf("diagnose() = nil, want %s", tt.code)
			case got != nil && (got.Code != tt.code || !strings.Contains(got.Message, tt.says) || got.Remedy == ""):
				t.Errorf("diagnose() = %+v, want %s with %q and a remedy", got, tt.code, tt.says)
			}
		})
	}
}

func TestDiagnosisWithoutObjectsReportsTheOperator(t *testing.T) {
	t.Parallel()
	got := diagnose(evidence{At: moment, OperatorsKnown: true, Operators: make([]appsv1.Deployment, 1)})
	if got == nil || got.Code != daap.CauseOperatorDown {
		t.Errorf("diagnose() = %+v, want %s", got, daap.CauseOperatorDown)
	}
}
