package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/daap-dev/daap/dev/docs"
)

// root is the root of the repository.
const root = "../.."

// languages are those that a fence may name. Commands are sh, or console where dev/docs/docs.go says why no test runs them.
var languages = []string{"sh", "console", "text", "json", "mermaid"}

func pages(t *testing.T) []string {
	t.Helper()
	all, err := docs.Pages(root)
	if err != nil || len(all) < 20 {
		t.Fatalf("found %d pages (%v), want those of docs and README.md", len(all), err)
	}
	return all
}

func TestEveryBlockIsRunOrNamesWhyNot(t *testing.T) {
	t.Parallel()
	claims := claimed(t)
	unrun := map[string]bool{}
	for _, page := range pages(t) {
		blocks, err := docs.Blocks(root, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			first, _, _ := strings.Cut(b.Text, "\n")
			beginning, reason := docs.WhyUnrun(b)
			switch {
			case !slices.Contains(languages, b.Language):
				t.Errorf("%s:%d: the fence names %q, want one of %v", b.Page, b.Line, b.Language, languages)
			case b.Language == "console" && reason == "":
				t.Errorf("%s:%d: no test runs it, and dev/docs/docs.go does not say why", b.Page, b.Line)
			case b.Language == "sh" && !claims(b):
				t.Errorf("%s: no end-to-end test names this block: %s", b.ID(), first)
			}
			unrun[beginning] = unrun[beginning] || b.Language == "console"
		}
	}
	for _, beginning := range docs.Unrun() {
		if !unrun[beginning] {
			t.Errorf("dev/docs/docs.go has %q, and no page has such a block", beginning)
		}
	}
}

// claimed returns a predicate for blocks that an end-to-end test names: a file with the page as a literal, and for a
// named block its name.
func claimed(t *testing.T) func(docs.Block) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "dev/e2e/*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("find the end-to-end tests: %v", err)
	}
	var literals []map[string]bool
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		has := map[string]bool{}
		ast.Inspect(tree, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					has[text] = true
				}
			}
			return true
		})
		literals = append(literals, has)
	}
	return func(b docs.Block) bool {
		return slices.ContainsFunc(literals, func(has map[string]bool) bool {
			return has[b.Page] && (b.Name == "" || has[b.Name])
		})
	}
}

func TestNamesOfBlocksAreUniqueOnTheirPage(t *testing.T) {
	t.Parallel()
	for _, page := range pages(t) {
		commands, err := docs.Commands(root, page)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for i, b := range commands {
			if seen[b.ID()] {
				t.Errorf("%s is there twice", b.ID())
			}
			seen[b.ID()] = true
			if i == 0 && (b.Name != "" || !strings.Contains(b.Text, ". docs/prelude.sh\n")) {
				t.Errorf("%s: the first block does not source docs/prelude.sh", b.ID())
			}
		}
	}
}

func TestBashParsesEveryBlock(t *testing.T) {
	t.Parallel()
	prelude, err := os.ReadFile(filepath.Join(root, "docs/prelude.sh"))
	if err != nil {
		t.Fatal(err)
	}
	parses(t, "docs/prelude.sh", string(prelude))
	for _, page := range pages(t) {
		commands, err := docs.Commands(root, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range commands {
			parses(t, b.ID(), b.Text)
			if strings.Contains(b.Text, "…") {
				t.Errorf("%s has a placeholder; make it a variable", b.ID())
			}
		}
	}
}

func parses(t *testing.T, name, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-n")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", name, err, out)
	}
}
