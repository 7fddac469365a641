//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// hostAddress is where pods reach the machine: the host's end of the stack's link.
const hostAddress = "10.200.0.1"

// clientPod runs in a namespace of the team and has psql; labels are its pod's.
func clientPod(ctx context.Context, t *testing.T, team string, labels map[string]string) corev1.Pod {
	t.Helper()
	_, image, _ := strings.Cut(os.Getenv("DAAP_POSTGRES_VERSIONS"), "=")
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "e2e-apps-", Labels: map[string]string{manifest.LabelTeam: team},
	}}
	if err := stack.Kubernetes.Create(ctx, namespace); err != nil {
		t.Fatalf("create namespace: %v", err)
	}
	t.Cleanup(func() {
		if err := stack.Kubernetes.Delete(context.WithoutCancel(ctx), namespace); err != nil {
			t.Errorf("delete namespace: %v", err)
		}
	})
	no := false
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "client", Labels: labels},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken:  &no,
			TerminationGracePeriodSeconds: new(int64),
			Containers: []corev1.Container{{
				Name: "client", Image: image, ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"sleep", "infinity"},
			}},
		},
	}
	if err := stack.Kubernetes.Create(ctx, pod); err != nil {
		t.Fatalf("create pod: %v", err)
	}
	until(ctx, t, "the client's pod runs", func() bool {
		err := stack.Kubernetes.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		return err == nil && pod.Status.Phase == corev1.PodRunning && pod.Status.PodIP != ""
	})
	return *pod
}

// runIn runs a script, which may hold secrets, in the container.
func runIn(ctx context.Context, pod corev1.Pod, container, script string) (string, error) {
	cmd := exec.CommandContext(ctx, "kubectl", "--namespace", pod.Namespace, "exec", "--stdin", pod.Name,
		"--container", container, "--", "bash", "-s")
	cmd.Stdin = strings.NewReader(script)
	var told bytes.Buffer
	cmd.Stderr = &told
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, told.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// reaches says whether a connection from the container to the address comes about.
func reaches(ctx context.Context, t *testing.T, pod corev1.Pod, container, address string) bool {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	said, err := runIn(ctx, pod, container, fmt.Sprintf(
		"timeout 3 bash -c 'exec 3<>/dev/tcp/%s/%s' 2>/dev/null && echo yes || echo no\n", host, port))
	if err != nil {
		t.Fatalf("ask pod %s/%s: %v", pod.Namespace, pod.Name, err)
	}
	return said == "yes"
}

// addressesOf are the addresses of the database's Services and pods that take connections.
func addressesOf(ctx context.Context, t *testing.T, id uuid.UUID) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range []string{daap.PoolerService, daap.PrimaryService} {
		var service corev1.Service
		if err := stack.Kubernetes.Get(ctx, client.ObjectKey{Namespace: daap.Namespace(id), Name: name}, &service); err != nil {
			t.Fatal(err)
		}
		all[name] = net.JoinHostPort(service.Spec.ClusterIP, "5432")
	}
	all["instance"] = net.JoinHostPort(primaryOf(ctx, t, daap.Namespace(id)).Status.PodIP, "5432")
	return all
}

// TestOnlyTheOwnersNamespacesReachADatabaseWhichReachesNobodyElse tries every way in and out that is not allowed,
// beside one that is, by the same command.
func TestOnlyTheOwnersNamespacesReachADatabaseWhichReachesNobodyElse(t *testing.T) {
	other := parallelOn(t, sharedPlain, long)
	ctx := t.Context()
	db, operation := createFor(ctx, t, "e2e", "walled")
	succeed(ctx, t, operation)
	addresses := addressesOf(ctx, t, db.ID)

	owners := clientPod(ctx, t, "e2e", nil)
	for name, address := range addresses { // the node learns of the pod and of its address a moment after it runs
		until(ctx, t, "the owner's pod reaches the "+name, func() bool { return reaches(ctx, t, owners, "client", address) })
	}
	if got, err := connectsFrom(ctx, t, owners, db.ID); err != nil || got != "42" {
		t.Errorf("psql in the owner's pod says %q (%v), want 42", got, err)
	}
	if reaches(ctx, t, owners, "client", net.JoinHostPort(primaryOf(ctx, t, daap.Namespace(db.ID)).Status.PodIP, "8000")) {
		t.Error("the owner's pod reaches the instance manager, want PostgreSQL alone")
	}

	instance := primaryOf(ctx, t, daap.Namespace(db.ID))
	forged := map[string]string{
		manifest.LabelTeam: "e2e", manifest.LabelManagedBy: manifest.FieldOwner, manifest.LabelCluster: "pg-1",
		"app.kubernetes.io/name": "cloudnative-pg",
	}
	for who, pod := range map[string]corev1.Pod{
		"another team's pod":                    clientPod(ctx, t, "strangers", nil),
		"another team's pod with forged labels": clientPod(ctx, t, "strangers", forged),
	} {
		for name, address := range addresses {
			if reaches(ctx, t, pod, "client", address) {
				t.Errorf("%s reaches the %s", who, name)
			}
		}
	}

	listener, err := net.Listen("tcp", hostAddress+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	outside := listener.Addr().String()
	if !reaches(ctx, t, owners, "client", outside) {
		t.Fatalf("a pod without policies does not reach %s: the test would prove nothing", outside)
	}
	for what, address := range map[string]string{
		"what is outside":              outside,
		"the cloud's metadata":         "169.254.169.254:80",
		"another database of the team": net.JoinHostPort(primaryOf(ctx, t, daap.Namespace(other)).Status.PodIP, "5432"),
		"that database's Service":      addressesOf(ctx, t, other)[daap.PrimaryService],
		"a client":                     net.JoinHostPort(owners.Status.PodIP, "22"),
		"DAAP's node":                  "10.200.0.2:10250",
	} {
		if reaches(ctx, t, instance, "postgres", address) {
			t.Errorf("the database's pod reaches %s, %s", what, address)
		}
	}
}

// connectsFrom runs psql in the pod as the team would, with what the API hands out.
func connectsFrom(ctx context.Context, t *testing.T, pod corev1.Pod, id uuid.UUID) (string, error) {
	t.Helper()
	conn, err := stack.API.GetDatabaseConnection(ctx, oas.GetDatabaseConnectionParams{ID: id})
	if err != nil {
		t.Fatalf("connection: %v", err)
	}
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: conn.Data.Secret.Namespace, Name: conn.Data.Secret.Name}
	if err := stack.Kubernetes.Get(ctx, key, &secret); err != nil {
		t.Fatal(err)
	}
	return runIn(ctx, pod, "client", fmt.Sprintf(`cat > /tmp/ca.crt <<'PEM'
%s
PEM
export PGPASSWORD='%s'
psql --no-psqlrc --tuples-only --no-align --command='SELECT 42' \
	'host=%s user=%s dbname=%s sslmode=verify-full sslrootcert=/tmp/ca.crt connect_timeout=5'
`, conn.Data.CaCertificate, secret.Data[conn.Data.Secret.PasswordKey], conn.Data.Pooled.Host, conn.Data.User, conn.Data.Database))
}

