// Prose finds the phrases that DAAP's texts do not use, in documents, comments and string literals, and says what to
// write instead.
//
//	go run ./dev/prose api/errors.go         check one file
//	go run ./dev/prose openapi.yaml ./api    check a file and everything below a directory
//	go run ./dev/prose                       check the paths of dev/prose/clean.txt, as `make prose` does
//
// In Markdown, code and fenced blocks are not checked; in Go, only comments and string literals with more than one word
// are. Text between backquotes is never checked, so a phrase can be quoted. The rules are in rules.go.
package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed clean.txt
var clean string

func main() {
	paths := os.Args[1:]
	if len(paths) == 0 {
		paths = cleanPaths(clean)
	}
	found, err := run(paths, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "prose:", err)
		os.Exit(2)
	}
	if found > 0 {
		fmt.Fprintf(os.Stderr, "prose: %d phrases to rewrite; the rules are in dev/prose/rules.go\n", found)
		os.Exit(1)
	}
}

// cleanPaths returns the paths of a list: one per line, without comments. A pattern such as *.go means all its files.
func cleanPaths(list string) []string {
	var paths []string
	for line := range strings.Lines(list) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if files, err := filepath.Glob(line); err == nil && len(files) > 0 {
			paths = append(paths, files...)
		} else if line != "" {
			paths = append(paths, line)
		}
	}
	return paths
}

// run checks the files at and below the paths, writes a line for each finding, and returns their number.
func run(paths []string, out io.Writer) (int, error) {
	found := 0
	for _, path := range paths {
		err := filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() {
				if slices.Contains([]string{"oas", "node_modules", ".git"}, entry.Name()) {
					return filepath.SkipDir
				}
				return nil
			}
			findings, err := checkFile(file)
			for _, f := range findings {
				fmt.Fprintf(out, "%s:%d: %q: %s\n", file, f.line, f.phrase, f.advice)
			}
			found += len(findings)
			return err
		})
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

// checkFile returns the findings in a file. A file of a kind that is not read has none.
func checkFile(file string) ([]finding, error) {
	read := readers[filepath.Ext(file)]
	if read == nil {
		return nil, nil
	}
	source, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(source, []byte("// Code generated ")) {
		return nil, nil
	}
	passages, err := read(source)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	var findings []finding
	for _, p := range passages {
		findings = append(findings, p.check()...)
	}
	slices.SortStableFunc(findings, func(a, b finding) int { return a.line - b.line })
	return findings, nil
}
