//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
	"github.com/daap-dev/daap/dev/rights"
)

// deployed are the manifests of DAAP's accounts, rights and bounds.
var deployed = filepath.Join("..", "..", "deploy", "kubernetes", "*.yaml")

// rightsAreUsed compares, once the whole suite ran, the worker's rights with what the API server's audit log says that
// it asked for. A part of the suite does not use all.
func rightsAreUsed() error {
	for _, chosen := range []string{"test.run", "test.skip", "test.list"} {
		if flag.Lookup(chosen).Value.String() != "" {
			return nil
		}
	}
	manifests, err := manifestsDeployed()
	if err != nil {
		return err
	}
	// Teams' right to their credentials is not the worker's to use.
	granted, err := rights.Granted(bytes.Join(manifests, []byte("\n---\n")), manifest.WorkerAccount, manifest.DatabaseRole)
	if err != nil {
		return err
	}
	log, err := requests()
	if err != nil {
		return err
	}
	var found []error
	for _, right := range rights.Unused(granted, log) {
		found = append(found, fmt.Errorf("deploy/kubernetes grants what nothing needed: %s", right))
	}
	for _, request := range rights.Refused(log) {
		found = append(found, fmt.Errorf("a request was refused: %s", request))
	}
	fmt.Printf("%d requests of DAAP's accounts used %d of %d rights\n", len(log), len(granted)-len(rights.Unused(granted, log)), len(granted))
	return errors.Join(found...)
}

func manifestsDeployed() ([][]byte, error) {
	files, err := filepath.Glob(deployed)
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("find %s: %w", deployed, errors.Join(err, os.ErrNotExist))
	}
	var all [][]byte
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		all = append(all, content)
	}
	return all, nil
}

// requests are those of the API server's audit log, which has DAAP's own accounts alone.
func requests() ([]rights.Request, error) {
	files, err := filepath.Glob(filepath.Join(local.StateDir(), "audit", "*.log"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("find the API server's audit log: %w", errors.Join(err, os.ErrNotExist))
	}
	var all bytes.Buffer
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		// It is written to meanwhile.
		all.Write(content[:bytes.LastIndexByte(content, '\n')+1])
	}
	return rights.ReadLog(&all)
}

// as is a client of somebody else's.
func as(t *testing.T, who rest.ImpersonationConfig) client.Client {
	t.Helper()
	access, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	who.Groups = append(who.Groups, "system:authenticated")
	access.Impersonate = who
	other, err := client.New(access, client.Options{Scheme: stack.Kubernetes.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return other
}

// account is one of DAAP's own.
func account(name string) rest.ImpersonationConfig {
	return rest.ImpersonationConfig{UserName: "system:serviceaccount:daap:" + name, Groups: []string{"system:serviceaccounts"}}
}

func teamOf(team string) rest.ImpersonationConfig {
	return rest.ImpersonationConfig{UserName: "somebody", Groups: []string{manifest.TeamGroup(team)}}
}

func TestTeamReadsItsOwnCredentialsAndNothingElse(t *testing.T) {
	id := parallelOn(t, sharedPlain)
	ctx := t.Context()
	namespace := daap.Namespace(id)
	get := func(c client.Client, name string) error {
		return c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &corev1.Secret{})
	}
	own, other := as(t, teamOf("e2e")), as(t, teamOf("curious"))
	if err := get(own, daap.CredentialsSecret); err != nil {
		t.Errorf("the team's own credentials: %v, want them", err)
	}
	credentials := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: daap.CredentialsSecret}}
	for what, err := range map[string]error{
		"another team's credentials":     get(other, daap.CredentialsSecret),
		"the key of the CA":              get(own, "pg-1-ca"),
		"the key of the server":          get(own, "pg-1-server"),
		"the list of all secrets":        own.List(ctx, &corev1.SecretList{}, client.InNamespace(namespace)),
		"to delete the credentials":      own.Delete(ctx, credentials, client.DryRunAll),
		"the list of pods":               own.List(ctx, &corev1.PodList{}, client.InNamespace(namespace)),
		"the list of namespaces":         own.List(ctx, &corev1.NamespaceList{}),
		"the API's, its credentials":     get(as(t, account("daap-api")), daap.CredentialsSecret),
		"the API's, the namespaces":      as(t, account("daap-api")).List(ctx, &corev1.NamespaceList{}),
		"the worker's, all secrets":      as(t, account("daap-worker")).List(ctx, &corev1.SecretList{}),
		"the worker's, another's secret": as(t, account("daap-worker")).Get(ctx, client.ObjectKey{Namespace: "daap", Name: "daap-api-token"}, &corev1.Secret{}),
	} {
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), " cannot ") {
			t.Errorf("%s: %v, want it forbidden", what, err)
		}
	}
	if err := get(as(t, account("daap-worker")), daap.CredentialsSecret); err != nil {
		t.Errorf("the worker's, the credentials: %v, want them", err)
	}
	until(ctx, t, "the API's account finds Kubernetes well", func() bool {
		health, err := stack.API.GetHealth(ctx)
		return err == nil && slices.ContainsFunc(health.Data.Checks, func(c oas.HealthCheck) bool {
			return c.Name == "kubernetes" && c.Status == oas.HealthCheckStatusUp
		})
	})
	t.Run("no pod has privileges", func(t *testing.T) {
		privileged := true
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "privileged"},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{
				Name: "main", Image: "localhost/pause:1", SecurityContext: &corev1.SecurityContext{Privileged: &privileged},
			}}},
		}
		err := stack.Kubernetes.Create(ctx, pod, client.DryRunAll)
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `violates PodSecurity "restricted`) {
			t.Errorf("a privileged pod: %v, want it refused by Pod Security", err)
		}
	})
}

