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

// Cluster is the CNPG Cluster of the database's live incarnation.
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
				// CNPG's own last rule admits connections without TLS; this one comes before it.
				PgHBA:       []string{"hostnossl all all all reject"},
				Parameters:  parameters(db.Profile),
				Synchronous: synchronous(db.Profile),
			},
			EnableSuperuserAccess: new(false),
			Bootstrap:             bootstrap(db),
			ExternalClusters:      recoveredFrom(db),
			// The pooler shows the server's certificate, which does not know the pooler's Service by itself.
			Certificates: &cnpgv1.CertificatesConfiguration{
				ServerAltDNSNames: append(hosts(daap.PoolerService, db.ID), hosts(daap.PrimaryService, db.ID)...),
			},
			Managed: &cnpgv1.ManagedConfiguration{
				Services: &cnpgv1.ManagedServices{Additional: []cnpgv1.ManagedService{primaryService()}},
				Roles:    []cnpgv1.RoleConfiguration{workerRole(db)},
			},
			Probes: probes(),
			// A client that stays connected must not hold up a stop for CNPG's default of three minutes.
			SmartShutdownTimeout: new(int32(15)),
			MaxStopDelay:         120,
			// CNPG's default renews every 2 s, half a write per second for each database on the API server.
			PrimaryLease: &cnpgv1.PrimaryLeaseConfiguration{
				LeaseDurationSeconds: new(int32(60)),
				RenewDeadlineSeconds: new(int32(40)),
				RetryPeriodSeconds:   new(int32(10)),
			},
			Plugins: archiver(db),
		},
	}
	if db.Profile.BackupEnabled {
		// A base backup of a replica that lags behind is one of the past.
		cluster.Spec.Backup = &cnpgv1.BackupConfiguration{Target: cnpgv1.BackupTargetPrimary}
	}
	return cluster
}

// AnnotationHibernation is CNPG's own: with HibernationOn, there are no pods, and the volumes stay.
const (
	AnnotationHibernation = "cnpg.io/hibernation"
	HibernationOn         = "on"
)

// Commands are the annotations by which a Cluster is told to do otherwise than its spec says: to have no pods, to keep
// PostgreSQL stopped in them, and that the operator leaves it alone. DAAP gives the first alone.
func Commands() []string {
	return []string{AnnotationHibernation, "cnpg.io/fencedInstances", "cnpg.io/reconciliationLoop"}
}

// Hibernated is the Cluster without pods.
func Hibernated(db daap.Database, platform Platform) *cnpgv1.Cluster {
	cluster := Cluster(db, platform)
	cluster.Annotations = map[string]string{AnnotationHibernation: HibernationOn}
	return cluster
}

// fixed is what every PostgreSQL is told, whatever its tier.
var fixed = map[string]string{
	// CNPG's own default, said so that another one changes nothing.
	"ssl_min_protocol_version": "TLSv1.3",
	// The values that statements are given stay out of pgAudit's log.
	"pgaudit.log_catalog": "off", "pgaudit.log_parameter": "off",
	// A statement that fails is not logged, only why it failed: it may have a password, of which pgAudit does not know.
	"log_min_error_statement": "panic",
}

// AuditParameter is PostgreSQL's setting for what pgAudit logs.
const AuditParameter = "pgaudit.log"

// parameters are all that PostgreSQL is told.
func parameters(p daap.Profile) map[string]string {
	all := Parameters(p)
	maps.Copy(all, fixed)
	all[AuditParameter] = p.PGAuditText()
	if reserves(p) {
		all["reserved_connections"] = strconv.Itoa(workerReserved)
	}
	return all
}

// Parameters are what PostgreSQL is told of the size of its instance.
func Parameters(p daap.Profile) map[string]string {
	return map[string]string{
		"max_connections": strconv.Itoa(p.MaxConnections),
		// A quarter of the memory, as PostgreSQL's own documentation advises.
		"shared_buffers": fmt.Sprintf("%dMB", p.Memory.Value()/4>>20),
	}
}

// synchronous lets a commit wait for as many replicas as the tier says; nil for none. While they are missing nothing is
// committed: that is what was promised.
func synchronous(p daap.Profile) *cnpgv1.SynchronousReplicaConfiguration {
	if p.HAReplicas == 0 {
		return nil
	}
	return &cnpgv1.SynchronousReplicaConfiguration{
		Method: cnpgv1.SynchronousReplicaConfigurationMethodAny, Number: p.HAReplicas,
		DataDurability: cnpgv1.DataDurabilityLevelRequired,
	}
}

// StandbysPrefix is what PostgreSQL's synchronous_standby_names begin with for the profile; the names of the standbys
// follow.
func StandbysPrefix(p daap.Profile) string {
	if p.HAReplicas == 0 {
		return ""
	}
	return fmt.Sprintf("ANY %d (", p.HAReplicas)
}

// primaryService leads to the primary under a name that does not change with the Cluster's.
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

// probes look every second: CNPG's default of ten is felt in every provision.
func probes() *cnpgv1.ProbesConfiguration {
	everySecond := cnpgv1.Probe{PeriodSeconds: 1}
	return &cnpgv1.ProbesConfiguration{
		Startup:   &cnpgv1.ProbeWithStrategy{Probe: everySecond},
		Readiness: &cnpgv1.ProbeWithStrategy{Probe: everySecond},
	}
}

// optional is nil for the empty string, which Kubernetes takes for a value of its own.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
