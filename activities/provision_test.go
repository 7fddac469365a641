package activities

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/objectstore"
)

func TestApplyingTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	k := stepsWith(t)
	for name, apply := range map[string]func(context.Context, Input) error{
		"namespace": k.ApplyNamespace, "cluster": k.ApplyCluster, "pooler": k.ApplyPooler,
	} {
		for range 2 {
			if err := run(t, apply); err != nil {
				t.Fatalf("apply %s: %v", name, err)
			}
		}
	}
	var clusters cnpgv1.ClusterList
	if err := k.Cluster.Client.List(t.Context(), &clusters); err != nil || len(clusters.Items) != 1 {
		t.Fatalf("clusters = %d, %v, want one", len(clusters.Items), err)
	}
	if got := clusters.Items[0]; got.Name != "pg-1" || got.Labels[manifest.LabelTeam] != "shop" {
		t.Errorf("cluster is %s of %v, want pg-1 of shop", got.Name, got.Labels)
	}
}

func TestExistingPasswordStays(t *testing.T) {
	t.Parallel()
	k := stepsWith(t)
	passwords := map[string][]string{}
	for _, make := range []func(context.Context, Input) error{k.CreateCredentials, k.CreateCredentials, k.ApplyCluster} {
		if err := run(t, make); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{daap.CredentialsSecret, manifest.WorkerSecret} {
			var secret corev1.Secret
			if err := k.Cluster.Client.Get(t.Context(), client.ObjectKey{Namespace: daap.Namespace(orders.ID), Name: name}, &secret); err != nil {
				t.Fatal(err)
			}
			passwords[name] = append(passwords[name], string(secret.Data[corev1.BasicAuthPasswordKey]))
		}
	}
	owner, worker := slices.Compact(passwords[daap.CredentialsSecret]), slices.Compact(passwords[manifest.WorkerSecret])
	if len(owner) != 1 || len(worker) != 1 || len(owner[0]) < 20 || len(worker[0]) < 20 || owner[0] == worker[0] {
		t.Errorf("there were %d passwords of the owner and %d of the worker, want one long password each, and different ones",
			len(owner), len(worker))
	}
}

func TestNamespaceIsForTheWorkerAndTheTeam(t *testing.T) {
	t.Parallel()
	for name, apply := range map[string]func(*Steps) error{
		"made": func(k *Steps) error { return run(t, k.ApplyNamespace) },
		"incomplete, and to be deleted": func(k *Steps) error {
			return errors.Join(k.Cluster.Apply(t.Context(), manifest.Namespace(orders)), run(t, k.DeleteWorkloads))
		},
	} {
		k := stepsWith(t)
		if err := apply(k); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var bound rbacv1.RoleBindingList
		if err := k.Cluster.Client.List(t.Context(), &bound, client.InNamespace(daap.Namespace(orders.ID))); err != nil {
			t.Fatal(err)
		}
		roles := map[string]string{}
		for _, binding := range bound.Items {
			roles[binding.RoleRef.Name] = binding.Subjects[0].Name
		}
		want := map[string]string{"daap-database": "daap-worker"}
		if name == "made" {
			want["daap-connection"] = "daap:team:shop"
		}
		if !maps.Equal(roles, want) {
			t.Errorf("%s: the roles are bound to %v, want %v", name, roles, want)
		}
	}
}

// keptTier is the tier of orders, with backups.
func keptTier() *daap.Tier {
	profile := orders.Profile
	profile.Backups = daap.Backups{
		BackupEnabled: true, BackupFrequency: "0 2 * * *", BackupRetentionDays: 14, WALArchivingEnabled: true,
		ObjectStorageDestination: "s3://backups/shop",
	}
	return &daap.Tier{Name: "kept", Profile: profile}
}

// keptOrders is the record of orders, which has backups.
type keptOrders struct{ oneDatabase }

func (keptOrders) Database(context.Context, daap.Scope, uuid.UUID) (daap.Database, error) {
	return orders.With(*keptTier()), nil
}

func TestArchiveFollowsTheNewTier(t *testing.T) {
	t.Parallel()
	buckets := &store{}
	k := stepsWith(t)
	k.Rows, k.Archives.Store = rowsOf{oneDatabase{keptTier()}, &holding{}}, buckets
	k.Platform.Archive.Endpoint = "https://s3.example.com"
	k.Keys.Shared = manifest.Archive{AccessKey: "a", SecretKey: "s"}
	for range 2 {
		if err := run(t, k.ApplyArchive); err != nil {
			t.Fatal(err)
		}
	}
	if len(buckets.asked) != 2 || buckets.asked[0] != "backups" {
		t.Errorf("created the buckets %v, want backups", buckets.asked)
	}
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: daap.Namespace(orders.ID), Name: manifest.ArchiveCredentials}
	if err := k.Cluster.Client.Get(t.Context(), key, &secret); err != nil || string(secret.Data["ACCESS_KEY_ID"]) != "a" {
		t.Errorf("the keys are %v, %v", secret.Data, err)
	}
	if err := run(t, k.RevertArchive); err != nil { // orders itself has no backups
		t.Fatal(err)
	}
	if err := k.Cluster.Client.Get(t.Context(), key, &secret); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the keys still exist: %v", err)
	}
}

func TestArchiveWithoutAStoreSaysWhy(t *testing.T) {
	t.Parallel()
	for name, archives := range map[string]*objectstore.Archives{
		"none configured": {}, "denied": {Store: &store{err: errors.New("Access Denied")}},
	} {
		k := stepsWith(t)
		k.Rows, k.Archives = rowsOf{oneDatabase{keptTier()}, &holding{}}, archives
		if cause := Cause(run(t, k.ApplyArchive), "Create"); cause.Code != daap.CauseS3Denied || cause.Remedy == "" {
			t.Errorf("%s: the cause is %+v, want that the store denied access", name, cause)
		}
	}
}
