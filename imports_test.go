package daap_test

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/daap-dev/daap"

// reach says which packages a package may never depend on, directly or through others, and why. A name that ends with $ is
// that package alone, without those below it.
var reach = map[string]struct {
	never []string
	why   string
}{
	".": {
		never: []string{module + "/", "net/http", "github.com/jackc", "go.temporal.io", "k8s.io/client-go", "sigs.k8s.io/controller-runtime", "go.uber.org"},
		why:   "the domain knows no transport, driver or engine",
	},
	"./api": {
		never: []string{module + "/persistence", module + "/workflows", module + "/activities", "github.com/jackc", "go.temporal.io", "k8s.io/api", "k8s.io/client-go", "sigs.k8s.io/controller-runtime"},
		why:   "the edge reaches the world through the domain only",
	},
	"./persistence": {
		never: []string{module + "/api", module + "/workflows", module + "/activities", "go.temporal.io", "k8s.io/api", "k8s.io/client-go", "sigs.k8s.io/controller-runtime"},
		why:   "rows know neither HTTP, Temporal nor Kubernetes",
	},
	"./persistence/memory": {
		never: []string{module + "/api", module + "/migrations", module + "/workflows", module + "/activities", "github.com/jackc", "go.temporal.io", "net/http"},
		why:   "tests of every package use the store in memory, without PostgreSQL",
	},
	"./cmd/daap": {
		never: []string{module + "/persistence/memory"},
		why:   "a store that forgets is for tests",
	},
	"./activities/manifest": {
		never: []string{module + "/api", module + "/persistence", "go.temporal.io", "k8s.io/client-go", "sigs.k8s.io/controller-runtime", "github.com/jackc"},
		why:   "manifests are pure functions",
	},
	"./activities/diagnosis": {
		never: []string{
			module + "/activities$", module + "/activities/cluster", module + "/activities/postgres",
			module + "/activities/objectstore", module + "/api", module + "/persistence", "go.temporal.io", "github.com/jackc",
			"github.com/minio",
		},
		why: "a diagnosis reads Kubernetes and nothing else",
	},
	"./activities/cluster": {
		never: []string{
			module + "/activities$", module + "/activities/postgres", module + "/activities/objectstore", module + "/api",
			module + "/persistence", "go.temporal.io", "github.com/jackc", "github.com/minio",
		},
		why: "Kubernetes is reached without Temporal, PostgreSQL and the object store",
	},
	"./activities/postgres": {
		never: []string{
			module + "/activities$", module + "/activities/cluster", module + "/activities/objectstore", module + "/api",
			module + "/persistence", "go.temporal.io", "github.com/minio",
		},
		why: "PostgreSQL is reached without Temporal and the object store; its address comes through an interface",
	},
	"./activities/objectstore": {
		never: []string{module + "/activities$", module + "/api", module + "/persistence", "go.temporal.io"},
		why:   "the object store is reached without Temporal",
	},
	"./activities": {
		never: []string{module + "/api", module + "/persistence", module + "/workflows"},
		why:   "activities see rows through the interfaces they declare",
	},
	"./workflows": {
		never: []string{module + "/api", module + "/persistence"},
		why:   "workflows order activities and do nothing themselves",
	},
	"./dev/stack": {
		never: []string{module + "/api", module + "/persistence", module + "/workflows", module + "/activities", "go.temporal.io", "k8s.io", "sigs.k8s.io"},
		why:   "the stack must compile in seconds and run DAAP as any machine does",
	},
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	for pkg, rule := range reach {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", pkg).Output()
			if err != nil {
				t.Fatalf("go list -deps %s: %v", pkg, err)
			}
			for dep := range strings.FieldsSeq(string(out)) {
				for _, never := range rule.never {
					if exactly, is := strings.CutSuffix(never, "$"); is {
						if dep == exactly {
							t.Errorf("%s reaches %s, but %s", pkg, dep, rule.why)
						}
						continue
					}
					if dep == strings.TrimSuffix(never, "/") && pkg == "." {
						continue // the package itself
					}
					if dep == never || strings.HasPrefix(dep, strings.TrimSuffix(never, "/")+"/") {
						t.Errorf("%s reaches %s, but %s", pkg, dep, rule.why)
					}
				}
			}
		})
	}
}
