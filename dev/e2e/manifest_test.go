//go:build e2e

package e2e

import (
	"context"
	"testing"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// notMade is a database of the team that is not there, on a tier that asks for all there is to ask for.
func notMade(team string) daap.Database {
	return daap.Database{
		ID: uuid.New(), Name: "not-made", OwnerTeam: team, Incarnation: 1, Tier: "large",
		Profile: daap.Profile{
			Instances: 3, HAReplicas: 1, CPU: resource.MustParse("1500m"), Memory: resource.MustParse("2Gi"),
			StorageSize: resource.MustParse("10Gi"), StorageClass: "local", PGVersion: "17", PoolMode: daap.PoolSession,
			MaxConnections: 200, DestructionStrategy: daap.StrategyHardDelete,
			Backups: daap.Backups{
				BackupEnabled: true, BackupFrequency: "0 3 * * *", BackupRetentionDays: 7, WALArchivingEnabled: true,
				ObjectStorageDestination: "s3://bucket/prefix",
			},
		},
		Source: &daap.Source{DatabaseID: uuid.New(), Destination: "s3://bucket/prefix/source", ServerName: "pg-1"},
	}
}

// TestManifestsAreAcceptedByKubernetes sends every manifest through the real API server's schemas and the
// operator's webhooks, strictly: a field that the schema does not know is an error.
func TestManifestsAreAcceptedByKubernetes(t *testing.T) {
	parallel(t)
	ctx := t.Context()
	db := notMade("e2e")
	namespace := manifest.Namespace(db)
	if err := stack.Kubernetes.Create(ctx, namespace); err != nil {
		t.Fatalf("create namespace: %v", err)
	}
	t.Cleanup(func() {
		if err := stack.Kubernetes.Delete(context.Background(), namespace); err != nil {
			t.Errorf("delete namespace: %v", err)
		}
	})
	strictly := []client.CreateOption{client.DryRunAll, client.FieldValidation("Strict")}
	platform := manifest.Platform{
		PostgresImages: daap.Catalog{"17": "localhost/postgresql:17.12"}, StorageClass: "local",
		Archive: manifest.Archive{Endpoint: "http://s3.example", AccessKey: "a", SecretKey: "b"},
		Network: manifest.Network{
			Operator: []manifest.Peer{{Namespace: "cnpg-system", Label: "app.kubernetes.io/name", Value: "cloudnative-pg"}},
			Worker:   []manifest.Peer{{Block: "192.0.2.1/32"}}, Store: []manifest.Peer{{Namespace: "minio", Port: 9000}},
			APIServers: []manifest.Peer{{Block: "192.0.2.0/24", Port: 6443}}, DNS: []manifest.Peer{{Namespace: "kube-system"}},
		},
	}
	objects := map[string]client.Object{"Backup first": manifest.Backup(db, "first")}
	for _, o := range manifest.Objects(db, platform) {
		if o.Kind().Kind != "Namespace" { // which is there
			objects[o.String()] = o.Built
		}
	}
	for name, object := range objects {
		t.Run(name, func(t *testing.T) {
			if err := stack.Kubernetes.Create(ctx, object, strictly...); err != nil {
				t.Errorf("create %s: %v", name, err)
			}
		})
	}
	t.Run("the operator's webhook refuses what CNPG cannot do", func(t *testing.T) {
		broken := manifest.Cluster(db, platform)
		broken.Spec.StorageConfiguration = cnpgv1.StorageConfiguration{Size: "plenty"}
		if err := stack.Kubernetes.Create(ctx, broken, strictly...); !apierrors.IsInvalid(err) {
			t.Errorf("create a cluster with storage size %q: %v, want Invalid", "plenty", err)
		}
	})
}
