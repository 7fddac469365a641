package rights_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/dev/rights"
)

const roles = `
kind: ClusterRole
metadata: {name: worker}
rules:
- {apiGroups: [""], resources: [pods, pods/log], verbs: [get]}
- {apiGroups: [rbac.authorization.k8s.io], resources: [rolebindings], verbs: [create, patch]}
- {apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], verbs: [bind]}
---
kind: ClusterRole
metadata: {name: other}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
`

// line is one of an audit log, so many seconds after its begin.
func line(second int, verb, group, resource, namespace, name string, code int, message string) string {
	resource, subresource, _ := strings.Cut(resource, "/")
	return fmt.Sprintf(`{"verb":%q,"user":{"username":"system:serviceaccount:daap:worker"},"requestReceivedTimestamp":%q,
		"objectRef":{"resource":%q,"subresource":%q,"namespace":%q,"name":%q,"apiGroup":%q},
		"responseStatus":{"code":%d,"message":%q}}`+"\n",
		verb, time.Unix(int64(second), 0).UTC().Format(time.RFC3339Nano), resource, subresource, namespace, name, group, code, message)
}

const (
	rbac   = "rbac.authorization.k8s.io"
	cannot = `pods is forbidden: User "worker" cannot get resource "pods" in API group "" in the namespace "n"`
)

