//go:build bench

package bench

import (
	"fmt"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// The objects below are as large as those that CloudNativePG 1.30 makes, and have what it writes into them: memory is
// measured.

func healthyStatus(db daap.Database) cnpgv1.ClusterStatus {
	name := manifest.ClusterName(db)
	pod, now := name+"-1", metav1.Now().Format(time.RFC3339)
	end := time.Now().AddDate(10, 0, 0).Format("2006-01-02 15:04:05 -0700 MST")
	return cnpgv1.ClusterStatus{
		Phase: cnpgv1.PhaseHealthy, Instances: db.Profile.Instances, ReadyInstances: db.Profile.Instances,
		CurrentPrimary: pod, TargetPrimary: pod, CurrentPrimaryTimestamp: now, TargetPrimaryTimestamp: now,
		InstancesStatus:        map[cnpgv1.PodStatus][]string{cnpgv1.PodHealthy: {pod}},
		InstancesReportedState: map[cnpgv1.PodName]cnpgv1.InstanceReportedState{cnpgv1.PodName(pod): {IsPrimary: true, TimeLineID: 1, IP: "10.244.0.17"}},
		Topology: cnpgv1.Topology{
			Instances: map[cnpgv1.PodName]cnpgv1.PodTopologyLabels{cnpgv1.PodName(pod): {}}, NodesUsed: 1, SuccessfullyExtracted: true,
		},
		TimelineID: 1, PVCCount: 1, HealthyPVC: []string{pod}, SystemID: "7430000000000000021",
		WriteService: name + "-rw", ReadService: name + "-r", Image: "registry.invalid/postgresql:17.5",
		Selector:   "cnpg.io/cluster=" + name + ",cnpg.io/podRole=instance",
		CommitHash: "a5f0c3d1e", OperatorHash: "0d8c1b8e6f2a0f5c0b0fb9f9c0a6cf3f2f6a4f77a7cb1ee5ac63b6ad5a8d1c2b",
		Certificates: cnpgv1.CertificatesStatus{
			CertificatesConfiguration: cnpgv1.CertificatesConfiguration{
				ClientCASecret: name + "-ca", ServerCASecret: name + "-ca", ServerTLSSecret: name + "-server",
				ReplicationTLSSecret: name + "-replication", ServerAltDNSNames: []string{
					name + "-rw", name + "-rw." + daap.Namespace(db.ID), name + "-r", name + "-r." + daap.Namespace(db.ID),
					name + "-ro", name + "-ro." + daap.Namespace(db.ID), "pooler", "pooler." + daap.Namespace(db.ID),
				},
			},
			Expirations: map[string]string{name + "-ca": end, name + "-replication": end, name + "-server": end},
		},
		SecretsResourceVersion: cnpgv1.SecretsResourceVersion{
			ApplicationSecretVersion: "4711", ReplicationSecretVersion: "4712", ServerCASecretVersion: "4713",
			ServerSecretVersion: "4714", ClientCASecretVersion: "4713",
			ManagedRoleSecretVersions: map[string]string{manifest.WorkerSecret: "4715"},
		},
		ConfigMapResourceVersion: cnpgv1.ConfigMapResourceVersion{Metrics: map[string]string{"cnpg-default-monitoring": "4716"}},
		ManagedRolesStatus: cnpgv1.ManagedRoles{
			ByStatus:       map[cnpgv1.RoleStatus][]string{"reconciled": {manifest.WorkerRole}, "reserved": {"postgres", "streaming_replica"}},
			PasswordStatus: map[string]cnpgv1.PasswordState{manifest.WorkerRole: {TransactionID: 733, SecretResourceVersion: "4715"}},
		},
		PluginStatus: []cnpgv1.PluginStatus{{
			Name: manifest.BarmanPlugin, Version: "0.12.0", Capabilities: []string{"TYPE_RECONCILER_HOOKS", "TYPE_LIFECYCLE_SERVICE"},
			BackupCapabilities: []string{"TYPE_BACKUP"}, WALCapabilities: []string{"TYPE_ARCHIVE_WAL", "TYPE_RESTORE_WAL"},
		}},
		Conditions: clusterConditions(metav1.ConditionTrue),
	}
}

func clusterConditions(ready metav1.ConditionStatus) []metav1.Condition {
	reason, message := "ClusterIsReady", "Cluster is Ready"
	if ready != metav1.ConditionTrue {
		reason, message = "ClusterIsNotReady", "Cluster Is Not Ready"
	}
	now := metav1.Now()
	return []metav1.Condition{
		{Type: string(cnpgv1.ConditionClusterReady), Status: ready, Reason: reason, Message: message, LastTransitionTime: now},
		{
			Type: string(cnpgv1.ConditionContinuousArchiving), Status: metav1.ConditionTrue,
			Reason: "ContinuousArchivingSuccess", Message: "Continuous archiving is working", LastTransitionTime: now,
		},
		{
			Type: string(cnpgv1.ConditionConsistentSystemID), Status: metav1.ConditionTrue, Reason: "Unique",
			Message: "A single, unique system ID was found across reporting instances.", LastTransitionTime: now,
		},
	}
}

// cnpgMeta is the metadata of what CloudNativePG makes of the database.
func cnpgMeta(db daap.Database, name string, more map[string]string) metav1.ObjectMeta {
	cluster := manifest.ClusterName(db)
	labels := map[string]string{
		manifest.LabelCluster: cluster, manifest.LabelManagedBy: manifest.FieldOwner, manifest.LabelTeam: db.OwnerTeam,
		manifest.LabelDatabaseID: db.ID.String(), manifest.LabelTier: db.Tier,
		"app.kubernetes.io/managed-by": "cloudnative-pg", "app.kubernetes.io/name": "postgresql", "app.kubernetes.io/version": "17",
	}
	for key, value := range more {
		labels[key] = value
	}
	return metav1.ObjectMeta{Name: name, Namespace: daap.Namespace(db.ID), Labels: labels, Annotations: map[string]string{
		"cnpg.io/operatorVersion": "1.30.0", "cnpg.io/podEnvHash": "5f7b9c8d6",
	}}
}

func instancePod(db daap.Database) *corev1.Pod {
	name := manifest.ClusterName(db) + "-1"
	meta := cnpgMeta(db, name, map[string]string{
		"cnpg.io/instanceName": name, "cnpg.io/instanceRole": "primary", "role": "primary", "cnpg.io/podRole": "instance",
	})
	spec := podSpec("postgres", "registry.invalid/postgresql:17.5", map[string]int32{"postgresql": 5432, "metrics": 9187, "status": 8000})
	spec.InitContainers = []corev1.Container{
		container("bootstrap-controller", "registry.invalid/cloudnative-pg:1.30.0", nil),
		container("plugin-barman-cloud", "registry.invalid/plugin-barman-cloud-sidecar:0.12.0", nil),
	}
	meta.Annotations["cnpg.io/podSpec"] = podSpecText
	return readyPod(meta, spec)
}

func poolerPod(db daap.Database) *corev1.Pod {
	meta := cnpgMeta(db, daap.PoolerService+"-5d8f7c9b6-x2x7v", poolerLabels)
	meta.Annotations[manifest.AnnotationPool] = manifest.Pool(db.Profile)
	return readyPod(meta, podSpec("pgbouncer", "registry.invalid/pgbouncer:1.24", map[string]int32{"pgbouncer": 5432, "metrics": 9127}))
}

var poolerLabels = map[string]string{
	"cnpg.io/podRole": "pooler", "cnpg.io/poolerName": daap.PoolerService, "pod-template-hash": "5d8f7c9b6",
}

// podSpecText is as long as what CloudNativePG keeps of a Pod's spec in an annotation.
var podSpecText = fmt.Sprintf("%04096d", 0)

func readyPod(meta metav1.ObjectMeta, spec corev1.PodSpec) *corev1.Pod {
	now := metav1.Now()
	status := corev1.PodStatus{
		Phase: corev1.PodRunning, HostIP: "10.200.0.2", PodIP: "10.244.0.17", PodIPs: []corev1.PodIP{{IP: "10.244.0.17"}},
		StartTime: &now, QOSClass: corev1.PodQOSBurstable,
	}
	for _, kind := range []corev1.PodConditionType{
		corev1.PodReady, corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReadyToStartContainers,
	} {
		status.Conditions = append(status.Conditions,
			corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	for _, c := range spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, running(c))
	}
	for _, c := range spec.InitContainers {
		status.InitContainerStatuses = append(status.InitContainerStatuses, running(c))
	}
	return &corev1.Pod{ObjectMeta: meta, Spec: spec, Status: status}
}

func running(c corev1.Container) corev1.ContainerStatus {
	started := true
	return corev1.ContainerStatus{
		Name: c.Name, Image: c.Image, ImageID: c.Image + "@sha256:0d8c1b8e6f2a0f5c0b0fb9f9c0a6cf3f2f6a4f77a7cb1ee5ac63b6ad5a8d1c2b",
		ContainerID: "containerd://1c2b0d8c1b8e6f2a0f5c0b0fb9f9c0a6cf3f2f6a4f77a7cb1ee5ac63b6ad5a8d", Ready: true, Started: &started,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
	}
}

func podSpec(name, image string, ports map[string]int32) corev1.PodSpec {
	unprivileged, user, empty := true, int64(26), corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
	spec := corev1.PodSpec{
		Containers: []corev1.Container{container(name, image, ports)},
		NodeName:   "node1", ServiceAccountName: "pg-1", Hostname: name,
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: &unprivileged, RunAsUser: &user, RunAsGroup: &user, FSGroup: &user,
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
				Weight: 100, PodAffinityTerm: corev1.PodAffinityTerm{
					LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{manifest.LabelCluster: "pg-1"}},
					TopologyKey:   "kubernetes.io/hostname",
				},
			}},
		}},
	}
	for _, volume := range []string{"pgdata", "scratch-data", "shm", "app-secret", "plugins", "barman-cloud", "tls"} {
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: volume, VolumeSource: empty})
	}
	return spec
}

