// Package rights compares what accounts may do in Kubernetes with what they do there.
package rights

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Right is one verb on one resource, whose subresource follows a slash.
type Right struct{ Group, Resource, Verb string }

// String is the right as kubectl names it: patch clusters.postgresql.cnpg.io.
func (r Right) String() string {
	return strings.TrimSuffix(r.Verb+" "+r.Resource+"."+r.Group, ".")
}

// Granted returns what the named ClusterRoles among the manifests grant. One that is missing, or that grants all of
// something, is an error.
func Granted(manifests []byte, roles ...string) ([]Right, error) {
	missing := slices.Clone(roles)
	var all []Right
	for documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), len(manifests)); ; {
		var role rbacv1.ClusterRole
		err := documents.Decode(&role)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read manifests: %w", err)
		}
		if role.Kind != "ClusterRole" || !slices.Contains(roles, role.Name) {
			continue
		}
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == role.Name })
		for _, rule := range role.Rules {
			all = append(all, rightsOf(rule)...)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("read manifests: there is no ClusterRole %s", strings.Join(missing, ", "))
	}
	if i := slices.IndexFunc(all, Right.isWild); i >= 0 {
		return nil, fmt.Errorf("%s is more than anybody can use", all[i])
	}
	return all, nil
}

func rightsOf(rule rbacv1.PolicyRule) []Right {
	var all []Right
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				all = append(all, Right{group, resource, verb})
			}
		}
	}
	return all
}

func (r Right) isWild() bool { return strings.Contains(r.Group+r.Resource+r.Verb, "*") }

// Request is what the API server's audit log tells of one.
type Request struct {
	Verb string `json:"verb"`
	User struct {
		Username string `json:"username"`
	} `json:"user"`
	Object struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
		Group       string `json:"apiGroup"`
	} `json:"objectRef"`
	Status struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"responseStatus"`
	At time.Time `json:"requestReceivedTimestamp"`
}

// ReadLog reads an audit log, in order of time.
func ReadLog(log io.Reader) ([]Request, error) {
	var all []Request
	for lines := json.NewDecoder(log); ; {
		var request Request
		err := lines.Decode(&request)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		all = append(all, request)
	}
	slices.SortStableFunc(all, func(a, b Request) int { return a.At.Compare(b.At) })
	return all, nil
}

// accounts begin the names of DAAP's own.
const accounts = "system:serviceaccount:daap:"

// Unused returns those rights that none of the requests of DAAP's own accounts needed.
func Unused(granted []Right, log []Request) []Right {
	used := map[Right]bool{}
	for _, request := range log {
		if !strings.HasPrefix(request.User.Username, accounts) {
			continue // who else is in the log
		}
		for _, right := range request.needs() {
			used[right] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(granted), func(r Right) bool { return used[r] })
}

// needs are the rights that the request needed; none where it was refused.
func (r Request) needs() []Right {
	if r.refused() || r.Object.Resource == "" {
		return nil
	}
	right := Right{r.Object.Group, r.Object.Resource, r.Verb}
	if r.Object.Subresource != "" {
		right.Resource += "/" + r.Object.Subresource
	}
	all := []Right{right}
	if r.Verb == "patch" && r.Status.Code == 201 { // an apply of what is not there needs both
		all = append(all, Right{right.Group, right.Resource, "create"})
	}
	if r.Verb == "watch" { // who watches lists first, where the API server does not stream what there is
		all = append(all, Right{right.Group, right.Resource, "list"})
	}
	if r.bindsRole() {
		all = append(all, Right{rbacv1.GroupName, "clusterroles", "bind"})
	}
	return all
}

// bindsRole says whether the request made a RoleBinding.
func (r Request) bindsRole() bool { return r.Object.Resource == "rolebindings" && r.Status.Code == 201 }

// refused says whether RBAC refused the request, by its two sentences for it; admission has others.
func (r Request) refused() bool {
	return r.Status.Code == 403 &&
		(strings.Contains(r.Status.Message, " cannot ") || strings.Contains(r.Status.Message, "attempting to grant"))
}

// String says who asked for what.
func (r Request) String() string {
	resource := strings.TrimSuffix(r.Object.Resource+"/"+r.Object.Subresource, "/")
	right := Right{r.Object.Group, resource, r.Verb}
	return fmt.Sprintf("%s: %s by %s in %q: %d %s", r.At.Format(time.RFC3339Nano), right, r.User.Username,
		cmp.Or(r.Object.Namespace, r.Object.Name), r.Status.Code, r.Status.Message)
}

// settle is within what time every API server knows of a RoleBinding.
const settle = 10 * time.Second

// ofDatabase are the names of databases' namespaces.
var ofDatabase = regexp.MustCompile(`^daap-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// Refused returns those requests that RBAC refused though the account should have had the right: in the namespace of a
// database that was made and that nobody had deleted since, but for the moment after the worker let itself in, or
// elsewhere.
func Refused(log []Request) []Request {
	entered, made := map[string]time.Time{}, map[string]bool{}
	var all []Request
	for _, r := range log {
		at := r.Object.Namespace
		switch {
		case r.bindsRole():
			entered[at] = r.At
		case r.Object.Resource == "namespaces" && r.Verb == "patch" && r.Status.Code < 300:
			made[r.Object.Name] = true
		case r.Object.Resource == "namespaces" && r.Verb == "delete" && !r.refused():
			delete(made, r.Object.Name)
		case r.refused() && (made[at] || !ofDatabase.MatchString(at)) && r.At.Sub(entered[at]) > settle:
			all = append(all, r)
		}
	}
	return all
}
