package daap

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"unicode"
	"unicode/utf8"
)

// Rule is the rule for a name. Text completes a sentence that begins with the field's name; the API's contract carries
// the same text as x-rule.
type Rule struct {
	Pattern  *regexp.Regexp
	Min, Max int
	Text     string
}

var hyphenated = regexp.MustCompile(`^[a-z](-?[a-z0-9])*$`)

// NameRule is the rule for a database's name. It fits into a Kubernetes label and a DNS name.
var NameRule = Rule{
	Pattern: hyphenated, Min: 3, Max: 40,
	Text: "must be 3 to 40 lower-case letters, digits and single hyphens, " +
		"beginning with a letter and ending with a letter or digit",
}

// TeamRule is the rule for a team's name. It fits into a Kubernetes label.
var TeamRule = Rule{
	Pattern: hyphenated, Min: 2, Max: 40,
	Text: "must be 2 to 40 lower-case letters, digits and single hyphens, " +
		"beginning with a letter and ending with a letter or digit",
}

const (
	maxDescription = 500
	maxLabels      = 32
	maxLabelValue  = 128
)

// dnsName matches the names of storage classes and buckets (RFC 1123).
var dnsName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// maxDNSName is the maximum length of such a name.
const maxDNSName = 253

var labelKey = regexp.MustCompile(`^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$`)

// checks collects all problems of a request, so that the response lists them all at once.
type checks struct{ details []Detail }

func (c *checks) fail(field, format string, args ...any) {
	c.details = append(c.details, Detail{Field: field, Message: fmt.Sprintf(format, args...)})
}

func (c *checks) name(field, value string, rule Rule) {
	if len(value) < rule.Min || len(value) > rule.Max || !rule.Pattern.MatchString(value) {
		c.fail(field, "%s", rule.Text)
	}
}

// sentence checks text that must not be empty.
func (c *checks) sentence(field, value string, limit int) {
	if n := utf8.RuneCountInString(value); n == 0 || n > limit || !printable(value) {
		c.fail(field, "must be text of 1 to %d characters", limit)
	}
}

func (c *checks) text(field, value string, limit int) {
	if utf8.RuneCountInString(value) > limit {
		c.fail(field, "must be text of at most %d characters", limit)
	}
	if !printable(value) {
		c.fail(field, "must be UTF-8 text without control characters")
	}
}

func (c *checks) labels(labels map[string]string) {
	if len(labels) > maxLabels {
		c.fail("labels", "must have at most %d entries", maxLabels)
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if !labelKey.MatchString(key) {
			c.fail("labels", "has the key %.80q; a key must be 1 to 63 lower-case letters, digits, dots, slashes, "+
				"hyphens and underscores, beginning and ending with a letter or digit", key)
			continue
		}
		c.text("labels."+key, labels[key], maxLabelValue)
	}
}

func (c *checks) err() error {
	if len(c.details) == 0 {
		return nil
	}
	return Invalid(c.details...)
}

// printable is false for text that PostgreSQL cannot store (NUL, invalid UTF-8), that can control a terminal, or that
// is displayed in another order than stored.
func printable(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\t' || reorders(r) {
			return false
		}
	}
	return true
}

// reorders reports whether the character changes the display order of the characters after it. Directional marks, which
// right-to-left languages need, do not.
func reorders(r rune) bool {
	return '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069'
}
