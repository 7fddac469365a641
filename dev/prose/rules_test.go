package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// refused has sentences that a rule refuses, and allowed their right forms and good sentences that are nearly like them.
var (
	refused = []string{
		"What is deleted cannot be recovered.",
		"It stops; what waits is archived later.",
		"It says so where what was asked for is late.",
		"A foreign resource answers what is missing answers.",
		"It keeps what of it the team reads.",
		"The archive is that which no restore needs.",
		"A chain, the head of which goes to the store.",
		"An archive is pruned by who writes to it.",
		"No backups: nobody has them.",
		"Whoever owns the database changes it.",
		"Arguments are everybody's to read.",
		"Its row is locked after that of the operation.",
		"A restore to a second of one's choice.",
		"The owner sees all there is.",
		"A mistake is told field by field.",
		"The row tells whether it runs.",
		"The worker looks at each database.",
		"It has a look at the fleet.",
		"The runner sees to it that it stops.",
		"The worker tries whether the bucket is there.",
		"A key is believed for ten seconds.",
		"The node is away.",
		"All is well.",
		"The Service is made anew.",
		"The parts thereof are listed.",
		"Retry when the cause is mended.",
		"The status is not, and neither what it finishes either.",
		"Lost data cannot be had back.",
		"Whatever comes of it, the answer is 202.",
		"The run goes on with the next step.",
		"The operation does not get on.",
		"Since when that is so.",
		"It is gone by now.",
		"It encrypts payloads besides.",
		"There are none other.",
	}
	allowed = []string{
		"What is a tier? What to do: retry it. What if it fails?",
		"DAAP deletes what it created. The API says what happened and what to do.",
		"It explains why it stopped and what it needs; whatever happens, it retries.",
		"For a product team, another team's resource returns the same 404 as one that does not exist.",
		"A chain whose head goes to the store. It has steps, each of which may fail.",
		"The process that writes an archive prunes it. Operators for whom this matters read on.",
		"No user has backups. The owner changes it. Everybody is welcome.",
		"The row is locked after the operation's row. One of those two, that of course included.",
		"Restore to any second. Everything is shown.",
		"A mistake is reported field by field. You cannot tell whether it runs. As I told you.",
		"Look at the operation, and look for its cause. The worker checks each database.",
		"See the runbook. It makes sure that it stops. It says whether it runs.",
		"It checks whether the bucket is there. It is believable. The node is down. Well done.",
		"The Service is re-created. Fix the cause. It recovers the data and gets back a 404.",
		"Neither the status nor the finalizer counts. Either works.",
		"The step continues. Turn it on with a flag. The operation makes no progress.",
		"It is so slow. If so, retry. By nowhere. Besides the row, it writes an event.",
		"The database runs on. None of them is lost. Quote a phrase: `made anew`.",
		"A run of which is not checked in code: `of which`.",
	}
)

func TestIdiomIsRefusedAndItsRightFormIsNot(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, sentence := range refused {
		p := passage{text: sentence, lines: []int{1}}
		findings := p.check()
		if len(findings) == 0 {
			t.Errorf("not refused: %s", sentence)
		}
		for _, f := range findings {
			used[f.advice] = true
		}
	}
	for _, r := range rules {
		if !used[r.advice] {
			t.Errorf("no sentence shows the rule %q", r.advice)
		}
	}
	for _, sentence := range allowed[:len(allowed)-1] {
		p := passage{text: sentence, lines: []int{1}}
		for _, f := range p.check() {
			t.Errorf("refused, by %q: %q in %s", f.advice, f.phrase, sentence)
		}
	}
}

func TestProseIsFoundAtItsLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, want string }{
		"a paragraph over lines":  {"a.md", "3"},
		"a cell of a table":       {"b.md", "3"},
		"a list item":             {"c.md", "2"},
		"not a fenced block":      {"d.md", ""},
		"not code in a line":      {"e.md", ""},
		"a docstring over lines":  {"f.go", "4"},
		"a string":                {"g.go", "3"},
		"a raw string over lines": {"h.go", "4"},
		"not an identifier":       {"i.go", ""},
		"not generated code":      {"j.go", ""},
		"a value over lines":      {"k.yaml", "3"},
		"a comment in YAML":       {"l.yaml", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), c.file)
			if err := os.WriteFile(file, []byte(files[c.file]), 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if _, err := run([]string{filepath.Dir(file)}, &out); err != nil {
				t.Fatal(err)
			}
			got := strings.TrimPrefix(out.String(), file+":")
			if got, _, _ = strings.Cut(got, ":"); got != c.want {
				t.Errorf("found at line %q, want %q:\n%s", got, c.want, &out)
			}
		})
	}
}

// files are the sources for the test of lines, each with the phrase at one line.
var files = map[string]string{
	"a.md":   "It is\nmade\nanew here.\n\nGood.\n",
	"b.md":   "| a | b |\n|---|---|\n| good | made anew |\n",
	"c.md":   "- good\n- made anew\n",
	"d.md":   "```text\nmade anew\n```\n",
	"e.md":   "It says `made anew`.\n",
	"f.go":   "package p\n\n// F does it\n// anew.\nfunc F() {}\n",
	"g.go":   "package p\n\nvar s = \"made anew\"\n",
	"h.go":   "package p\n\nvar s = `good\nmade anew`\n",
	"i.go":   "package p\n\nvar anew = \"anew\"\n",
	"j.go":   "// Code generated by a tool. DO NOT EDIT.\n\npackage p\n\n// F does it anew.\nfunc F() {}\n",
	"k.yaml": "description: |\n  good\n  made anew\nother: good\n",
	"l.yaml": "# Made anew.\na: b\n",
}
