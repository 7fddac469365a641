package main

import (
	"go/scanner"
	"go/token"
	"regexp"
	"strconv"
	"strings"
)

// readers has, for each kind of file, the function that takes its prose out of it.
var readers = map[string]func([]byte) ([]passage, error){
	".md":   markdown,
	".go":   golang,
	".yaml": yaml,
	".yml":  yaml,
}

// passage is text that is read in one go: a paragraph, an item of a list, a cell, a comment or a string.
type passage struct {
	text string
	// lines has the line in the file of each line of text.
	lines   []int
	heading bool
}

// add appends a line of the file.
func (p *passage) add(line int, text string) {
	if len(p.lines) > 0 {
		p.text += "\n"
	}
	p.text += text
	p.lines = append(p.lines, line)
}

// lineAt returns the line in the file of an offset in the text.
func (p *passage) lineAt(offset int) int {
	return p.lines[min(strings.Count(p.text[:offset], "\n"), len(p.lines)-1)]
}

// finding is a phrase that a rule refuses.
type finding struct {
	line           int
	phrase, advice string
}

// check returns the findings in a passage.
func (p *passage) check() []finding {
	text := quoted.ReplaceAllStringFunc(p.text, blank)
	var findings []finding
	for _, r := range rules {
		if p.heading && r.notInHeadings {
			continue
		}
		for _, at := range r.refuses.FindAllStringIndex(text, -1) {
			phrase := text[at[0]:at[1]]
			if r.but != nil && r.but.MatchString(phrase) {
				continue
			}
			start := at[0] + len(phrase) - len(strings.TrimLeft(phrase, " \n.;:!?"))
			phrase = strings.Join(strings.Fields(phrase), " ")
			if letters := []rune(phrase); len(letters) > 60 {
				phrase = string(letters[:59]) + "…"
			}
			findings = append(findings, finding{line: p.lineAt(start), phrase: phrase, advice: r.advice})
		}
	}
	return findings
}

// quoted matches text that is not the writer's own: code, and the targets of links.
var quoted = regexp.MustCompile("`[^`]*`" + `|\]\([^)]*\)|<https?:[^>]*>`)

// blank returns a word without meaning of the same length, with the line breaks where they were.
func blank(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		return '_'
	}, text)
}

var (
	item  = regexp.MustCompile(`^\s*(?:[-*]|\d+\.)\s+`)
	fence = regexp.MustCompile("^\\s*(```+|~~~+)")
)

// markdown returns the paragraphs, items, cells and headings of a document, without its fenced blocks.
func markdown(source []byte) ([]passage, error) {
	var passages []passage
	var current passage
	end := func() {
		if len(current.lines) > 0 {
			passages = append(passages, current)
		}
		current = passage{}
	}
	open := ""
	number := 0
	for line := range strings.Lines(string(source)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if marker := fence.FindString(line); open != "" || marker != "" {
			end()
			if marker = strings.TrimSpace(marker); open == "" {
				open = marker
			} else if strings.HasPrefix(marker, open) {
				open = ""
			}
			continue
		}
		text := strings.TrimSpace(line)
		switch {
		case text == "":
			end()
		case strings.HasPrefix(text, "#"):
			end()
			passages = append(passages, passage{text: strings.TrimLeft(text, "# "), lines: []int{number}, heading: true})
		case strings.HasPrefix(text, "|"):
			end()
			for cell := range strings.SplitSeq(text, "|") {
				passages = append(passages, passage{text: strings.TrimSpace(cell), lines: []int{number}})
			}
		default:
			if marker := item.FindString(line); marker != "" {
				end()
				text = line[len(marker):]
			}
			current.add(number, text)
		}
	}
	end()
	return passages, nil
}

// golang returns the comments and the string literals of a Go file. Comments on lines that follow each other are one.
func golang(source []byte) ([]passage, error) {
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(source))
	var errs scanner.ErrorList
	var s scanner.Scanner
	s.Init(file, source, errs.Add, scanner.ScanComments)
	var passages []passage
	var comment passage
	end := func() {
		if len(comment.lines) > 0 {
			passages = append(passages, comment)
		}
		comment = passage{}
	}
	for {
		pos, kind, text := s.Scan()
		line := file.Line(pos)
		switch kind {
		case token.EOF:
			end()
			return passages, errs.Err()
		case token.COMMENT:
			if n := len(comment.lines); n > 0 && comment.lines[n-1] != line-1 {
				end()
			}
			if directive(text) {
				continue
			}
			for i, part := range strings.Split(text, "\n") {
				comment.add(line+i, strings.Trim(part, "/* \t\r"))
			}
		case token.STRING:
			end()
			if value, err := strconv.Unquote(text); err == nil && strings.ContainsAny(strings.TrimSpace(value), " \n") {
				passages = append(passages, literal(value, line, text[0] == '`'))
			}
		case token.SEMICOLON:
			// A line's end, which the scanner puts between comments and code.
		default:
			end()
		}
	}
}

// literal returns the passage of a string, which spans lines of the file only if it is raw.
func literal(value string, line int, raw bool) passage {
	p := passage{text: strings.ReplaceAll(value, "`", "'")}
	for i := range strings.Count(value, "\n") + 1 {
		if !raw {
			i = 0
		}
		p.lines = append(p.lines, line+i)
	}
	return p
}

// directive reports whether a comment is for a tool.
func directive(comment string) bool {
	return strings.HasPrefix(comment, "//go:") || strings.HasPrefix(comment, "//nolint")
}

// yamlKey matches the indentation, the key and the quote before a value.
var yamlKey = regexp.MustCompile(`^\s*(?:- )*(?:['"]?[A-Za-z_$/{}.*-][\w$/{}.*-]*['"]?:(?:\s+|$))?[|>]?-?\s*['"]?`)

// yaml returns the values and the comments of a YAML file. Lines without a key belong to the value before them.
func yaml(source []byte) ([]passage, error) {
	var passages []passage
	var current passage
	end := func() {
		if len(current.lines) > 0 {
			passages = append(passages, current)
		}
		current = passage{}
	}
	number := 0
	for line := range strings.Lines(string(source)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		before := yamlKey.FindString(line)
		text := strings.TrimSpace(line[len(before):])
		switch {
		case strings.TrimSpace(line) == "":
			end()
			continue
		case strings.HasPrefix(strings.TrimSpace(line), "#"):
			text = strings.TrimLeft(strings.TrimSpace(line), "# ")
		case strings.HasPrefix(strings.TrimSpace(line), "|"):
			end()
			for cell := range strings.SplitSeq(text, "|") {
				passages = append(passages, passage{text: strings.TrimSpace(cell), lines: []int{number}})
			}
			continue
		case strings.ContainsAny(before, ":-"):
			end()
		}
		current.add(number, text)
	}
	end()
	return passages, nil
}