// policiesOf are the names of the network policies of the database.
func policiesOf(ctx context.Context, t *testing.T, id uuid.UUID) []string {
	t.Helper()
	var policies networkingv1.NetworkPolicyList
	if err := stack.Kubernetes.List(ctx, &policies, client.InNamespace(daap.Namespace(id))); err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range policies.Items {
		names = append(names, policies.Items[i].Name)
	}
	slices.Sort(names)
	return names
}

// TestRuleThatIsMissingIsTold takes one rule out of the policy of a database that is being provisioned, and puts it back.
func TestRuleThatIsMissingIsTold(t *testing.T) {
	t.Parallel() // each of them has a turn of its own
	for name, tt := range map[string]struct {
		cut   func(*networkingv1.NetworkPolicySpec)
		code  oas.CauseCode
		says  string
		needs []need
	}{
		"operator": {func(spec *networkingv1.NetworkPolicySpec) {
			spec.Ingress = slices.DeleteFunc(spec.Ingress, func(rule networkingv1.NetworkPolicyIngressRule) bool {
				return rule.From[0].NamespaceSelector != nil &&
					rule.From[0].NamespaceSelector.MatchLabels[corev1.LabelMetadataName] == "cnpg-system"
			})
		}, oas.CauseCodeNETWORKBLOCKED, "HTTP communication issue", nil},
		"worker": {func(spec *networkingv1.NetworkPolicySpec) {
			spec.Ingress = slices.DeleteFunc(spec.Ingress, func(rule networkingv1.NetworkPolicyIngressRule) bool {
				return rule.From[0].IPBlock != nil
			})
		}, oas.CauseCodeCONNECTFAILED, "primary.", nil},
		"dns":         {nowhereAt(53), oas.CauseCodeCONNECTFAILED, "DNS lookup failed", nil},
		"API servers": {nowhereAt(6443), oas.CauseCodeNETWORKBLOCKED, "cannot reach the Kubernetes API", nil},
		"store":       {nowhereAt(9000), oas.CauseCodeS3DENIED, "Could not connect to the endpoint URL", []need{needsStore}},
	} {
		t.Run(name, func(t *testing.T) {
			parallel(t, tt.needs...)
			ctx, tier := t.Context(), local.Tier
			if tt.needs != nil {
				tier = "e2e-cut-off"
				keepingTier(ctx, t, tier)
			}
			db, operation := createOn(ctx, t, tier, "e2e", "cut-off-"+strings.ToLower(strings.ReplaceAll(name, " ", "-")))
			key := client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: "platform"}
			var whole networkingv1.NetworkPolicy
			until(ctx, t, "the policy is there", func() bool { return stack.Kubernetes.Get(ctx, key, &whole) == nil })
			cut := whole.DeepCopy()
			tt.cut(&cut.Spec)
			if err := stack.Kubernetes.Update(ctx, cut); err != nil {
				t.Fatal(err)
			}
			until(ctx, t, "the operation tells "+string(tt.code), func() bool {
				op, err := stack.API.GetOperation(ctx, oas.GetOperationParams{ID: operation})
				return err == nil && op.Data.WaitingOn.Value.Code == tt.code &&
					strings.Contains(op.Data.WaitingOn.Value.Message, tt.says)
			})
			cut.Spec = whole.Spec
			if err := stack.Kubernetes.Update(ctx, cut); err != nil {
				t.Fatal(err)
			}
			succeed(ctx, t, operation)
		})
	}
}

// nowhereAt takes away the rules that let pods reach something at the port, but for their own like.
func nowhereAt(port int) func(*networkingv1.NetworkPolicySpec) {
	return func(spec *networkingv1.NetworkPolicySpec) {
		spec.Egress = slices.DeleteFunc(spec.Egress, func(rule networkingv1.NetworkPolicyEgressRule) bool {
			return len(rule.Ports) > 0 && rule.Ports[0].Port.IntValue() == port
		})
	}
}
