package manifest

import (
	"fmt"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/daap-dev/daap"
)

// BarmanPlugin is the plugin that archives WAL, takes base backups and restores them.
const BarmanPlugin = "barman-cloud.cloudnative-pg.io"

// Names in the database's namespace.
const (
	// ArchiveStore names the ObjectStore that the Cluster archives to.
	ArchiveStore = "archive"
	// SourceStore names the ObjectStore that a Cluster is recovered from.
	SourceStore = "source"
	// ArchiveCredentials names the Secret with the keys to ArchiveStore, SourceCredentials the one with the keys to
	// SourceStore.
	ArchiveCredentials = "archive-credentials" //nolint:gosec // a name
	SourceCredentials  = "source-credentials"  //nolint:gosec // a name
	accessKeyID        = "ACCESS_KEY_ID"
	accessSecretKey    = "ACCESS_SECRET_KEY"
)

// ObjectStoreVersion is the API version of the plugin's own kind; its Go package would require the whole plugin.
const ObjectStoreVersion = "barmancloud.cnpg.io/v1"

// Archive is the platform's object store as databases reach it; the zero value means that there is none.
type Archive struct {
	// Endpoint is a URL.
	Endpoint string
	// AccessKey and SecretKey are shared by all databases; empty if each has its own keys.
	AccessKey, SecretKey string
}

// StoreSecret builds the Secret of that name with keys to the object store.
func StoreSecret(db daap.Database, name, accessKey, secretKey string) *corev1.Secret {
	meta := objectMeta(db, name)
	meta.Labels["cnpg.io/reload"] = "true"
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: meta,
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{accessKeyID: []byte(accessKey), accessSecretKey: []byte(secretKey)},
	}
}

// StoreKeys returns the keys that StoreSecret has put in a Secret; empty if they are missing.
func StoreKeys(secret *corev1.Secret) (accessKey, secretKey string) {
	return string(secret.Data[accessKeyID]), string(secret.Data[accessSecretKey])
}

// ObjectStore builds the store that the Cluster archives to, with the retention of the backups.
func ObjectStore(db daap.Database, platform Platform) *unstructured.Unstructured {
	return objectStore(db, ArchiveStore, map[string]any{
		"retentionPolicy": fmt.Sprintf("%dd", db.Profile.BackupRetentionDays),
		"configuration":   storeConfiguration(db.Destination(), ArchiveCredentials, platform),
		"instanceSidecarConfiguration": map[string]any{
			// The interval at which the plugin also reports the recovery window.
			"retentionPolicyIntervalSeconds": int64(300),
			"resources": map[string]any{
				"requests": map[string]any{"cpu": "10m", "memory": "64Mi"}, "limits": map[string]any{"memory": "512Mi"},
			},
			"env": storeEnvironment(),
		},
	})
}

// RestoreStore builds the store that the Cluster of a restored database is recovered from.
func RestoreStore(db daap.Database, platform Platform) *unstructured.Unstructured {
	return objectStore(db, SourceStore, map[string]any{
		"configuration":                storeConfiguration(db.Source.Destination, SourceCredentials, platform),
		"instanceSidecarConfiguration": map[string]any{"env": storeEnvironment()},
	})
}

func objectStore(db daap.Database, name string, spec map[string]any) *unstructured.Unstructured {
	named := map[string]any{}
	for name, value := range labels(db) {
		named[name] = value
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": ObjectStoreVersion,
		"kind":       "ObjectStore",
		"metadata":   map[string]any{"name": name, "namespace": daap.Namespace(db.ID), "labels": named},
		"spec":       spec,
	}}
}

func storeConfiguration(destination, secret string, platform Platform) map[string]any {
	key := func(key string) map[string]any { return map[string]any{"name": secret, "key": key} }
	return map[string]any{
		"destinationPath": destination,
		"endpointURL":     platform.Archive.Endpoint,
		"s3Credentials":   map[string]any{"accessKeyId": key(accessKeyID), "secretAccessKey": key(accessSecretKey)},
		"wal":             map[string]any{"compression": "gzip", "maxParallel": int64(4)},
		"data":            map[string]any{"compression": "gzip", "immediateCheckpoint": true, "jobs": int64(2)},
	}
}

// storeEnvironment turns off the checksums that boto3 sends since 1.36, because some object stores reject them
// (plugin-barman-cloud #393).
func storeEnvironment() []any {
	return []any{
		map[string]any{"name": "AWS_REQUEST_CHECKSUM_CALCULATION", "value": "when_required"},
		map[string]any{"name": "AWS_RESPONSE_CHECKSUM_VALIDATION", "value": "when_required"},
	}
}

// archiver makes the Cluster archive its WAL; nil for a database without backups.
func archiver(db daap.Database) []cnpgv1.PluginConfiguration {
	if !db.Profile.BackupEnabled {
		return nil
	}
	return []cnpgv1.PluginConfiguration{{
		Name: BarmanPlugin, IsWALArchiver: new(true),
		Parameters: map[string]string{"barmanObjectName": ArchiveStore, "serverName": db.ServerName()},
	}}
}

// ScheduledBackup takes base backups at the times of the tier. CNPG's schedules begin with seconds.
func ScheduledBackup(db daap.Database) *cnpgv1.ScheduledBackup {
	return &cnpgv1.ScheduledBackup{
		TypeMeta:   metav1.TypeMeta{APIVersion: cnpgv1.SchemeGroupVersion.String(), Kind: "ScheduledBackup"},
		ObjectMeta: objectMeta(db, ClusterName(db)),
		Spec: cnpgv1.ScheduledBackupSpec{
			Schedule: "0 " + db.Profile.BackupFrequency,
			Cluster:  cnpgv1.LocalObjectReference{Name: ClusterName(db)},
			// The Backup objects are deleted with the Cluster; the backups themselves stay in the archive.
			BackupOwnerReference: "cluster",
			Target:               cnpgv1.BackupTargetPrimary,
			Method:               cnpgv1.BackupMethodPlugin,
			PluginConfiguration:  &cnpgv1.BackupPluginConfiguration{Name: BarmanPlugin},
		},
	}
}

// Suspended is the ScheduledBackup while it takes no base backups.
func Suspended(db daap.Database) *cnpgv1.ScheduledBackup {
	backups := ScheduledBackup(db)
	backups.Spec.Suspend = new(true)
	return backups
}

// Backup takes one base backup, now.
func Backup(db daap.Database, name string) *cnpgv1.Backup {
	meta := objectMeta(db, name)
	meta.Labels[LabelCluster] = ClusterName(db)
	return &cnpgv1.Backup{
		TypeMeta:   metav1.TypeMeta{APIVersion: cnpgv1.SchemeGroupVersion.String(), Kind: "Backup"},
		ObjectMeta: meta,
		Spec: cnpgv1.BackupSpec{
			Cluster:             cnpgv1.LocalObjectReference{Name: ClusterName(db)},
			Target:              cnpgv1.BackupTargetPrimary,
			Method:              cnpgv1.BackupMethodPlugin,
			PluginConfiguration: &cnpgv1.BackupPluginConfiguration{Name: BarmanPlugin},
		},
	}
}
