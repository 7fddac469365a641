// Command licences checks that the daap binary contains only modules with a licence from its list. Its argument is the
// root of the repository.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licences that the binary may contain, by their SPDX names. All of them let DAAP stay under
// Apache-2.0. MPL-2.0 does so for files that are not changed, and DAAP changes none.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0"}

// exceptions are modules without a licence file, each at one version, with the reason why it may stay.
var exceptions = map[string]string{
	"github.com/nexus-rpc/nexus-proto-annotations v0.1.0": "one generated file of Temporal's API definition: " +
		"go.temporal.io/api (MIT) imports it and does not compile without it; its publisher's other modules are MIT",
}

// recognised is how much of a licence file must be text of known licences, in percent. The rest is names and years.
const recognised = 75

var licenceFile = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying)([-._].*)?$`)

// linked is a module that packages of the binary come from.
type linked struct {
	dir string
	// files are the licence files beside the packages, by their path in the module.
	files map[string]bool
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: licences ROOT")
		os.Exit(2)
	}
	counts, problems, err := check(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
	if len(problems) > 0 {
		fmt.Fprintf(os.Stderr, "licences: the daap binary cannot be distributed:\n\n  %s\n\n%s\n",
			strings.Join(problems, "\n  "), remedy)
		os.Exit(1)
	}
	var shown []string
	for _, licence := range slices.Sorted(maps.Keys(counts)) {
		shown = append(shown, fmt.Sprintf("%s %d", licence, counts[licence]))
	}
	fmt.Fprintln(os.Stdout, "licences of the modules in the daap binary:", strings.Join(shown, ", "))
}

var remedy = `Allowed are ` + strings.Join(allowed, ", ") + `.
Replace the module: "go mod why -m MODULE" shows which import brings it. A module without a licence file, or with one
that is not recognised, may stay if its owner grants an allowed licence elsewhere: add it to exceptions in
dev/tools/licences/main.go, with the reason.`

// check returns how many modules have each licence, and what is wrong with the others.
func check(root string) (map[string]int, []string, error) {
	modules, err := modulesOf(root, "./cmd/daap")
	if err != nil {
		return nil, nil, err
	}
	counts, excepted := map[string]int{}, map[string]bool{}
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		module := modules[name]
		if len(module.files) == 0 {
			if _, excepted[name] = exceptions[name]; excepted[name] {
				counts["none, by exception"]++
			} else {
				problems = append(problems, name+" has no licence file")
			}
			continue
		}
		found, problem, err := licencesOf(module)
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("read the licence of %s: %w", name, err)
		case problem != "":
			problems = append(problems, name+" "+problem)
		default:
			counts[strings.Join(found, " and ")]++
		}
	}
	for name := range exceptions {
		if !excepted[name] {
			problems = append(problems, name+" is an exception that nothing needs any more: remove it")
		}
	}
	return counts, problems, nil
}

// modulesOf returns the modules, by path and version, that the packages of the program come from.
func modulesOf(root, program string) (map[string]linked, error) {
	list := exec.Command("go", "list", "-deps", "-json=Dir,Module", program)
	list.Dir = root
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOWORK=off")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages of %s: %w", program, err)
	}
	modules := map[string]linked{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg struct {
			Dir    string
			Module *struct {
				Path, Version, Dir string
				Main               bool
				Replace            *struct{ Path, Version, Dir string }
			}
		}
		switch err := decoder.Decode(&pkg); {
		case errors.Is(err, io.EOF):
			return modules, nil
		case err != nil:
			return nil, fmt.Errorf("read the packages of %s: %w", program, err)
		case pkg.Module == nil || pkg.Module.Main: // the standard library, and DAAP
			continue
		}
		name := pkg.Module.Path + " " + pkg.Module.Version
		if by := pkg.Module.Replace; by != nil {
			name = by.Path + " " + by.Version
		}
		module, known := modules[name]
		if !known {
			module = linked{dir: pkg.Module.Dir, files: map[string]bool{}}
			modules[name] = module
		}
		if err := module.add(pkg.Dir); err != nil {
			return nil, err
		}
	}
}

// add adds the licence files of the package's directory and of those above it, up to the module's.
func (m linked) add(dir string) error {
	for {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if entry.Type().IsRegular() && licenceFile.MatchString(entry.Name()) && filepath.Ext(entry.Name()) != ".go" {
				relative, err := filepath.Rel(m.dir, filepath.Join(dir, entry.Name()))
				if err != nil {
					return err
				}
				m.files[relative] = true
			}
		}
		if dir == m.dir || !strings.HasPrefix(dir, m.dir) {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}

// licencesOf returns the licences in the module's files, or the problem with one of them.
func licencesOf(m linked) (found []string, problem string, err error) {
	for _, file := range slices.Sorted(maps.Keys(m.files)) {
		text, err := os.ReadFile(filepath.Join(m.dir, file))
		if err != nil {
			return nil, "", err
		}
		coverage := licensecheck.Scan(text)
		for _, match := range coverage.Match {
			if !slices.Contains(allowed, match.ID) {
				return nil, fmt.Sprintf("is under %s (%s)", match.ID, file), nil
			}
			found = append(found, match.ID)
		}
		if coverage.Percent < recognised {
			return nil, fmt.Sprintf("has a licence that is not recognised (%s)", file), nil
		}
	}
	slices.Sort(found)
	return slices.Compact(found), "", nil
}
