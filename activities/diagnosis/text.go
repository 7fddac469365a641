package diagnosis

import (
	"regexp"
	"strings"
	"unicode"
)

// MaxSafe is the maximum length of the result of Safe, in characters.
const MaxSafe = 300

// secrets are patterns of secrets that a text of another program may contain by mistake, and their replacements.
var secrets = []struct {
	match *regexp.Regexp
	shown string
}{
	// postgres://user:password@host; greedy, because a password may contain an @ or a /.
	{regexp.MustCompile(`://[^\s/]*:\S*@|://[^\s/]+@`), "://***@"},
	// password=…, PGPASSWORD: …, "aws_secret_access_key": "…", and the same with escaped quotes
	{
		regexp.MustCompile(`(?i)([\w-]*(?:passw(?:or)?d|pwd|passphrase|secret[_-]?(?:access[_-]?)?key|token))` +
			`\\?["']?\s*[:=]\s*(?:\\?"(?:[^"\\]|\\[^"])*\\?"|'[^']*'|\S+)`),
		"$1=***",
	},
	// ALTER ROLE app PASSWORD '…'
	{regexp.MustCompile(`(?i)(password)\s+'[^']*'?`), "$1 ***"},
}

// Safe returns a text of another program in a form that may be shown: one line of at most 300 characters, without
// control characters, without characters that change the direction of the text, and without parts that resemble a
// password.
func Safe(text string) string { return SafeTo(text, MaxSafe) }

// SafeTo is Safe with another limit, in characters.
func SafeTo(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	// Before the text is cut: a part of a password does not match any more.
	for _, secret := range secrets {
		text = secret.match.ReplaceAllString(text, secret.shown)
	}
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// FirstOf returns the first text that is not blank; empty if all are.
func FirstOf(texts ...string) string {
	for _, text := range texts {
		if strings.TrimSpace(text) != "" {
			return text
		}
	}
	return ""
}

// WithReason appends the reason in brackets, unless it is empty.
func WithReason(what, reason string) string {
	if reason == "" {
		return what
	}
	return what + " (" + reason + ")"
}
