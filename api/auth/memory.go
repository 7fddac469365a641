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

// maxVerified bounds the credentials that are known from memory, at about 700 bytes each; the one that was used
// least lately makes room. Only one that was proven gets in, so that wrong ones push nothing out.
const maxVerified = 10_000

// memory is the credentials that were verified, and how far the rows of their keys are believed.
type memory struct {
	macs sync.Pool

	mu       sync.Mutex
	verified *simplelru.LRU[digest, *verified]
	// trusting says that evictions are heard of.
	trusting bool
	// reads and changes count the rows that were asked for, and the times when some were not to be believed any
	// more: clocks do not tell what was first.
	reads, changes uint64
}

// digest is what a credential is remembered by.
type digest [sha256.Size]byte

// verified is a credential that was proven, with the row of its key.
type verified struct {
	key daap.APIKey
	// hash is the one that the secret has, and old says that it is that of the secret before.
	hash string
	old  bool
	seen sight
}

// sight is when a row was read: before the read began, as it may be of any moment from then on.
type sight struct {
	at            time.Time
	read, changes uint64
}

// refusal says for people why a credential that was proven is not valid any more; empty where it is.
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
	_, _ = rand.Read(key[:]) // it does not fail: without randomness the program ends
	m := &memory{macs: sync.Pool{New: func() any { return &mac{Hash: hmac.New(sha256.New, key[:])} }}}
	m.verified, _ = simplelru.NewLRU[digest, *verified](maxVerified, nil) // it fails for no size but 0
	return m
}

// digest is the credential's HMAC under a key that no other process has, and none has after the end of this one.
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

// recall returns what is known of a credential and whether that is believed, and the last read that was begun
// before.
func (m *memory) recall(of digest) (v verified, believed bool, asked uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.verified.Get(of); ok {
		v, believed = *known, m.trusting && time.Since(known.seen.at) < Trusted
	}
	return v, believed, m.reads
}

// begin returns what is known of a credential of which the row is read now.
func (m *memory) begin(of digest) (known verified, seen sight) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if v, ok := m.verified.Peek(of); ok {
		known = *v
	}
	return known, sight{at: time.Now(), read: m.reads, changes: m.changes}
}

// current says whether a row that was looked for since asked may let somebody in: nothing has changed since it was
// read, and one was asked for it after the request began where changes are not heard of.
func (m *memory) current(seen sight, asked uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return seen.changes == m.changes && (m.trusting || seen.read > asked)
}

// remember keeps what was found out, which is believed only if nothing has changed since it was read.
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

// turn sets whether evictions are heard of; what was read before is not believed, as one may have been missed.
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

// doubt has the row read again before it is believed. The hash stays: where the row has it still, the secret is
// not hashed again.
func (v *verified) doubt() { v.seen.at = time.Time{} }
