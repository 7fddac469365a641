package docs_test

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// The most lines of a page, and of README.md and ARCHITECTURE.md.
const (
	maxPage         = 300
	maxReadme       = 200
	maxArchitecture = 200
)

// documents returns the Markdown files of the repository, as paths from its root.
func documents(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "*.md").Output()
	files := strings.Fields(string(out))
	if err != nil || len(files) < 20 {
		t.Fatalf("list the Markdown files: %v (%d found)", err, len(files))
	}
	return files
}

// read returns the text of a document without its fenced blocks.
func read(t *testing.T, document string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, document))
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile("(?ms)^\\s*```.*?^\\s*```$").ReplaceAllString(string(content), "")
}

var link = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)

func TestRelativeLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	for _, document := range documents(t) {
		for _, found := range link.FindAllStringSubmatch(read(t, document), -1) {
			if strings.Contains(found[1], "://") || strings.HasPrefix(found[1], "mailto:") {
				continue
			}
			target, anchor, _ := strings.Cut(found[1], "#")
			file := path.Join(path.Dir(document), target)
			if target == "" {
				file = document
			}
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s links to %s, which does not exist", document, found[1])
				continue
			}
			if anchor != "" && !anchors(t, file)[anchor] {
				t.Errorf("%s links to %s, and %s has no such heading", document, found[1], file)
			}
		}
	}
}

// anchors returns the anchors that GitHub gives the headings of a document.
func anchors(t *testing.T, document string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(read(t, document), -1) {
		all[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, heading[1])] = true
	}
	return all
}

func TestEveryPageIsListedInTheIndex(t *testing.T) {
	t.Parallel()
	index := read(t, "docs/README.md")
	for _, page := range pages(t) {
		inside := strings.TrimPrefix(page, "docs/")
		if page == "README.md" || page == "docs/README.md" || strings.HasPrefix(inside, "decisions/") {
			continue
		}
		if strings.HasPrefix(inside, "operators/causes-") { // which the page of all causes lists
			if !strings.Contains(read(t, "docs/operators/causes.md"), "("+path.Base(page)) {
				t.Errorf("docs/operators/causes.md does not link to %s", page)
			}
			continue
		}
		if !strings.Contains(index, "]("+inside+")") {
			t.Errorf("docs/README.md does not link to %s", page)
		}
	}
}

func TestPagesAreShort(t *testing.T) {
	t.Parallel()
	for _, page := range append(pages(t), "ARCHITECTURE.md") {
		content, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		most := map[string]int{"README.md": maxReadme, "ARCHITECTURE.md": maxArchitecture}[page]
		if most == 0 {
			most = maxPage
		}
		if lines := bytes.Count(content, []byte("\n")); lines > most {
			t.Errorf("%s has %d lines, want at most %d", page, lines, most)
		}
	}
}

var (
	code = regexp.MustCompile("`([^`\\s]+)`")
	test = regexp.MustCompile(`^Test[A-Z]\w+$`)
	file = regexp.MustCompile(`^[\w./-]+(?:/|\.go|\.sh|\.yaml|\.sql|\.md)$`)
)

func TestTestsThatDocumentsNameExist(t *testing.T) {
	t.Parallel()
	declared := `^func (\(s suite\) [A-Z]|Test)\w+`
	out, err := exec.CommandContext(t.Context(), "git", "-C", root, "grep", "-hoE", "--untracked", declared, "--", "*_test.go").Output()
	if err != nil {
		t.Fatalf("list the tests: %v", err)
	}
	exist := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		name := strings.TrimPrefix(strings.TrimSpace(line), "func ")
		if method, found := strings.CutPrefix(name, "(s suite) "); found {
			name = "Test" + method // the store's suite runs it
		}
		exist[name] = true
	}
	for _, document := range documents(t) {
		for _, name := range code.FindAllStringSubmatch(read(t, document), -1) {
			if test.MatchString(name[1]) && !exist[name[1]] {
				t.Errorf("%s names %s, and there is no such test", document, name[1])
			}
		}
	}
}

func TestFilesThatTheCodeMapNamesExist(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatalf("list the files: %v", err)
	}
	bases := map[string]bool{} // a file may be named without its directory
	for _, name := range strings.Fields(string(out)) {
		bases[path.Base(name)] = true
	}
	for _, document := range []string{"ARCHITECTURE.md", "CONTRIBUTING.md"} {
		for _, name := range code.FindAllStringSubmatch(read(t, document), -1) {
			if !file.MatchString(name[1]) || strings.HasPrefix(name[1], "/") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, name[1])); err != nil && !bases[name[1]] {
				t.Errorf("%s names %s, which does not exist", document, name[1])
			}
		}
	}
}

func TestEveryInvariantNamesItsTest(t *testing.T) {
	t.Parallel()
	_, invariants, found := strings.Cut(read(t, "ARCHITECTURE.md"), "\n## Invariants\n")
	invariants, _, _ = strings.Cut(invariants, "\n## ")
	items := regexp.MustCompile(`(?m)^\d+\. `).Split(invariants, -1)
	if !found || len(items) < 20 {
		t.Fatalf("ARCHITECTURE.md has %d invariants, want a numbered list", len(items)-1)
	}
	for i, item := range items[1:] {
		if !strings.Contains(item, "`Test") {
			t.Errorf("invariant %d names no test: %s", i+1, item)
		}
	}
}

func TestEveryConditionHasItsRemedy(t *testing.T) {
	t.Parallel()
	contract, err := os.ReadFile(filepath.Join(root, "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, enum, _ := strings.Cut(string(contract), "\n    ConditionType:\n")
	_, enum, _ = strings.Cut(enum, "\n      enum:\n")
	enum, _, _ = strings.Cut(enum, "\n    ConditionStatus:")
	want := regexp.MustCompile(`(?m)^ +- (\w+)$`).FindAllStringSubmatch(enum, -1)
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)` \\((?:True|False)\\) ").FindAllStringSubmatch(read(t, "docs/operators/fleet.md"), -1)
	if len(want) == 0 || len(rows) != len(want) {
		t.Fatalf("fleet.md explains %d conditions, want the %d of the contract", len(rows), len(want))
	}
	for i := range want {
		if !slices.ContainsFunc(rows, func(row []string) bool { return row[1] == want[i][1] }) {
			t.Errorf("fleet.md does not explain %s", want[i][1])
		}
	}
}
