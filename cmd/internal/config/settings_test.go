package config

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

//go:generate go test . -run ^TestSettingsPageIsUpToDate$ -update

var update = flag.Bool("update", false, "write docs/operators/settings.md")

const (
	root = "../../../"
	page = root + "docs/operators/settings.md"
)

// known are all settings by name.
func known(t *testing.T) map[string]Setting {
	t.Helper()
	all := map[string]Setting{}
	for _, group := range Settings() {
		for _, setting := range group.Settings {
			if _, twice := all[setting.Name]; twice {
				t.Errorf("%s is described twice", setting.Name)
			}
			all[setting.Name] = setting
		}
	}
	return all
}

func TestSettingsAreComplete(t *testing.T) {
	t.Parallel()
	described := known(t)
	read := map[string]string{}
	for _, of := range []reflect.Type{reflect.TypeFor[Codec](), reflect.TypeFor[Config]()} {
		for _, field := range fields(of, "") {
			read[field.name] = field.value
		}
	}
	if len(read) < 30 {
		t.Fatalf("only %d fields are read from variables", len(read))
	}
	for name := range read {
		if _, ok := described[name]; !ok {
			t.Errorf("%s is read but not described in settings_table.go", name)
		}
	}
	for name, setting := range described {
		value, ok := read[name]
		if !ok && strings.HasPrefix(name, "DAAP_") {
			t.Errorf("%s is described but not read", name)
		}
		if setting.Meaning == "" || len(setting.Readers) == 0 {
			t.Errorf("%s has no meaning, or no command reads it", name)
		}
		if value != "" && value != "required" && setting.Default != value {
			t.Errorf("%s is described with default %q, but it is %q", name, setting.Default, value)
		}
	}
}

func TestSettingsPageIsUpToDate(t *testing.T) {
	t.Parallel()
	if *update {
		if err := os.MkdirAll(filepath.Dir(page), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(page, []byte(markdown()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != markdown() {
		t.Error("docs/operators/settings.md differs from the settings: run go generate ./cmd/internal/config")
	}
}

// markdown is the text of docs/operators/settings.md.
func markdown() string {
	text := `# Settings

DAAP reads its settings from environment variables when a process starts. A missing or wrong value ends the process with
exit code 2 and one line that names the variable. ` + "`daap --help`" + ` prints this list too.

` + "`daap serve`" + ` reads the variables of ` + "`api`" + ` and ` + "`worker`" + `. Keep the variables marked secret in a Secret.

<!-- Generated from cmd/internal/config/settings_table.go by: go generate ./cmd/internal/config -->
`
	for _, group := range Settings() {
		text += "\n## " + group.Title + "\n\n| variable | default | read by | meaning |\n|---|---|---|---|\n"
		for _, setting := range group.Settings {
			meaning := strings.ReplaceAll(setting.Meaning, "|", `\|`)
			if setting.Secret {
				meaning = "**Secret.** " + meaning
			}
			text += fmt.Sprintf("| `%s` | %s | %s | %s |\n", setting.Name, strings.TrimPrefix(setting.shownDefault(), "default: "),
				strings.Join(setting.Readers, ", "), meaning)
		}
	}
	return text
}

func TestHelpShowsTheSettingsOfACommand(t *testing.T) {
	t.Parallel()
	all := Help("")
	for name, setting := range known(t) {
		if !strings.Contains(all, "  "+name) {
			t.Errorf("the help of daap does not show %s", name)
		}
		for _, command := range setting.Readers {
			if !strings.Contains(Help(command), "  "+name) {
				t.Errorf("the help of daap %s does not show %s", command, name)
			}
		}
	}
	if strings.Contains(Help("worker"), "DAAP_HTTP_ADDR") || !strings.Contains(Help("serve"), "DAAP_HTTP_ADDR") {
		t.Error("DAAP_HTTP_ADDR is shown for worker, or not for serve")
	}
	for line := range strings.SplitSeq(all, "\n") {
		if len(line) > helpWidth+10 {
			t.Errorf("the help has a line of %d characters: %s", len(line), line)
		}
	}
}

func TestComposeFileSetsOnlyKnownVariables(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(root + "docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Image       string
			Environment map[string]any
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	settings, found := known(t), 0
	for name, service := range file.Services {
		if service.Image != "daap:local" {
			continue
		}
		found++
		for variable := range service.Environment {
			if _, ok := settings[variable]; !ok {
				t.Errorf("service %s sets %s, which DAAP does not read", name, variable)
			}
		}
	}
	if found < 3 {
		t.Errorf("%d services run DAAP, want at least 3", found)
	}
}

// variables are DAAP's own; Temporal's are many, and read by its library.
var variables = regexp.MustCompile(`\bDAAP_[A-Z0-9_]*[A-Z0-9]\b`)

func TestManifestsNameOnlyKnownVariables(t *testing.T) {
	t.Parallel()
	settings, files := known(t), 0
	err := filepath.WalkDir(root+"deploy", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		for _, name := range variables.FindAllString(string(text), -1) {
			if _, ok := settings[name]; !ok {
				t.Errorf("%s names %s, which DAAP does not read", path, name)
			}
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files are read: %v", files, err)
	}
}