func container(name, image string, ports map[string]int32) corev1.Container {
	yes, no := true, false
	c := corev1.Container{
		Name: name, Image: image, Command: []string{"/controller/manager", "instance", "run", "--status-port-tls", "--log-level=info"},
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("512Mi"),
		}},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
	for _, env := range []string{"PGDATA", "POD_NAME", "NAMESPACE", "CLUSTER_NAME", "PSQL_HISTORY", "PGPORT", "PGHOST", "TMPDIR"} {
		c.Env = append(c.Env, corev1.EnvVar{Name: env, Value: "/var/lib/postgresql/data/pgdata"})
	}
	for _, volume := range []string{"pgdata", "scratch-data", "shm", "app-secret", "plugins"} {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: volume, MountPath: "/var/lib/" + volume})
	}
	for name, number := range ports {
		c.Ports = append(c.Ports, corev1.ContainerPort{Name: name, ContainerPort: number, Protocol: corev1.ProtocolTCP})
	}
	if number := ports["status"]; number > 0 {
		c.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
			HTTPGet: &corev1.HTTPGetAction{Path: "/readyz", Port: intstr.FromInt32(number), Scheme: corev1.URISchemeHTTPS},
		}}
		c.StartupProbe, c.LivenessProbe = c.ReadinessProbe.DeepCopy(), c.ReadinessProbe.DeepCopy()
	}
	return c
}

