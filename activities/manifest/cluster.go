package manifest

import (
	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap"
)

// What every database gets.
const (
	instances   = 1
	cpu         = "100m"
	memory      = "512Mi"
	storageSize = "1Gi"
)

// Cluster is the CNPG Cluster of the database's live incarnation.
func Cluster(db daap.Database, platform Platform) *cnpgv1.Cluster {
	return &cnpgv1.Cluster{
		TypeMeta:   metav1.TypeMeta{APIVersion: cnpgv1.SchemeGroupVersion.String(), Kind: "Cluster"},
		ObjectMeta: objectMeta(db, ClusterName(db)),
		Spec: cnpgv1.ClusterSpec{
			Instances:         instances,
			InheritedMetadata: &cnpgv1.EmbeddedObjectMetadata{Labels: labels(db)},
			ImageName:         platform.PostgresImage,
			ImagePullPolicy:   corev1.PullIfNotPresent,
			StorageConfiguration: cnpgv1.StorageConfiguration{
				Size:         storageSize,
				StorageClass: optional(platform.StorageClass),
			},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{
					corev1.ResourceCPU:    resource.MustParse(cpu),
					corev1.ResourceMemory: resource.MustParse(memory),
				},
				Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)},
			},
			PostgresConfiguration: cnpgv1.PostgresConfiguration{
				// CNPG's own last rule admits connections without TLS; this one comes before it.
				PgHBA: []string{"hostnossl all all all reject"},
			},
			EnableSuperuserAccess: ptr(false),
			Bootstrap: &cnpgv1.BootstrapConfiguration{InitDB: &cnpgv1.BootstrapInitDB{
				Database: daap.PostgresDatabase,
				Owner:    daap.PostgresUser,
				Secret:   &cnpgv1.LocalObjectReference{Name: daap.CredentialsSecret},
			}},
			// The pooler shows the server's certificate, which does not know the pooler's Service by itself.
			Certificates: &cnpgv1.CertificatesConfiguration{
				ServerAltDNSNames: append(hosts(daap.PoolerService, db.ID), hosts(daap.PrimaryService, db.ID)...),
			},
			Managed: &cnpgv1.ManagedConfiguration{Services: &cnpgv1.ManagedServices{
				Additional: []cnpgv1.ManagedService{primaryService()},
			}},
			Probes: probes(),
			// A client that stays connected must not hold up a stop for CNPG's default of three minutes.
			SmartShutdownTimeout: ptr[int32](15),
			MaxStopDelay:         120,
			// CNPG's default renews every 2 s, half a write per second for each database on the API server.
			PrimaryLease: &cnpgv1.PrimaryLeaseConfiguration{
				LeaseDurationSeconds: ptr[int32](60),
				RenewDeadlineSeconds: ptr[int32](40),
				RetryPeriodSeconds:   ptr[int32](10),
			},
		},
	}
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

func ptr[T any](v T) *T { return &v }

// optional is nil for the empty string, which Kubernetes takes for a value of its own.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
