package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// BenchmarkSHA256Check is what BenchmarkTrustedHit is measured against: a plain hash of the secret, and a row that
// is known for ever.
func BenchmarkSHA256Check(b *testing.B) {
	c := daap.Credential{KeyID: uuid.New(), Secret: daap.NewSecret()}
	rows := struct {
		sync.RWMutex
		byID map[uuid.UUID][sha256.Size]byte
	}{byID: map[uuid.UUID][sha256.Size]byte{c.KeyID: sha256.Sum256(c.Secret[:])}}
	sent := c.Reveal()
	b.ReportAllocs()
	for b.Loop() {
		c, _ := daap.ParseCredential(sent)
		sum := sha256.Sum256(c.Secret[:])
		rows.RLock()
		want := rows.byID[c.KeyID]
		rows.RUnlock()
		if subtle.ConstantTimeCompare(sum[:], want[:]) != 1 {
			b.Fatal("refused")
		}
	}
}

// BenchmarkArgon2 is one check at the default cost, and the memory it takes.
func BenchmarkArgon2(b *testing.B) {
	h := newHasher(b, Params{MemoryKiB: 19 << 10, Time: 2, Threads: 1}) // as the settings have it
	secret := daap.NewSecret()
	hash, err := h.Hash(b.Context(), secret)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if right, err := h.Verify(b.Context(), hash, secret); err != nil || !right {
			b.Fatal(right, err)
		}
	}
}

// BenchmarkEvict is the eviction of one key while all that may be are known.
func BenchmarkEvict(b *testing.B) {
	m := newMemory()
	for range maxVerified {
		id := uuid.New()
		of := m.digest(daap.Credential{KeyID: id})
		_, seen := m.begin(of)
		m.remember(of, verified{key: daap.APIKey{ID: id}, hash: "hash", seen: seen})
	}
	id := uuid.New()
	for b.Loop() {
		m.evict(id)
	}
}

func BenchmarkTrustedHit(b *testing.B) {
	bench := newBench(b, Limits{PerSecond: 1e9, Burst: 1e9})
	bench.Trust()
	sent := bench.key().Reveal()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bench.Authenticate(b.Context(), sent, ""); err != nil {
			b.Fatal(err)
		}
	}
}
