package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/caarlos0/env/v11"
)

// CodecKey encrypts what Temporal keeps.
type CodecKey struct {
	// ID is kept in plain text beside what the key encrypts: up to 32 letters, digits, ".", "_" and "-".
	ID string
	// Secret is 32 bytes, and never shown. That of plainKey is empty.
	Secret []byte
}

// CodecKeys are the keys of DAAP_TEMPORAL_CODEC_KEYS: the first encrypts, all decrypt. None: nothing is encrypted.
type CodecKeys []CodecKey

// plainKey in the place of the first key has nothing encrypted: for the time in which not all processes can read yet.
const plainKey = "plain"

const (
	codecKeySize    = 32
	codecKeysWanted = "must be pairs such as 2026-01=<32 bytes in base64>,2025-07=…, each ID once; plain may come " +
		"first and encrypts nothing"
)

var codecKeyID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,32}$`)

// UnmarshalText reads a list of id=base64. Its errors have nothing of the text, which is secret.
func (k *CodecKeys) UnmarshalText(text []byte) error {
	known := map[string]bool{}
	for pair := range strings.SplitSeq(string(text), ",") {
		id, encoded, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.TrimSpace(pair) == plainKey && len(*k) == 0 {
			*k = CodecKeys{{ID: plainKey}}
			continue
		}
		secret, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(secret) != codecKeySize || !codecKeyID.MatchString(id) || known[id] {
			return errors.New(codecKeysWanted)
		}
		known[id] = true
		*k = append(*k, CodecKey{id, secret})
	}
	return nil
}

// Codec is every setting of a codec server. It has no access to anything but the keys.
type Codec struct {
	Logging
	// CodecKeys are never empty.
	CodecKeys CodecKeys `env:"DAAP_TEMPORAL_CODEC_KEYS,required,notEmpty"`
	// Addr is the listen address. Everyone who reaches it can read payloads.
	Addr string `env:"DAAP_CODEC_ADDR" envDefault:"127.0.0.1:8234"`
	// Origin is the Temporal UI's origin: only its pages may send requests from a browser. Empty: none may.
	Origin string `env:"DAAP_CODEC_ORIGIN"`
}

// LoadCodec reads and checks the settings of a codec server. Its errors are as those of Load.
func LoadCodec() (Codec, error) {
	cfg, err := env.ParseAs[Codec]()
	if err != nil {
		return Codec{}, named(err)
	}
	var errs []error
	wrong := func(variable, problem string) { errs = append(errs, &Error{variable, problem}) }
	cfg.check(wrong)
	if _, port, err := net.SplitHostPort(cfg.Addr); err != nil || port == "" {
		wrong("DAAP_CODEC_ADDR", "must be host:port such as 127.0.0.1:8234")
	}
	if cfg.Origin != "" && !isOrigin(cfg.Origin) {
		wrong("DAAP_CODEC_ORIGIN", "must be an origin such as https://temporal.example.com, without a path")
	}
	if err := errors.Join(errs...); err != nil {
		return Codec{}, err
	}
	return cfg, nil
}

// isOrigin says whether the text is what a browser sends as the origin of a page.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
		text == fmt.Sprintf("%s://%s", u.Scheme, u.Host)
}

// OnLoopback says whether the address can be reached from this machine alone.
func OnLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
