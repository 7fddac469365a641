//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// odd is text that means something to a template, YAML, a shell and SQL, and nothing to DAAP.
const odd = "---\nkind: Secret {{ .Values }} ${HOME} `id` '; DROP TABLE tiers; -- <b> مرحبا 👩\u200d💻 \u200f"

// TestOddestInputThatIsAcceptedIsProvisioned asks for a database in which every name is as long and every value as odd as
// the API takes it. Its tier's destination is tried by a worker.
func TestOddestInputThatIsAcceptedIsProvisioned(t *testing.T) {
	parallel(t, needsStore)
	ctx := t.Context()
	long := func(begin string, n int) string { return begin + strings.Repeat("a", n-len(begin)) }
	tier, team := long("e2e-odd-", 40), long("e2e-", 40)
	part := long("p.", 63)
	makeTier(ctx, t, oas.CreateTierRequest{
		Name: tier, Description: oas.NewOptString(odd), CPU: "0.1001", Memory: "536870912001m", StorageSize: "1.0000000001Gi",
		MaxConnections: oas.NewOptInt(37), BackupEnabled: oas.NewOptBool(true), BackupFrequency: oas.NewOptString("*/59  4 1-7,29 FEB-dec sun"),
		BackupRetentionDays:      oas.NewOptInt(daap.MaxBackupRetentionDays),
		ObjectStorageDestination: oas.NewOptString("s3://daap-e2e/" + strings.Join([]string{part, part, part, part}, "/")),
	})
	accepted, err := local.Accepted(stack.API.CreateDatabase(ctx, &oas.CreateDatabaseRequest{
		Tier: tier, Name: long("e2e-", 40), OwnerTeam: oas.NewOptTeamName(oas.TeamName(team)), Description: oas.NewOptString(odd),
		Labels: oas.NewOptLabels(oas.Labels{long("a/b.c_", 63): odd}),
	}, oas.CreateDatabaseParams{}))
	if err != nil {
		t.Fatal(err)
	}
	id := accepted.Response.Data.ID
	t.Cleanup(func() { cleanUp(context.WithoutCancel(ctx), t, id) })
	succeed(ctx, t, accepted.Response.Meta.OperationID)

	if got, err := psqlOf(ctx, t, id).Run(ctx, `SHOW max_connections`); err != nil || strings.TrimSpace(got) != "37" {
		t.Errorf("max_connections is %q: %v", got, err)
	}
	var namespace corev1.Namespace
	if err := stack.Kubernetes.Get(ctx, client.ObjectKey{Name: daap.Namespace(id)}, &namespace); err != nil {
		t.Fatal(err)
	}
	if l := namespace.Labels; l[manifest.LabelTeam] != team || l[manifest.LabelTier] != tier {
		t.Errorf("the namespace has the labels %v", l)
	}
	var cluster cnpgv1.Cluster
	if err := stack.Kubernetes.Get(ctx, client.ObjectKey{Namespace: daap.Namespace(id), Name: "pg-1"}, &cluster); err != nil {
		t.Fatal(err)
	}
	cpu, memory := cluster.Spec.Resources.Requests.Cpu(), cluster.Spec.Resources.Requests.Memory()
	if cpu.MilliValue() != 101 || memory.Value() != 536870913 {
		t.Errorf("an instance has %s and %s, want 101m and 536870913 bytes", cpu, memory)
	}
	remove(ctx, t, id)
	nothingLeft(ctx, t, id)
}
