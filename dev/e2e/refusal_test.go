//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap/activities/manifest"
)

// refuseClustersOf has Kubernetes refuse every Cluster of the team, for good, until admit is called or the test ends.
func refuseClustersOf(ctx context.Context, t *testing.T, team string) (admit func()) {
	t.Helper()
	meta := metav1.ObjectMeta{Name: "e2e-" + team}
	fail, clusters := admissionv1.Fail, admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
		Rule:       admissionv1.Rule{APIGroups: []string{"postgresql.cnpg.io"}, APIVersions: []string{"v1"}, Resources: []string{"clusters"}},
	}}
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		FailurePolicy:    &fail,
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{clusters}},
		Validations: []admissionv1.Validation{{
			Expression: fmt.Sprintf(`!has(object.metadata.labels) || !('%[1]s' in object.metadata.labels) || object.metadata.labels['%[1]s'] != '%[2]s'`,
				manifest.LabelTeam, team),
			Message: "clusters of this team are not admitted",
		}},
	}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: meta.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
	}}
	for _, object := range []client.Object{policy, binding} {
		if err := stack.Kubernetes.Create(ctx, object); err != nil {
			t.Fatalf("refuse clusters of %s: %v", team, err)
		}
	}
	admit = func() {
		ctx := context.WithoutCancel(ctx)
		for _, object := range []client.Object{binding, policy} {
			if err := client.IgnoreNotFound(stack.Kubernetes.Delete(ctx, object)); err != nil {
				t.Errorf("admit clusters of %s: %v", team, err)
			}
		}
		until(ctx, t, "clusters are admitted", func() bool { return !clusterRefused(ctx, t, team) })
	}
	t.Cleanup(admit)
	until(ctx, t, "clusters are refused", func() bool { return clusterRefused(ctx, t, team) })
	return admit
}

func clusterRefused(ctx context.Context, t *testing.T, team string) bool {
	t.Helper()
	cluster := manifest.Cluster(notMade(team), manifest.Platform{})
	cluster.Namespace = "default"
	err := stack.Kubernetes.Create(ctx, cluster, client.DryRunAll)
	if err != nil && !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
		t.Fatalf("create a cluster of %s: %v", team, err)
	}
	return err != nil
}

// shell runs a script as a person would paste it, at the root of the work tree, and returns what it printed.
func shell(ctx context.Context, t *testing.T, script string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	t.Logf("%s\n%s", script, out)
	watching.keep("what scripts print", out)
	if err != nil {
		t.Fatalf("the script ends with %v", err)
	}
	return string(out)
}
