package auth

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// wrong sends the key with a wrong secret. The tests of failures have a clock that stands still while they hash.
func wrong(b bench, c daap.Credential, from string) *daap.Error {
	c.Secret = daap.NewSecret()
	_, err := b.Authenticate(b.t.Context(), c.Reveal(), from)
	return daap.AsError(err)
}

func TestKeyFailuresAreBoundedWithoutBlockingItsBearer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Limits{})
		c, used := b.key(), b.key()
		b.Trust()
		b.wantValid(c, "before the flood")
		b.wantValid(used, "before the flood")
		for i := range 10 {
			if e := wrong(b, c, fmt.Sprint("from ", i)); e.Code != daap.CodeUnauthenticated {
				t.Fatalf("failure %d = %v", i, e)
			}
		}
		before := b.hashes()
		e := wrong(b, c, "from elsewhere")
		if e.Code != daap.CodeRateLimited || e.RetryAfter <= 0 || e.RetryAfter > 6*time.Second || b.hashes() != before {
			t.Errorf("the eleventh = %v after %s, want it turned away without a hash", e, e.RetryAfter)
		}
		b.wantValid(c, "in use, in the flood")
		if e := wrong(b, used, "from elsewhere"); e.Code != daap.CodeUnauthenticated {
			t.Errorf("another key's failure = %v, want no bound on it", e)
		}
	})
}

func TestFailuresFromAnAddressAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Limits{})
		for i := range 30 {
			unknown := daap.Credential{KeyID: uuid.New(), Secret: daap.NewSecret()}
			if e := wrong(b, unknown, "192.0.2.9"); e.Code != daap.CodeUnauthenticated {
				t.Fatalf("failure %d = %v", i, e)
			}
		}
		c := b.key()
		if _, err := b.Authenticate(t.Context(), c.Reveal(), "192.0.2.9"); daap.AsError(err).Code != daap.CodeRateLimited {
			t.Errorf("the next from there = %v, want it turned away", err)
		}
		if _, err := b.Authenticate(t.Context(), c.Reveal(), "192.0.2.10"); err != nil {
			t.Errorf("from elsewhere = %v", err)
		}
	})
}

func TestSuccessesAreNotFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Limits{})
		for range 40 {
			b.wantValid(b.key(), "one of many")
		}
	})
}

func TestConcurrentFailuresShareTheLastToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, g := gated(t)
		c := b.key()
		var requests []<-chan error
		for range 12 {
			requests = append(requests, b.asked(daap.Credential{KeyID: c.KeyID, Secret: daap.NewSecret()}))
		}
		close(g.through)
		var limited int
		for _, request := range requests {
			if e := daap.AsError(<-request); e.Code == daap.CodeRateLimited {
				limited++
			}
		}
		if limited != 2 {
			t.Errorf("%d of 12 were turned away, want the two above the ten", limited)
		}
		e := daap.AsError(b.ask(daap.Credential{KeyID: c.KeyID, Secret: daap.NewSecret()}))
		if e.Code != daap.CodeRateLimited || e.RetryAfter != 6*time.Second {
			t.Fatalf("the next = %v after %s", e, e.RetryAfter)
		}
		<-time.After(e.RetryAfter - 1)
		if again := daap.AsError(b.ask(c)); again == nil || again.RetryAfter != 1 {
			t.Errorf("too soon = %v", again)
		}
		<-time.After(1)
		b.wantValid(c, "after Retry-After")
		b.wantValid(c, "with the token that it was given back, and another look")
	})
}

func TestSecretOfAnInactiveKeyIsAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Limits{})
		c := b.key()
		b.revoke(c)
		wrong := func() *daap.Error {
			return daap.AsError(b.ask(daap.Credential{KeyID: c.KeyID, Secret: daap.NewSecret()}))
		}
		b.wantRefused(c, "revoked", "was revoked")
		for i := range 9 {
			if e := wrong(); e.Code != daap.CodeUnauthenticated {
				t.Errorf("failure %d beside = %v", i, e)
			}
		}
		if e := wrong(); e.Code != daap.CodeRateLimited {
			t.Errorf("the eleventh = %v", e)
		}
		before := b.hashes()
		b.wantRefused(c, "again", "was revoked")
		if b.hashes() != before || b.rack.touched != 0 {
			t.Errorf("it took %d hashes, and %d uses were recorded", b.hashes()-before, b.rack.touched)
		}
	})
}

func TestAbandonedHashIsAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Limits{})
		c := b.key()
		b.rack.change(c.KeyID, func(k *daap.StoredKey) { k.OldHash = "not to be read" })
		for range 10 {
			if err := b.ask(daap.Credential{KeyID: c.KeyID, Secret: daap.NewSecret()}); !errors.Is(err, errHash) {
				t.Fatalf("Authenticate() = %v", err)
			}
		}
		if e := daap.AsError(b.ask(c)); e == nil || e.Code != daap.CodeRateLimited {
			t.Errorf("the eleventh = %v", e)
		}
	})
}

func TestStoreFailuresAreNotTheKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Limits{})
		c := b.key()
		b.rack.away = errors.New("PostgreSQL is down")
		for range 100 {
			if err := b.ask(c); !errors.Is(err, b.rack.away) || daap.AsError(err) != nil {
				t.Fatalf("Authenticate() = %v", err)
			}
		}
		b.rack.away = nil
		b.wantValid(c, "when it is back")
	})
}

func TestWrongKeysUseBoundedMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Limits{PerSecond: 1, Burst: 1e6})
		b.Trust()
		used := b.key()
		b.wantValid(used, "before")
		before := b.hashes()
		for range 100_000 {
			_ = b.ask(daap.Credential{KeyID: uuid.New(), Secret: daap.NewSecret()})
		}
		if hashes := b.hashes() - before; hashes != 60 {
			t.Errorf("they took %d hashes, want 60", hashes)
		}
		kept := []int{b.memory.verified.Len(), b.failedKeys.fullAt.Len(), b.failedFrom.fullAt.Len(), b.rates.fullAt.Len()}
		if want := []int{1, 31, 1, 1}; fmt.Sprint(kept) != fmt.Sprint(want) {
			t.Errorf("what is kept is %v, want %v", kept, want)
		}
		b.wantValid(used, "in the flood")
	})
}

func TestFailuresCountForTheNetworkOfOneClient(t *testing.T) {
	t.Parallel()
	for _, pair := range []struct {
		one, other string
		same       bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
		{"", "nowhere", true},
		{"", "192.0.2.1", false},
	} {
		if same := networkOf(pair.one) == networkOf(pair.other); same != pair.same {
			t.Errorf("%q and %q count as one: %t, want %t", pair.one, pair.other, same, pair.same)
		}
	}
}

func TestKeyLimitIsNoFailureOfTheAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Limits{})
		c := b.key()
		for range 100 {
			_ = wrong(b, c, "192.0.2.1") // ten of them fail
		}
		for i := range 20 {
			if e := wrong(b, daap.Credential{KeyID: uuid.New()}, "192.0.2.1"); e.Code != daap.CodeUnauthenticated {
				t.Fatalf("failure %d with other keys = %v", i, e)
			}
		}
		if e := wrong(b, daap.Credential{KeyID: uuid.New()}, "192.0.2.1"); e.RetryAfter != time.Second {
			t.Errorf("the one above the thirty = %v after %s", e, e.RetryAfter)
		}
	})
}
