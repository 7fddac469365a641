package diagnosis

import (
	"regexp"
	"strings"
	"unicode"
)

// MaxSafe is how many characters Safe keeps of a text.
const MaxSafe = 300

// secrets are what a text from outside may show by mistake, and what is shown instead.
var secrets = []struct {
	looks *regexp.Regexp
	shown string
}{
	// postgres://user:password@host; greedy, Cause a password may have an @ or a / itself.
	{regexp.MustCompile(`://[^\s/]*:\S*@|://[^\s/]+@`), "://***@"},
	// password=…, PGPASSWORD: …, "aws_secret_access_key": "…", and the same with quotes that are escaped
	{
		regexp.MustCompile(`(?i)([\w-]*(?:passw(?:or)?d|pwd|passphrase|secret[_-]?(?:access[_-]?)?key|token))` +
			`\\?["']?\s*[:=]\s*(?:\\?"(?:[^"\\]|\\[^"])*\\?"|'[^']*'|\S+)`),
		"$1=***",
	},
	// ALTER ROLE app PASSWORD '…'
	{regexp.MustCompile(`(?i)(password)\s+'[^']*'?`), "$1 ***"},
}

// Safe returns a text from outside as it may be shown: one line of at most 300 characters, without control characters,
// without characters that change the direction of the text, and without what looks like a password.
func Safe(text string) string { return SafeTo(text, MaxSafe) }

// SafeTo is Safe with another bound, in characters.
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
	// Before it is cut: half a password no longer looks like one.
	for _, secret := range secrets {
		text = secret.looks.ReplaceAllString(text, secret.shown)
	}
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// FirstOf returns the first text that says something; empty when none does.
func FirstOf(texts ...string) string {
	for _, text := range texts {
		if strings.TrimSpace(text) != "" {
			return text
		}
	}
	return ""
}

// WithReason adds the reason in brackets, where there is one.
func WithReason(what, reason string) string {
	if reason == "" {
		return what
	}
	return what + " (" + reason + ")"
}
