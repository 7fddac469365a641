package auth

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// cheap is the least that a hash may cost.
var cheap = Params{MemoryKiB: 8 << 10, Time: 1, Threads: 1}

// rack keeps keys in memory.
type rack struct {
	mu       sync.Mutex
	keys     map[uuid.UUID]daap.StoredKey
	reads    int
	touched  int
	rehashed int
	away     error
	// during is called in the middle of each read; nil for nothing.
	during func()
}

func (r *rack) StoredKey(_ context.Context, id uuid.UUID) (daap.StoredKey, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reads++
	key, found := r.keys[id]
	if r.during != nil {
		r.during()
	}
	return key, found, r.away
}

func (r *rack) TouchAPIKey(_ context.Context, id uuid.UUID) error {
	r.change(id, func(key *daap.StoredKey) {
		now := time.Now()
		r.touched, key.LastUsedAt = r.touched+1, &now
	})
	return nil
}

func (r *rack) RehashAPIKey(_ context.Context, id uuid.UUID, _, after string) error {
	r.change(id, func(key *daap.StoredKey) { r.rehashed, key.Hash = r.rehashed+1, after })
	return nil
}

func (r *rack) change(id uuid.UUID, change func(*daap.StoredKey)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := r.keys[id]
	change(&key)
	r.keys[id] = key
}

// bench is an Authenticator on a rack, with how many hashes were computed.
type bench struct {
	*Authenticator
	t    testing.TB
	rack *rack
}

func newBench(t testing.TB, limits Limits) bench {
	t.Helper()
	hasher, err := NewHasher(cheap)
	if err != nil {
		t.Fatal(err)
	}
	r := &rack{keys: make(map[uuid.UUID]daap.StoredKey)}
	return bench{New(r, hasher, limits, func(err error) { t.Error(err) }), t, r}
}

// hashes is how many hashes were computed so far, beside the dummy.
func (b bench) hashes() int64 { return b.hasher.computed.Load() }

// key makes a key with its credential; its use was recorded just now.
func (b bench) key() daap.Credential {
	b.t.Helper()
	c := daap.Credential{KeyID: uuid.New(), Secret: daap.NewSecret()}
	hash, err := b.hasher.Hash(b.t.Context(), c.Secret)
	if err != nil {
		b.t.Fatal(err)
	}
	now := time.Now()
	b.rack.mu.Lock()
	defer b.rack.mu.Unlock()
	b.rack.keys[c.KeyID] = daap.StoredKey{
		APIKey: daap.APIKey{ID: c.KeyID, Name: "deploy", Team: "shop", Role: daap.RoleProductTeam, LastUsedAt: &now}, Hash: hash,
	}
	return c
}

func (b bench) ask(c daap.Credential) error {
	_, err := b.Authenticate(b.t.Context(), c.Reveal(), "192.0.2.1")
	return err
}

func (b bench) wantValid(c daap.Credential, when string) {
	b.t.Helper()
	if err := b.ask(c); err != nil {
		b.t.Errorf("%s: %v, want the key to be valid", when, err)
	}
}

func (b bench) wantRefused(c daap.Credential, when, why string) {
	b.t.Helper()
	e := daap.AsError(b.ask(c))
	if e == nil || e.Code != daap.CodeUnauthenticated || !strings.Contains(e.Message, why) {
		b.t.Errorf("%s: %v, want it refused with %q", when, e, why)
	}
}

