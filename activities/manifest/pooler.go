package manifest

import (
	"fmt"
	"strconv"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap"
)

// Pooler is the PgBouncer in front of the database. Its Service has the Pooler's name, which stays the same when the
// Cluster's name changes.
func Pooler(db daap.Database, platform Platform) *cnpgv1.Pooler {
	return &cnpgv1.Pooler{
		TypeMeta:   metav1.TypeMeta{APIVersion: cnpgv1.SchemeGroupVersion.String(), Kind: "Pooler"},
		ObjectMeta: objectMeta(db, daap.PoolerService),
		Spec: cnpgv1.PoolerSpec{
			Cluster:   cnpgv1.LocalObjectReference{Name: ClusterName(db)},
			Type:      cnpgv1.PoolerTypeRW,
			Instances: new(int32(1)),
			Template:  poolerTemplate(db, platform),
			PgBouncer: &cnpgv1.PgBouncerSpec{
				PoolMode: cnpgv1.PgBouncerPoolMode(db.Profile.PoolMode),
				Parameters: map[string]string{
					"default_pool_size": strconv.Itoa(poolSize(db.Profile)),
					"max_client_conn":   strconv.Itoa(maxClients),
					// PgBouncer's default accepts clients without TLS.
					"client_tls_sslmode": "require",
					// CNPG has no client_tls_protocols, and PgBouncer accepts TLS 1.2. With only these ciphers, TLS 1.2
					// fails, because they need a shared key that does not exist. TLS 1.3 has ciphers of its own.
					"client_tls_ciphers": "PSK",
					// After a failed connection to the server, PgBouncer rejects all clients with that error for this
					// many seconds. Its default of 15 delayed every provision whose first connection came too soon.
					"server_login_retry": "1",
				},
			},
		},
	}
}

// Stopped is the Pooler with no PgBouncer.
func Stopped(db daap.Database, platform Platform) *cnpgv1.Pooler {
	pooler := Pooler(db, platform)
	pooler.Spec.Instances = new(int32(0))
	return pooler
}

// maxClients is the number of clients that PgBouncer accepts; each uses about 2 kB.
const maxClients = 10_000

// poolSize is the number of PostgreSQL connections that the pool uses; the others are for direct clients and for the
// operator.
func poolSize(p daap.Profile) int { return max(1, p.MaxConnections*8/10) }

// AnnotationPool on PgBouncer's pods contains the settings that they started with, so that new settings create new pods
// and DAAP can check when the pool has them. PgBouncer could reload settings, but nothing would show when it has.
const AnnotationPool = "daap.io/pool"

// Pool is the value of AnnotationPool for the profile.
func Pool(p daap.Profile) string { return fmt.Sprintf("%s-%d", p.PoolMode, poolSize(p)) }

func poolerTemplate(db daap.Database, platform Platform) *cnpgv1.PodTemplateSpec {
	template := &cnpgv1.PodTemplateSpec{ObjectMeta: cnpgv1.Metadata{
		Labels: labels(db), Annotations: map[string]string{AnnotationPool: Pool(db.Profile)},
	}}
	template.Spec.Containers = []corev1.Container{} // the schema requires the list, even if it is empty
	if platform.PoolerImage != "" {
		template.Spec.Containers = []corev1.Container{{
			Name: "pgbouncer", Image: platform.PoolerImage, ImagePullPolicy: corev1.PullIfNotPresent,
		}}
	}
	return template
}
