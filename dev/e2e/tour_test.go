//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTourOfTheReadmeWorks runs the README's tour as a person would paste it, and stops at what fails.
func TestTourOfTheReadmeWorks(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, tour, found := strings.Cut(string(readme), "<!-- tour -->\n```sh\n")
	tour, _, closed := strings.Cut(tour, "\n```\n")
	if !found || !closed {
		t.Fatal("README.md has no tour")
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", tour)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("the tour ends with %v", err)
	}
	for _, want := range []string{
		`"status": "ok"`, `"owner_team": "shop"`, `"field": "name"`, `"field": "size"`, `"high_availability"`,
		`"role": "product-team"`, `"code": "not_found"`, `"status": "revoked"`, "shop/deploy\tdeleteDatabase", "The audit log holds",
		"hello", `"frozen"`, " back  \n", `"relisted_at"`, `"cost-centre": "42"`, `"restarts": true`, `"kind": "delete_database"`, `"status": "deleted"`,
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the tour does not print %s", want)
		}
	}
	if got := strings.Count(string(out), `"state": "succeeded"`); got != 3 {
		t.Errorf("%d operations of the tour succeeded, want 3", got)
	}
}