func logOf(t *testing.T, lines ...string) []rights.Request {
	t.Helper()
	log, err := rights.ReadLog(strings.NewReader(strings.Join(lines, "")))
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func TestRightIsUnusedUntilARequestNeedsIt(t *testing.T) {
	t.Parallel()
	granted, err := rights.Granted([]byte(roles), "worker")
	if err != nil || len(granted) != 5 {
		t.Fatalf("Granted() = %v, %v, want five", granted, err)
	}
	for name, tt := range map[string]struct {
		log  []string
		want string
	}{
		"nothing is asked": {nil, "get pods, get pods/log, create rolebindings.rbac.authorization.k8s.io, " +
			"patch rolebindings.rbac.authorization.k8s.io, bind clusterroles.rbac.authorization.k8s.io"},
		"refused, and of another group": {[]string{
			line(0, "get", "", "pods", "n", "p", 403, cannot), line(0, "patch", "other", "rolebindings", "n", "r", 201, ""),
			line(0, "patch", rbac, "rolebindings", "n", "r", 201, ""),
		}, "get pods, get pods/log"},
		"applied to what is there": {[]string{
			line(0, "get", "", "pods", "n", "p", 200, ""), line(0, "get", "", "pods/log", "n", "p", 200, ""),
			line(0, "patch", rbac, "rolebindings", "n", "r", 200, ""),
		}, "create rolebindings.rbac.authorization.k8s.io, bind clusterroles.rbac.authorization.k8s.io"},
		"another's": {
			[]string{strings.ReplaceAll(line(0, "get", "", "pods", "n", "p", 200, ""), "daap:worker", "other:worker")},
			"get pods, get pods/log, create rolebindings.rbac.authorization.k8s.io, " +
				"patch rolebindings.rbac.authorization.k8s.io, bind clusterroles.rbac.authorization.k8s.io",
		},
		"all": {[]string{
			line(0, "get", "", "pods", "n", "p", 404, ""), line(0, "get", "", "pods/log", "n", "p", 200, ""),
			line(0, "patch", rbac, "rolebindings", "n", "r", 201, ""),
		}, ""},
	} {
		var got []string
		for _, right := range rights.Unused(granted, logOf(t, tt.log...)) {
			got = append(got, right.String())
		}
		if got := strings.Join(got, ", "); got != tt.want {
			t.Errorf("%s: unused is %q, want %q", name, got, tt.want)
		}
	}
}

func TestWhoWatchesNeedsToList(t *testing.T) {
	t.Parallel()
	granted := []rights.Right{{Resource: "pods", Verb: "list"}, {Resource: "pods", Verb: "watch"}, {Resource: "secrets", Verb: "list"}}
	unused := rights.Unused(granted, logOf(t, line(0, "watch", "", "pods", "", "", 200, "")))
	if len(unused) != 1 || unused[0] != granted[2] {
		t.Errorf("unused is %v, want the right to list Secrets alone", unused)
	}
	if unused := rights.Unused(granted, logOf(t, line(0, "list", "", "pods", "", "", 200, ""))); len(unused) != 2 {
		t.Errorf("unused is %v, want also the right to watch", unused)
	}
}

func TestRightsThatCannotBeComparedAreAnError(t *testing.T) {
	t.Parallel()
	for name, role := range map[string]string{"wild": "other", "missing": "nobody"} {
		if granted, err := rights.Granted([]byte(roles), role); err == nil {
			t.Errorf("%s: Granted() = %v, want an error", name, granted)
		}
	}
	if _, err := rights.ReadLog(strings.NewReader(`{"verb":`)); err == nil {
		t.Error("a log that is cut is read")
	}
}

func TestRefusedIsWhatTheAccountShouldHaveHadTheRightTo(t *testing.T) {
	t.Parallel()
	const n = "daap-0190a0a0-0000-7000-8000-000000000002"
	made := line(1, "patch", "", "namespaces", "", n, 201, "")
	enter := made + line(10, "patch", rbac, "rolebindings", n, "worker", 201, "")
	refused := func(second int) string { return line(second, "get", "", "pods", n, "p", 403, cannot) }
	leave := line(30, "delete", "", "namespaces", "", n, 200, "")
	for name, tt := range map[string]struct {
		log  []string
		want int
	}{
		"not made":                   {[]string{refused(5)}, 0},
		"never let in":               {[]string{made, refused(15)}, 1},
		"made again":                 {[]string{enter, leave, line(35, "patch", "", "namespaces", "", n, 201, ""), refused(40)}, 1},
		"just let in":                {[]string{enter, refused(12)}, 0},
		"let in a while ago":         {[]string{enter, refused(25)}, 1},
		"before it leaves, unsorted": {[]string{leave, enter, refused(25)}, 1},
		"after it left":              {[]string{enter, leave, refused(40)}, 0},
		"elsewhere":                  {[]string{enter, leave, line(40, "get", "", "pods", "m", "p", 403, cannot)}, 1},
		"might not leave": {[]string{
			enter, line(30, "delete", "", "namespaces", "", n, 403, `User "worker" cannot delete resource "namespaces"`), refused(40),
		}, 2},
		"grants what it has not": {[]string{line(5, "patch", rbac, "rolebindings", "n", "r", 403,
			`user "worker" is attempting to grant RBAC permissions not currently held`)}, 1},
		"refused by admission": {[]string{line(5, "patch", "", "pods", "n", "p", 403, "exceeded quota: small")}, 0},
	} {
		if got := rights.Refused(logOf(t, tt.log...)); len(got) != tt.want {
			t.Errorf("%s: refused is %v, want %d", name, got, tt.want)
		}
	}
}

// TestDeployedAreThoseThatNamespacesAreMadeWith finds a name in deploy/kubernetes that the worker binds by another.
func TestDeployedAreThoseThatNamespacesAreMadeWith(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../deploy/kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("deploy/kubernetes has %v, %v", files, err)
	}
	var roles, accounts []string
	bounded := false
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for document := range bytes.SplitSeq(content, []byte("\n---\n")) {
			var role rbacv1.ClusterRole
			if err := yaml.Unmarshal(document, &role); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			switch role.Kind {
			case "ClusterRole":
				roles = append(roles, role.Name)
			case "ServiceAccount":
				var account corev1.ServiceAccount
				if err := yaml.Unmarshal(document, &account); err != nil {
					t.Fatal(err)
				}
				accounts = append(accounts, account.Namespace+"/"+account.Name)
			case "ValidatingAdmissionPolicy":
				bounded = bytes.Contains(document, []byte(
					"system:serviceaccount:"+manifest.ServiceNamespace+":"+manifest.WorkerAccount+"'"))
			}
		}
	}
	for _, want := range []string{manifest.DatabaseRole, manifest.ConnectionRole} {
		if !slices.Contains(roles, want) {
			t.Errorf("ClusterRoles are %v, want %s among them", roles, want)
		}
	}
	if want := manifest.ServiceNamespace + "/" + manifest.WorkerAccount; !slices.Contains(accounts, want) || !bounded {
		t.Errorf("accounts are %v, bounded: %t; want %s among them, and bounded", accounts, bounded, want)
	}
}