func TestWorkerChangesWhatIsOfDatabasesAlone(t *testing.T) {
	parallel(t)
	ctx := t.Context()
	worker, db := as(t, account("daap-worker")), notMade("bounds")
	elsewhere := func(namespace string) client.Object {
		binding := manifest.WorkerRights(db)
		binding.Namespace = namespace
		return binding
	}
	asAdmin := manifest.WorkerRights(db)
	asAdmin.Namespace, asAdmin.RoleRef.Name = "default", "cluster-admin"
	volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "e2e-bounds"}, Spec: nobodysVolume("default", "x")}
	if err := stack.Kubernetes.Create(ctx, volume); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Kubernetes.Delete(context.Background(), volume); err != nil {
			t.Error(err)
		}
	})
	namespace := func(name string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	}
	const bounds, rbac = "the worker changes what is of databases alone", "attempting to grant"
	for what, tt := range map[string]struct {
		err  error
		says string
	}{
		"let itself into kube-system":    {worker.Create(ctx, elsewhere("kube-system"), client.DryRunAll), bounds},
		"let itself into DAAP's own":     {worker.Create(ctx, elsewhere("daap"), client.DryRunAll), bounds},
		"be admin":                       {worker.Create(ctx, asAdmin, client.DryRunAll), rbac},
		"delete a namespace":             {worker.Delete(ctx, namespace("cnpg-system"), client.DryRunAll), bounds},
		"make a namespace of its like":   {worker.Create(ctx, namespace("daap-"+uuid.NewString()+"x"), client.DryRunAll), bounds},
		"delete another's volume":        {worker.Delete(ctx, volume, client.DryRunAll), bounds},
		"make a namespace of a database": {worker.Create(ctx, manifest.Namespace(db), client.DryRunAll), ""},
	} {
		if tt.says == "" {
			if tt.err != nil {
				t.Errorf("%s: %v, want it allowed", what, tt.err)
			}
			continue
		}
		if !apierrors.IsForbidden(tt.err) && !apierrors.IsInvalid(tt.err) || !strings.Contains(tt.err.Error(), tt.says) {
			t.Errorf("%s: %v, want it refused: %s", what, tt.err, tt.says)
		}
	}
}

// nobodysVolume is of a claim that there may not be.
func nobodysVolume(namespace, claim string) corev1.PersistentVolumeSpec {
	return corev1.PersistentVolumeSpec{
		Capacity:    corev1.ResourceList{corev1.ResourceStorage: notMade("").Profile.StorageSize},
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		ClaimRef:    &corev1.ObjectReference{Namespace: namespace, Name: claim},
		PersistentVolumeSource: corev1.PersistentVolumeSource{
			HostPath: &corev1.HostPathVolumeSource{Path: "/nowhere"},
		},
	}
}

// TestDeployedIsAcceptedByKubernetes sends every manifest of deploy/kubernetes to the API server, without a change.
func TestDeployedIsAcceptedByKubernetes(t *testing.T) {
	parallel(t)
	out := shell(t.Context(), t, "kubectl apply --dry-run=server --validate=strict --server-side --force-conflicts -f deploy/kubernetes 2>&1")
	if strings.Contains(out, "Warning") {
		t.Errorf("Kubernetes warns:\n%s", out)
	}
	var bindings rbacv1.ClusterRoleBindingList
	if err := stack.Kubernetes.List(t.Context(), &bindings); err != nil {
		t.Fatal(err)
	}
	for _, binding := range bindings.Items {
		for _, subject := range binding.Subjects {
			if subject.Namespace == manifest.ServiceNamespace && (subject.Name != manifest.WorkerAccount || binding.RoleRef.Name != manifest.WorkerAccount) {
				t.Errorf("%s has %s in the whole cluster", subject.Name, binding.RoleRef.Name)
			}
		}
	}
}

// TestServicesRoleInPostgreSQLIsNobodySpecial looks at the role that api and worker connect with.
func TestServicesRoleInPostgreSQLIsNobodySpecial(t *testing.T) {
	parallel(t)
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, os.Getenv("DAAP_DATABASE_URL"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // it was only read
	var special, member, owns bool
	err = conn.QueryRow(ctx, `
		SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls,
		       EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid),
		       EXISTS (SELECT FROM pg_shdepend WHERE refobjid = r.oid AND deptype = 'o')
		FROM   pg_roles r WHERE rolname = current_user`).Scan(&special, &member, &owns)
	if err != nil || special || member || owns {
		t.Errorf("the service's role has attributes: %t, is a member of others: %t, owns something: %t (%v); want none",
			special, member, owns, err)
	}
	for sql, allowed := range map[string]bool{
		`SELECT count(*) FROM databases`: true, `CREATE TEMPORARY TABLE mine (id int)`: false, `DELETE FROM audit_log`: false,
	} {
		if _, err := conn.Exec(ctx, sql); (err == nil) != allowed || err != nil && !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s: %v, want it allowed: %t", sql, err, allowed)
		}
	}
}