func TestOutcomeAndWorkOfEachKindOfCredential(t *testing.T) {
	t.Parallel()
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	const invalid = "is not valid; check"
	for name, tt := range map[string]struct {
		prepare func(b bench, c *daap.Credential) string // what is sent
		hashes  int64
		reads   int
		why     string
	}{
		"right": {func(_ bench, c *daap.Credential) string { return c.Reveal() }, 1, 1, ""},
		"junk":  {func(bench, *daap.Credential) string { return "let me in" }, 0, 0, "is not an API key"},
		"bad checksum": {func(_ bench, c *daap.Credential) string {
			return c.Reveal()[:len(c.Reveal())-1] + "!"
		}, 0, 0, "is not an API key"},
		"wrong secret": {func(_ bench, c *daap.Credential) string {
			c.Secret = daap.NewSecret()
			return c.Reveal()
		}, 2, 1, invalid},
		"unknown": {func(_ bench, c *daap.Credential) string {
			c.KeyID = uuid.New()
			return c.Reveal()
		}, 2, 1, invalid},
		"expired": {func(b bench, c *daap.Credential) string {
			b.rack.change(c.KeyID, func(k *daap.StoredKey) { k.ExpiresAt = &past })
			return c.Reveal()
		}, 1, 1, "has expired"},
		"revoked": {func(b bench, c *daap.Credential) string {
			b.rack.change(c.KeyID, func(k *daap.StoredKey) { k.RevokedAt = &past })
			return c.Reveal()
		}, 1, 1, "was revoked"},
		"revoked, wrong secret": {func(b bench, c *daap.Credential) string {
			b.rack.change(c.KeyID, func(k *daap.StoredKey) { k.RevokedAt = &past })
			c.Secret = daap.NewSecret()
			return c.Reveal()
		}, 2, 1, invalid},
		"old secret in its time": {func(b bench, c *daap.Credential) string {
			other := b.key()
			b.rack.change(c.KeyID, func(k *daap.StoredKey) {
				k.OldHash, k.OldSecretUntil, k.Hash = k.Hash, &future, b.rack.keys[other.KeyID].Hash
			})
			return c.Reveal()
		}, 2, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Limits{})
			c := b.key()
			sent := tt.prepare(b, &c)
			before := b.hashes()
			caller, err := b.Authenticate(t.Context(), sent, "192.0.2.1")
			if tt.why == "" && (err != nil || caller.KeyID != c.KeyID || caller.Team != "shop" || caller.Role != daap.RoleProductTeam) {
				t.Errorf("Authenticate() = %+v, %v", caller, err)
			}
			if e := daap.AsError(err); tt.why != "" && (e == nil || e.Code != daap.CodeUnauthenticated || !strings.Contains(e.Message, tt.why)) {
				t.Errorf("Authenticate() = %v, want it refused with %q", err, tt.why)
			}
			if hashes := b.hashes() - before; hashes != tt.hashes || b.rack.reads != tt.reads {
				t.Errorf("it took %d hashes and %d reads, want %d and %d", hashes, b.rack.reads, tt.hashes, tt.reads)
			}
		})
	}
}

func TestKeyInUseIsHashedOnceAndReadEveryTenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Limits{})
		b.Trust()
		c := b.key()
		before := b.hashes()
		for range 601 {
			b.wantValid(c, "in use")
			<-time.After(100 * time.Millisecond)
		}
		if hashes := b.hashes() - before; hashes != 1 || b.rack.reads != 7 {
			t.Errorf("a minute took %d hashes and %d reads, want 1 and 7", hashes, b.rack.reads)
		}
		if b.rack.touched != 1 {
			t.Errorf("its use was recorded %d times in a minute, want once", b.rack.touched)
		}
	})
}

func TestRevocationIsImmediateWithNotificationElseTenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Limits{})
		revoke := func(c daap.Credential) {
			b.rack.change(c.KeyID, func(k *daap.StoredKey) { now := time.Now(); k.RevokedAt = &now })
		}
		b.Trust()
		told, untold, other := b.key(), b.key(), b.key()
		for _, c := range []daap.Credential{told, untold, other} {
			b.wantValid(c, "at first")
		}
		revoke(told)
		revoke(untold)
		b.Evict(told.KeyID)
		b.wantRefused(told, "told", "was revoked")
		b.wantValid(untold, "not notified, and cached")
		<-time.After(Trusted)
		b.wantRefused(untold, "not notified, after ten seconds", "was revoked")

		revoke(other)
		b.wantRefused(other, "read again", "was revoked")
	})
}

func TestNoRowIsCachedWithoutNotifications(t *testing.T) {
	t.Parallel()
	b := newBench(t, Limits{})
	c := b.key()
	for i, turn := range []func(){func() {}, b.Trust, b.Distrust, b.Trust} {
		turn()
		before, hashes := b.rack.reads, b.hashes()
		b.wantValid(c, "at first")
		b.wantValid(c, "again")
		want := []int{2, 1, 2, 1}[i]
		if got := b.rack.reads - before; got != want {
			t.Errorf("turn %d: %d reads, want %d", i, got, want)
		}
		if more := b.hashes() - hashes; i > 0 && more != 0 {
			t.Errorf("turn %d: %d hashes, want none", i, more)
		}
	}
}

