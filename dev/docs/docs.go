// Package docs reads the documents of the repository: their commands, which the end-to-end tests run as they are, and
// their links, paths and names of tests, which the tests of this package check.
package docs

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Block is a fenced block of a page.
type Block struct {
	// Page is the path from the root of the repository, Line the number of the opening fence.
	Page string
	Line int
	// Language is what the fence says, such as sh.
	Language string
	// Name is from the comment `<!-- run: name -->` before the block; empty for a block that runs with its page.
	Name string
	Text string
}

// ID names the block: the page and the name, or the page and the line.
func (b Block) ID() string {
	if b.Name != "" {
		return b.Page + "#" + b.Name
	}
	return fmt.Sprintf("%s:%d", b.Page, b.Line)
}

// unrun has the commands that no test runs, by the beginning of their block, with the reason. Every other command is
// fenced as sh, and runs.
var unrun = map[string]string{
	"make demo     # start":     "starts the stack that the tests run on",
	"make demo     # the local": "starts and stops the stack that the tests run on",
	"make bench":                "takes half an hour and a quiet machine",
	"# 1. Accounts and rights":  "installs parts that the local stack already has",
	"AWS_ACCESS_KEY_ID=":        "needs barman-cli-cloud; an end-to-end test runs the script in a pod",
	"DAAP_TEMPORAL_CODEC_KEYS=": "needs a stack that encrypts; an end-to-end test runs the same server",
}

// Unrun returns the beginnings of the blocks that no test runs.
func Unrun() []string { return slices.Sorted(maps.Keys(unrun)) }

// WhyUnrun returns the beginning of a block that no test runs and the reason. Both are empty for any other block.
func WhyUnrun(b Block) (beginning, reason string) {
	for beginning, reason := range unrun {
		if strings.HasPrefix(b.Text, beginning) {
			return beginning, reason
		}
	}
	return "", ""
}

// Pages returns README.md and all pages below docs, as paths from the root of the repository.
func Pages(root string) ([]string, error) {
	pages := []string{"README.md"}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && filepath.Ext(path) == ".md" {
			path, err = filepath.Rel(root, path)
			pages = append(pages, filepath.ToSlash(path))
		}
		return err
	})
	return pages, err
}

var (
	fence = regexp.MustCompile("^\\s*```(.*)$")
	named = regexp.MustCompile(`^<!-- run: ([a-z-]+) -->$`)
)

// Blocks returns the fenced blocks of a page in their order. A block that does not end is an error.
func Blocks(root, page string) ([]Block, error) {
	content, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		return nil, err
	}
	var blocks []Block
	var open *Block
	name := ""
	for i, line := range strings.Split(string(content), "\n") {
		at := fence.FindStringSubmatch(line)
		switch {
		case open != nil && at != nil:
			blocks = append(blocks, *open)
			open, name = nil, ""
		case open != nil:
			open.Text += line + "\n"
		case at != nil:
			open = &Block{Page: page, Line: i + 1, Language: at[1], Name: name}
		default:
			name = ""
			if found := named.FindStringSubmatch(line); found != nil {
				name = found[1]
			}
		}
	}
	if open != nil {
		return nil, fmt.Errorf("%s:%d: the block does not end", page, open.Line)
	}
	return blocks, nil
}

// Commands returns the blocks of a page that are fenced as sh.
func Commands(root, page string) ([]Block, error) {
	blocks, err := Blocks(root, page)
	return slices.DeleteFunc(blocks, func(b Block) bool { return b.Language != "sh" }), err
}
