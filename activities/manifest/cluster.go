package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"strconv"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap"
)

// Cluster is the CNPG Cluster of the database's current incarnation.
func Cluster(db daap.Database, platform Platform) *cnpgv1.Cluster {
	cluster := &cnpgv1.Cluster{
		TypeMeta:   metav1.TypeMeta{APIVersion: cnpgv1.SchemeGroupVersion.String(), Kind: "Cluster"},
		ObjectMeta: objectMeta(db, ClusterName(db)),
		Spec: cnpgv1.ClusterSpec{
			Instances:         db.Profile.Instances,
			InheritedMetadata: &cnpgv1.EmbeddedObjectMetadata{Labels: labels(db)},
			ImageName:         platform.PostgresImages[db.Profile.PGVersion],
			ImagePullPolicy:   corev1.PullIfNotPresent,
			StorageConfiguration: cnpgv1.StorageConfiguration{
				Size:         db.Profile.StorageSize.String(),
				StorageClass: optional(cmp.Or(db.Profile.StorageClass, platform.StorageClass)),
			},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{
					corev1.ResourceCPU:    db.Profile.CPU,
					corev1.ResourceMemory: db.Profile.Memory,
				},
				Limits: corev1.ResourceList{corev1.ResourceMemory: db.Profile.Memory},
			},
			PostgresConfiguration: cnpgv1.PostgresConfiguration{
				// CNPG's own last rule allows connections without TLS; this one comes before it.
				PgHBA:       []string{"hostnossl all all all reject"},
				Parameters:  parameters(db.Profile),
				Synchronous: synchronous(db.Profile),
			},
			EnableSuperuserAccess: new(false),
			Bootstrap:             bootstrap(db),
			ExternalClusters:      recoveredFrom(db),
			// The pooler presents the server's certificate, which does not contain the pooler's Service by default.
			Certificates: &cnpgv1.CertificatesConfiguration{
				ServerAltDNSNames: append(hosts(daap.PoolerService, db.ID), hosts(daap.PrimaryService, db.ID)...),
			},
			Managed: &cnpgv1.ManagedConfiguration{
				Services: &cnpgv1.ManagedServices{Additional: []cnpgv1.ManagedService{primaryService()}},
				Roles:    []cnpgv1.RoleConfiguration{workerRole(db)},
			},
			Probes: probes(),
			// A client that stays connected must not delay a stop for CNPG's default of three minutes.
			SmartShutdownTimeout: new(int32(15)),
			MaxStopDelay:         120,
			// CNPG's default renews every 2 s, which is half a write per second per database on the API server.
			PrimaryLease: &cnpgv1.PrimaryLeaseConfiguration{
				LeaseDurationSeconds: new(int32(60)),
				RenewDeadlineSeconds: new(int32(40)),
				RetryPeriodSeconds:   new(int32(10)),
			},
			Plugins: archiver(db),
		},
	}
	if db.Profile.BackupEnabled {
		// A base backup of a lagging replica contains an older state.
		cluster.Spec.Backup = &cnpgv1.BackupConfiguration{Target: cnpgv1.BackupTargetPrimary}
	}
	return cluster
}

// AnnotationHibernation is CNPG's own: with HibernationOn, CNPG deletes the pods and keeps the volumes.
const (
	AnnotationHibernation = "cnpg.io/hibernation"
	HibernationOn         = "on"
)

// Commands are the annotations that override the spec of a Cluster: they remove its pods, keep PostgreSQL stopped in
// them, or stop the operator's reconciliation. DAAP sets only the first.
func Commands() []string {
	return []string{AnnotationHibernation, "cnpg.io/fencedInstances", "cnpg.io/reconciliationLoop"}
}

// Hibernated is the Cluster without pods.
func Hibernated(db daap.Database, platform Platform) *cnpgv1.Cluster {
	cluster := Cluster(db, platform)
	cluster.Annotations = map[string]string{AnnotationHibernation: HibernationOn}
	return cluster
}

// fixed are the settings of every PostgreSQL, independent of the tier.
var fixed = map[string]string{
	// CNPG's own default, set explicitly so that a new default changes nothing.
	"ssl_min_protocol_version": "TLSv1.3",
	// Parameters of statements stay out of pgAudit's log.
	"pgaudit.log_catalog": "off", "pgaudit.log_parameter": "off",
	// Of a failed statement, only the error is logged: the statement may contain a password, which pgAudit cannot
	// recognize.
	"log_min_error_statement": "panic",
}

// AuditParameter is PostgreSQL's setting of the statements that pgAudit logs.
const AuditParameter = "pgaudit.log"

// parameters are all settings of PostgreSQL.
func parameters(p daap.Profile) map[string]string {
	all := Parameters(p)
	maps.Copy(all, fixed)
	all[AuditParameter] = p.PGAuditText()
	if reserves(p) {
		all["reserved_connections"] = strconv.Itoa(workerReserved)
	}
	return all
}

// Parameters are the settings of PostgreSQL that depend on the size of its instance.
func Parameters(p daap.Profile) map[string]string {
	return map[string]string{
		"max_connections": strconv.Itoa(p.MaxConnections),
		// A quarter of the memory, as PostgreSQL's own documentation recommends.
		"shared_buffers": fmt.Sprintf("%dMB", p.Memory.Value()/4>>20),
	}
}

// synchronous makes a commit wait for as many replicas as the tier requires; nil for none. While they are missing,
// PostgreSQL commits nothing: the tier promises that.
func synchronous(p daap.Profile) *cnpgv1.SynchronousReplicaConfiguration {
	if p.HAReplicas == 0 {
		return nil
	}
	return &cnpgv1.SynchronousReplicaConfiguration{
		Method: cnpgv1.SynchronousReplicaConfigurationMethodAny, Number: p.HAReplicas,
		DataDurability: cnpgv1.DataDurabilityLevelRequired,
	}
}

// StandbysPrefix is the beginning of PostgreSQL's synchronous_standby_names for the profile; the names of the standbys
// follow.
func StandbysPrefix(p daap.Profile) string {
	if p.HAReplicas == 0 {
		return ""
	}
	return fmt.Sprintf("ANY %d (", p.HAReplicas)
}

// primaryService routes to the primary under a name that stays the same when the Cluster's name changes.
func primaryService() cnpgv1.ManagedService {
	return cnpgv1.ManagedService{
		SelectorType:   cnpgv1.ServiceSelectorTypeRW,
		UpdateStrategy: cnpgv1.ServiceUpdateStrategyPatch,
		ServiceTemplate: cnpgv1.ServiceTemplateSpec{
			ObjectMeta: cnpgv1.Metadata{Name: daap.PrimaryService},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP},
		},
	}
}

// probes check a starting PostgreSQL every second, because CNPG's default of ten seconds noticeably delays every
// provision. The kubelet checks the readiness as soon as PostgreSQL has started, and then every five seconds.
// Each check connects to PostgreSQL: one per second took a quarter of a processor for an idle database.
func probes() *cnpgv1.ProbesConfiguration {
	return &cnpgv1.ProbesConfiguration{
		Startup:   &cnpgv1.ProbeWithStrategy{Probe: cnpgv1.Probe{PeriodSeconds: 1}},
		Readiness: &cnpgv1.ProbeWithStrategy{Probe: cnpgv1.Probe{PeriodSeconds: 5}},
	}
}

// optional returns nil for the empty string, which Kubernetes would treat as a value.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
