package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"hash"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/daap-dev/daap"
)

// maxVerified bounds the remembered credentials, at about 700 bytes each; the least recently used one is dropped. Only
// verified ones are stored, so wrong ones evict nothing.
const maxVerified = 10_000

// memory stores verified credentials and the validity of their keys' rows.
type memory struct {
	macs sync.Pool

	mu       sync.Mutex
	verified *simplelru.LRU[digest, *verified]
	// trusting means that evictions are received.
	trusting bool
	// reads and changes count row reads and invalidations: clocks cannot order them.
	reads, changes uint64
}

// digest identifies a remembered credential.
type digest [sha256.Size]byte

// verified is a verified credential with the row of its key.
type verified struct {
	key daap.APIKey
	// hash is the secret's hash; old means that it is the previous secret's.
	hash string
	old  bool
	seen sight
}

// sight is when a row was read: the time before the read began, because the row may be from any later moment.
type sight struct {
	at            time.Time
	read, changes uint64
}

// refusal explains why a verified credential is no longer valid; empty if it is.
func (v verified) refusal(now time.Time) string {
	if v.old && (v.key.OldSecretUntil == nil || !now.Before(*v.key.OldSecretUntil)) {
		return "The API key was rotated, and this secret is no longer valid."
	}
	return v.key.Refusal(now)
}

// mac computes one digest at a time, without allocating.
type mac struct {
	hash.Hash
	in  [len(uuid.UUID{}) + len(daap.Secret{})]byte
	out digest
}

func newMemory() *memory {
	var key [sha256.BlockSize]byte
	_, _ = rand.Read(key[:]) // never fails: without randomness the program ends
	m := &memory{macs: sync.Pool{New: func() any { return &mac{Hash: hmac.New(sha256.New, key[:])} }}}
	m.verified, _ = simplelru.NewLRU[digest, *verified](maxVerified, nil) // fails only for size 0
	return m
}

// digest returns the credential's HMAC under a key that exists only in this process.
func (m *memory) digest(c daap.Credential) digest {
	mac := m.macs.Get().(*mac) //nolint:errcheck // the pool has nothing else
	defer m.macs.Put(mac)
	mac.Reset()
	copy(mac.in[copy(mac.in[:], c.KeyID[:]):], c.Secret[:])
	mac.Write(mac.in[:])
	clear(mac.in[:])
	mac.Sum(mac.out[:0])
	return mac.out
}

// recall returns the remembered credential, whether its row is valid, and the last read that began before.
func (m *memory) recall(of digest) (v verified, believed bool, asked uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.verified.Get(of); ok {
		v, believed = *known, m.trusting && time.Since(known.seen.at) < Trusted
	}
	return v, believed, m.reads
}

// begin returns the remembered credential for a row that is being read.
func (m *memory) begin(of digest) (known verified, seen sight) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if v, ok := m.verified.Peek(of); ok {
		known = *v
	}
	return known, sight{at: time.Now(), read: m.reads, changes: m.changes}
}

// current reports whether a row that was requested since asked can authenticate a request: nothing changed since the
// read, and without notification the read began after the request.
func (m *memory) current(seen sight, asked uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return seen.changes == m.changes && (m.trusting || seen.read > asked)
}

// remember stores a result, which is valid only if nothing changed since the read.
func (m *memory) remember(of digest, v verified) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v.seen.changes != m.changes {
		v.doubt()
	}
	m.verified.Add(of, &v)
}

func (m *memory) forget(of digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.verified.Remove(of)
}

// turn sets whether evictions are received; earlier reads become invalid, because an eviction may have been missed.
func (m *memory) turn(trusting bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trusting = trusting
	m.changes++
	for _, v := range m.verified.Values() {
		v.doubt()
	}
}

func (m *memory) evict(id uuid.UUID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes++
	for _, v := range m.verified.Values() {
		if v.key.ID == id {
			v.doubt()
		}
	}
}

// doubt invalidates the row. The hash stays: if the new row has the same one, the secret is not hashed again.
func (v *verified) doubt() { v.seen.at = time.Time{} }
