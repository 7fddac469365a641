//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/daap-dev/daap/api/oas"
)

var runbookBlock = regexp.MustCompile("(?s)<!-- run: ([a-z-]+) -->\n```sh\n(.*?)```")

// runbook are the commands of dev/runbook.md by the name of their block.
func runbook(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "runbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]string{}
	for _, block := range runbookBlock.FindAllStringSubmatch(string(text), -1) {
		blocks[block[1]] = block[2]
	}
	return blocks
}

// TestRunbookMovesAParkedOperation runs every command of the runbook, as it stands, against an operation that
// needs attention: in the API, with temporal and with tctl.
func TestRunbookMovesAParkedOperation(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	refuseClustersOf(ctx, t, "runbook")
	db, operation := createFor(ctx, t, "runbook", "runbook")
	op := parked(ctx, t, operation)
	blocks := runbook(t)
	ran := map[string]bool{"setup": true}
	run := func(name string) string {
		t.Helper()
		ran[name] = true
		return shell(ctx, t, blocks["setup"]+blocks[name], "operation="+operation.String(), "cause=REJECTED")
	}
	listed(t, run("list"), operation.String(), op.WorkflowID)
	listed(t, run("look"), "REJECTED", "parked", "Pending", "daap.decide", "Needs attention")

	for i, name := range []string{"retry-api", "retry-temporal", "retry-tctl", "retry-all"} {
		run(name)
		until(ctx, t, name+" is carried out, and it parks again", func() bool {
			count := countEvents(ctx, t, db.ID)
			return count[oas.EventKindDecided] == i+1 && count[oas.EventKindParked] == i+2
		})
	}
	run("reset")
	until(ctx, t, "the reset run parks", func() bool {
		return strings.Contains(shell(ctx, t, blocks["setup"]+`temporal workflow metadata --namespace daap --workflow-id "$workflow"`,
			"operation="+operation.String()), "Needs attention")
	})
	listed(t, run("abort"), `"cancelled"`, `"cancelled_by": "you"`)
	nothingLeft(ctx, t, db.ID)
	for name := range blocks {
		if !ran[name] {
			t.Errorf("no test runs the commands %s of the runbook", name)
		}
	}
}

func listed(t *testing.T, out string, want ...string) {
	t.Helper()
	for _, part := range want {
		if !strings.Contains(out, part) {
			t.Errorf("it does not print %q:\n%s", part, out)
		}
	}
}