func poolerDeployment(db daap.Database) *appsv1.Deployment {
	one := int32(1)
	meta := cnpgMeta(db, daap.PoolerService, map[string]string{"cnpg.io/podRole": "pooler", "cnpg.io/poolerName": daap.PoolerService})
	pod := poolerPod(db)
	return &appsv1.Deployment{
		ObjectMeta: meta,
		Spec: appsv1.DeploymentSpec{
			Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"cnpg.io/poolerName": daap.PoolerService}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels, Annotations: pod.Annotations}, Spec: withoutNode(pod.Spec),
			},
		},
		Status: appsv1.DeploymentStatus{
			ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
			Conditions: []appsv1.DeploymentCondition{
				{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "MinimumReplicasAvailable"},
				{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"},
			},
		},
	}
}

func withoutNode(spec corev1.PodSpec) corev1.PodSpec {
	spec.NodeName = ""
	return spec
}

func baseBackup(db daap.Database) *cnpgv1.Backup {
	made, now := manifest.Backup(db, "first"), metav1.Now()
	made.Status = cnpgv1.BackupStatus{
		Phase: cnpgv1.BackupPhaseCompleted, Method: cnpgv1.BackupMethodPlugin, BackupID: "20261126T020000", BackupName: "backup-20261126020000",
		StartedAt: &now, StoppedAt: &now, BeginWal: "000000010000000000000003", EndWal: "000000010000000000000003",
		BeginLSN: "0/3000028", EndLSN: "0/3000158", ServerName: manifest.ClusterName(db),
		InstanceID:     &cnpgv1.InstanceID{PodName: manifest.ClusterName(db) + "-1"},
		PluginMetadata: map[string]string{"timeline": "1", "version": "0.12.0", "name": manifest.BarmanPlugin},
	}
	return made
}
