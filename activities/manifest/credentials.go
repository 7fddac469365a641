package manifest

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/daap-dev/daap"
)

// Credentials is the Secret with the user and password of the database's owner. It is created once and outlives every
// Cluster; CNPG reloads it when the password changes.
func Credentials(db daap.Database, password string) *corev1.Secret {
	return basicAuth(db, daap.CredentialsSecret, daap.PostgresUser, password)
}

// WorkerCredentials is the same Secret for the worker's own role.
func WorkerCredentials(db daap.Database, password string) *corev1.Secret {
	return basicAuth(db, WorkerSecret, WorkerRole, password)
}

func basicAuth(db daap.Database, name, user, password string) *corev1.Secret {
	meta := objectMeta(db, name)
	meta.Labels["cnpg.io/reload"] = "true"
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: meta,
		Type:       corev1.SecretTypeBasicAuth,
		Data: map[string][]byte{
			corev1.BasicAuthUsernameKey: []byte(user),
			corev1.BasicAuthPasswordKey: []byte(password),
		},
	}
}