func TestRowReadBeforeEvictionIsInvalid(t *testing.T) {
	t.Parallel()
	b := newBench(t, Limits{})
	b.Trust()
	c := b.key()
	b.rack.during = func() { // the revocation commits and notifies while the row is being read
		key := b.rack.keys[c.KeyID]
		now := time.Now()
		key.RevokedAt = &now
		b.rack.keys[c.KeyID], b.rack.during = key, nil
		b.Evict(c.KeyID)
	}
	b.wantRefused(c, "with the row of before", "was revoked")
	if b.rack.reads != 2 {
		t.Errorf("the row was read %d times, want it read again", b.rack.reads)
	}
}

func TestExpiryAppliesBetweenReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Limits{})
		b.Trust()
		soon := time.Now().Add(time.Second)
		expires, old, other := b.key(), b.key(), b.key()
		b.rack.change(expires.KeyID, func(k *daap.StoredKey) { k.ExpiresAt = &soon })
		b.rack.change(old.KeyID, func(k *daap.StoredKey) {
			k.OldHash, k.OldSecretUntil, k.Hash = k.Hash, &soon, b.rack.keys[other.KeyID].Hash
		})
		b.wantValid(expires, "before")
		b.wantValid(old, "before")
		<-time.After(time.Second)
		b.wantRefused(expires, "after", "has expired")
		b.wantRefused(old, "after", "this secret is no longer valid")
		b.rack.change(old.KeyID, func(k *daap.StoredKey) { k.OldHash = "" })
		<-time.After(Trusted)
		b.wantRefused(old, "read again", "is not valid; check")
	})
}

func TestConcurrentRequestsShareOneHash(t *testing.T) {
	t.Parallel()
	b := newBench(t, Limits{})
	b.Trust()
	c := b.key()
	before := b.hashes()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { b.wantValid(c, "at once") })
	}
	wg.Wait()
	if hashes := b.hashes() - before; hashes > 3 { // one flight after another, where one ends before all have come
		t.Errorf("fifty at once took %d hashes", hashes)
	}
}

func TestEachKeyHasItsRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Limits{PerSecond: 10, Burst: 20})
		b.Trust()
		c, other := b.key(), b.key()
		for range 20 {
			b.wantValid(c, "within its burst")
		}
		e := daap.AsError(b.ask(c))
		if e == nil || e.Code != daap.CodeRateLimited || e.RetryAfter != 100*time.Millisecond {
			t.Errorf("above it = %v", e)
		}
		b.wantValid(other, "meanwhile")
		<-time.After(100 * time.Millisecond)
		b.wantValid(c, "after Retry-After")
	})
}

func TestOutdatedHashIsReplacedAtItsNextUse(t *testing.T) {
	t.Parallel()
	b := newBench(t, Limits{})
	c := b.key()
	dearer, err := NewHasher(Params{MemoryKiB: 9 << 10, Time: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	a := New(b.rack, dearer, Limits{}, func(err error) { t.Error(err) })
	for range 2 {
		if _, err := a.Authenticate(t.Context(), c.Reveal(), ""); err != nil {
			t.Fatal(err)
		}
	}
	if hash := b.rack.keys[c.KeyID].Hash; b.rack.rehashed != 1 || dearer.Outdated(hash) {
		t.Errorf("rehashed %d times, to %.40s", b.rack.rehashed, hash)
	}
}

func TestExpiredRowIsRefusedWhilePostgreSQLIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Limits{})
		b.Trust()
		c := b.key()
		b.wantValid(c, "at first")
		b.rack.away = errors.New("PostgreSQL is down")
		b.wantValid(c, "still cached")
		<-time.After(Trusted)
		if err := b.ask(c); !errors.Is(err, b.rack.away) {
			t.Errorf("after ten seconds = %v, want the failure of the store", err)
		}
		for range 20 {
			_ = b.ask(c)
		}
		b.rack.away = nil
		b.wantValid(c, "when it is back")
	})
}
