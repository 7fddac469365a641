package daap

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"strings"
	"time"

	"github.com/google/uuid"
)

// APIKey gives a team and its programs access to the API. A Credential proves possession of it; only a hash of the
// secret is stored.
type APIKey struct {
	// ID is a UUIDv7, so that order by ID is order of creation.
	ID   uuid.UUID
	Name string
	Team string
	Role Role
	// CreatedBy names the creator, for people.
	CreatedBy string
	CreatedAt time.Time
	// ExpiresAt is when the key expires; nil if it does not.
	ExpiresAt *time.Time
	RevokedAt *time.Time
	// RotatedAt is when the key got its current secret; nil if it was never rotated.
	RotatedAt *time.Time
	// OldSecretUntil is when the previous secret stops working; nil if there is none.
	OldSecretUntil *time.Time
	// LastUsedAt is accurate to about a minute; nil until the first use.
	LastUsedAt *time.Time
}

// Prefix is the start of the credential, which is not secret and identifies the key to people.
func (k APIKey) Prefix() string { return credentialWord + "_" + in62(k.ID[:], idWidth) }

// Caller returns the caller that the key authenticates.
func (k APIKey) Caller() Caller {
	return Caller{KeyID: k.ID, KeyName: k.Name, Team: k.Team, Role: k.Role}
}

// Refusal explains why the key is not valid at the given time; empty if it is.
func (k APIKey) Refusal(now time.Time) string {
	switch {
	case k.RevokedAt != nil:
		return "The API key was revoked; ask the platform team for a new one."
	case k.ExpiresAt != nil && !now.Before(*k.ExpiresAt):
		return "The API key has expired; ask the platform team for a new one."
	}
	return ""
}

// StoredKey is a key with the hashes of its secrets.
type StoredKey struct {
	APIKey
	// Hash is the hash of the current secret, OldHash of the previous one; OldHash is empty if there is none.
	Hash, OldHash string
}

// APIKeySpec describes a requested key.
type APIKeySpec struct {
	Name      string
	Team      string
	Role      Role
	ExpiresAt *time.Time
}

// Validate returns an Error of CodeValidationFailed that names every field at fault, or nil.
func (s APIKeySpec) Validate(now time.Time) error {
	var c checks
	c.name("name", s.Name, NameRule)
	c.name("team", s.Team, TeamRule)
	if s.Role != RolePlatformTeam && s.Role != RoleProductTeam {
		c.fail("role", "must be one of platform-team, product-team")
	}
	if s.ExpiresAt != nil && s.ExpiresAt.Before(now.Add(time.Minute)) {
		c.fail("expires_at", "must be a time at least a minute from now, such as 2030-01-02T15:04:05Z, or null")
	}
	return c.err()
}

// APIKeyFilter selects keys; the zero value selects all.
type APIKeyFilter struct {
	Team string
	Page Page
}

// Secret proves possession of a key: 256 random bits. Printing it reveals nothing.
type Secret [32]byte

// Format keeps the secret out of printed output.
func (Secret) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[secret]") }

// MarshalText keeps the secret out of encoded output.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// NewSecret returns a new random secret.
func NewSecret() Secret {
	var s Secret
	_, _ = rand.Read(s[:]) // never fails: without randomness the program ends
	return s
}

// Credential is what a client sends: the ID of the key and its secret.
type Credential struct {
	KeyID  uuid.UUID
	Secret Secret
}

// Format prints the key's ID without the secret. It handles every verb: for a verb that does not fit, fmt would print a
// struct behind a pointer without calling the secret's own Format.
func (c Credential) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, APIKey{ID: c.KeyID}.Prefix()+"_[secret]")
}

// A credential has the form daap_<id>_<secret>_<checksum>; all parts after the first are base 62 of fixed width. Typos
// and random text can be detected without a lookup, and scanners can find leaked credentials.
const (
	credentialWord = "daap"
	idWidth        = 22 // digits of 128 bits
	secretWidth    = 43 // digits of 256 bits
	checksumWidth  = 6  // digits of 32 bits
)

// Reveal returns the credential in the form that clients send. Nothing else prints the secret.
func (c Credential) Reveal() string {
	text := strings.Join([]string{credentialWord, in62(c.KeyID[:], idWidth), in62(c.Secret[:], secretWidth)}, "_")
	sum := checksum(text)
	return text + "_" + in62(sum[:], checksumWidth)
}

// ParseCredential parses the output of Reveal and reports whether the text is valid.
func ParseCredential(text string) (Credential, bool) {
	const (
		idAt       = len(credentialWord) + 1
		secretAt   = idAt + idWidth + 1
		checksumAt = secretAt + secretWidth + 1
	)
	if len(text) != checksumAt+checksumWidth || text[:idAt] != credentialWord+"_" ||
		text[secretAt-1] != '_' || text[checksumAt-1] != '_' {
		return Credential{}, false
	}
	var sum [4]byte
	if !from62(text[checksumAt:], sum[:]) || sum != checksum(text[:checksumAt-1]) {
		return Credential{}, false
	}
	var c Credential
	if !from62(text[idAt:secretAt-1], c.KeyID[:]) || !from62(text[secretAt:checksumAt-1], c.Secret[:]) {
		return Credential{}, false
	}
	return c, true
}

func checksum(text string) (sum [4]byte) {
	binary.BigEndian.PutUint32(sum[:], crc32.ChecksumIEEE([]byte(text)))
	return sum
}

// alphabet are the digits of base 62, in the order of big.Int.
const alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// in62 writes the bytes as a number of so many digits, which must be enough for them.
func in62(raw []byte, width int) string {
	digits := new(big.Int).SetBytes(raw).Text(len(alphabet))
	return strings.Repeat(alphabet[:1], width-len(digits)) + digits
}

// from62 reads digits into raw, and reports whether they are digits and fit.
func from62(digits string, raw []byte) bool {
	if strings.Trim(digits, alphabet) != "" {
		return false
	}
	n, ok := new(big.Int).SetString(digits, len(alphabet))
	if !ok || n.BitLen() > 8*len(raw) {
		return false
	}
	n.FillBytes(raw)
	return true
}
