// Package leak finds secrets where none may be: in logs, dumps, histories and answers, however they are written there.
package leak

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// shortest is of how many bytes a secret must be to be looked for: what is shorter is found everywhere.
const shortest = 12

// Secrets are what may be nowhere, each with the name that tells people which one was found. The zero value has none;
// safe for concurrent use.
type Secrets struct {
	mu   sync.Mutex
	name map[string]string
}

// Add adds a secret. Of one that has lines, such as a key in PEM, each line is one; what is too short is left out.
func (s *Secrets) Add(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.name == nil {
		s.name = map[string]string{}
	}
	for line := range strings.Lines(value) {
		line = strings.TrimSpace(line)
		if len(line) < shortest || strings.HasPrefix(line, "-----") {
			continue
		}
		if _, known := s.name[line]; !known {
			s.name[line] = name
		}
	}
}

// Len is how many there are.
func (s *Secrets) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.name)
}

// Names are those of all secrets, each once, in order.
func (s *Secrets) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Compact(slices.Sorted(maps.Values(s.name)))
}

// needle is a secret in one of the forms in which it may be written.
type needle struct {
	text []byte
	name string
}

// window is how many bytes of a needle are looked up at once: no form is shorter.
const window = 8

// Search looks for all secrets at once, in one pass; safe for concurrent use.
type Search struct {
	// filter has a bit for each window that a needle may begin with.
	filter  [1 << (filterBits - 6)]uint64
	needles map[uint64][]needle
	longest int
}

const filterBits = 20

func bit(key uint64) uint64 { return key * 0x9E3779B97F4A7C15 >> (64 - filterBits) }

// Search returns the search for the secrets that there are now.
func (s *Secrets) Search() *Search {
	s.mu.Lock()
	defer s.mu.Unlock()
	search := &Search{needles: map[uint64][]needle{}}
	for secret, name := range s.name {
		for form, text := range forms(secret) {
			if form == "plain" {
				search.add(needle{text, name})
			} else {
				search.add(needle{text, name + " in " + form})
			}
		}
	}
	return search
}

func (s *Search) add(n needle) {
	key := keyOf(n.text)
	s.filter[bit(key)/64] |= 1 << (bit(key) % 64)
	s.needles[key] = append(s.needles[key], n)
	s.longest = max(s.longest, len(n.text))
}

// keyOf is the window that the text begins with.
func keyOf(text []byte) uint64 {
	var key uint64
	for _, b := range text[:window] {
		key = key<<8 | uint64(b)
	}
	return key
}

// In returns the names of the secrets that are in the text, each once, in order.
func (s *Search) In(text []byte) []string {
	found := map[string]bool{}
	s.in(text, found)
	return slices.Sorted(maps.Keys(found))
}

func (s *Search) in(text []byte, found map[string]bool) {
	var key uint64
	for i, b := range text {
		key = key<<8 | uint64(b)
		if i < window-1 || s.filter[bit(key)/64]&(1<<(bit(key)%64)) == 0 {
			continue
		}
		for _, n := range s.needles[key] {
			if bytes.HasPrefix(text[i-window+1:], n.text) {
				found[n.name] = true
			}
		}
	}
}

// chunk is how much of a stream is looked at together.
const chunk = 1 << 20

// Read looks at all that the reader gives, and returns what In would.
func (s *Search) Read(r io.Reader) ([]string, error) {
	found := map[string]bool{}
	buffer := make([]byte, s.longest+chunk)
	kept := 0
	for {
		n, err := io.ReadFull(r, buffer[kept:])
		s.in(buffer[:kept+n], found)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return slices.Sorted(maps.Keys(found)), nil
		}
		if err != nil {
			return nil, fmt.Errorf("read what is searched: %w", err)
		}
		kept = copy(buffer, buffer[kept+n-s.longest:kept+n]) // what was cut is seen whole
	}
}

// forms are the ways in which a secret may be written, by their names.
func forms(secret string) map[string][]byte {
	raw := []byte(secret)
	all := map[string][]byte{
		"plain": raw, "hex": []byte(hex.EncodeToString(raw)),
		"upper-case hex": []byte(strings.ToUpper(hex.EncodeToString(raw))),
	}
	for name, escaped := range map[string]string{
		"a URL's query": url.QueryEscape(secret), "a URL's path": url.PathEscape(secret),
		"a URL's password": strings.TrimPrefix(url.UserPassword("", secret).String(), ":"), "JSON": quoted(secret),
	} {
		if escaped != secret {
			all[name] = []byte(escaped)
		}
	}
	for name, text := range maps.Clone(all) {
		if name != "plain" && name != "JSON" {
			continue
		}
		for encoding, alphabet := range map[string]*base64.Encoding{
			"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding,
		} {
			for before := range 3 { // what stands before it shifts its bits
				all[fmt.Sprintf("%s of %s after %d bytes", encoding, name, before)] = within(alphabet, text, before)
			}
		}
	}
	return all
}

// within is the part of a base64 text that the secret alone makes, with so many bytes before it and others after.
func within(alphabet *base64.Encoding, secret []byte, before int) []byte {
	const bits = 6
	padded := append(make([]byte, before), secret...)
	text := alphabet.EncodeToString(padded)
	first := (before*8 + bits - 1) / bits // the character before is of both
	last := len(padded) * 8 / bits        // and so is the one after
	return []byte(text[first:last])
}

// quoted is the text within a JSON string.
func quoted(text string) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string always is JSON
	return strings.Trim(strings.TrimSpace(out.String()), `"`)
}
