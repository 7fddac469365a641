package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// gate is a rack whose reads return only when the test allows it.
type gate struct {
	*rack
	through chan struct{}
}

func (g gate) StoredKey(ctx context.Context, id uuid.UUID) (daap.StoredKey, bool, error) {
	key, found, err := g.rack.StoredKey(ctx, id)
	<-g.through
	return key, found, err
}

// gated is a bench with reads that wait.
func gated(t *testing.T) (bench, gate) {
	t.Helper()
	b := newBench(t, Limits{})
	g := gate{b.rack, make(chan struct{})}
	b.store = g
	return b, g
}

// asked is a request under way.
func (b bench) asked(c daap.Credential) <-chan error {
	over := make(chan error, 1)
	go func() { over <- b.ask(c) }()
	synctest.Wait()
	return over
}

func (b bench) revoke(c daap.Credential) {
	now := time.Now()
	b.rack.change(c.KeyID, func(k *daap.StoredKey) { k.RevokedAt = &now })
}

func refused(err error, why string) bool {
	e := daap.AsError(err)
	return e != nil && e.Code == daap.CodeUnauthenticated && strings.Contains(e.Message, why)
}

func TestEvictionBeatsAConcurrentRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, g := gated(t)
		b.Trust()
		c := b.key()
		before := b.asked(c)
		b.revoke(c)
		b.Evict(c.KeyID)
		after := b.asked(c) // joins the look that has the row of before
		close(g.through)
		for what, request := range map[string]<-chan error{"before": before, "after": after} {
			if err := <-request; !refused(err, "was revoked") {
				t.Errorf("the request that began %s the eviction = %v", what, err)
			}
		}
		if b.rack.reads != 2 {
			t.Errorf("the row was read %d times, want 2", b.rack.reads)
		}
	})
}

func TestWithoutNotificationsEachRequestReadsItsRow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, g := gated(t)
		c := b.key()
		before := b.asked(c)
		b.revoke(c)
		after := b.asked(c)
		close(g.through)
		if err := <-before; err != nil {
			t.Errorf("the request of before the revocation = %v", err)
		}
		if err := <-after; !refused(err, "was revoked") {
			t.Errorf("the request of after the revocation = %v", err)
		}
	})
}

func TestRowReadBeforeTrustIsInvalid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, g := gated(t)
		c := b.key()
		request := b.asked(c)
		b.revoke(c) // without a notification
		b.Trust()
		close(g.through)
		if err := <-request; !refused(err, "was revoked") {
			t.Errorf("Authenticate() = %v", err)
		}
	})
}

func TestValidityStartsBeforeTheRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, g := gated(t)
		b.Trust()
		c := b.key()
		request := b.asked(c)
		<-time.After(4 * time.Second)
		close(g.through)
		if err := <-request; err != nil {
			t.Fatal(err)
		}
		b.revoke(c)
		<-time.After(Trusted - 4*time.Second - 1)
		b.wantValid(c, "within them")
		<-time.After(1)
		b.wantRefused(c, "after them", "was revoked")
	})
}

func TestConcurrentRequestsShareOneReadAndOneHash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, g := gated(t)
		b.Trust()
		c := b.key()
		before := b.hashes()
		var requests []<-chan error
		for range 100 {
			requests = append(requests, b.asked(c))
		}
		close(g.through)
		for _, request := range requests {
			if err := <-request; err != nil {
				t.Error(err)
			}
		}
		if hashes := b.hashes() - before; hashes != 1 || b.rack.reads != 1 {
			t.Errorf("they took %d hashes and %d reads", hashes, b.rack.reads)
		}
	})
}

func TestCancelledCallerDoesNotCancelOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, g := gated(t)
		c := b.key()
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := b.Authenticate(ctx, c.Reveal(), "192.0.2.1")
			left <- err
		}()
		synctest.Wait()
		stays := b.asked(c)
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the cancelled caller got %v", err)
		}
		close(g.through)
		if err := <-stays; err != nil {
			t.Errorf("the waiting caller got %v", err)
		}
	})
}

func TestPanicOfTheStoreIsAnError(t *testing.T) {
	t.Parallel()
	b := newBench(t, Limits{})
	c := b.key()
	b.store = nil
	if err := b.ask(c); err == nil || !strings.Contains(err.Error(), "panic") || strings.Contains(err.Error(), c.Reveal()) {
		t.Errorf("Authenticate() = %v", err)
	}
}

func TestRememberedKeysAreBounded(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.turn(true)
	var of digest
	for i := range 2 * maxVerified {
		of = m.digest(daap.Credential{KeyID: uuid.New(), Secret: daap.Secret{byte(i)}})
		_, seen := m.begin(of)
		m.remember(of, verified{hash: "hash", seen: seen})
	}
	if _, believed, _ := m.recall(of); !believed || m.verified.Len() != maxVerified {
		t.Errorf("%d are known, the last %t", m.verified.Len(), believed)
	}
}

func TestCredentialIsRememberedByAProcessKey(t *testing.T) {
	t.Parallel()
	c := daap.Credential{KeyID: uuid.New(), Secret: daap.NewSecret()}
	m, other := newMemory(), newMemory()
	if again := m.digest(c); again != m.digest(c) || again == other.digest(c) {
		t.Error("a digest is another for the same process, or the same for another")
	}
	d := c
	d.KeyID[15], d.Secret[0] = c.Secret[0], c.KeyID[15]
	if c != d && m.digest(c) == m.digest(d) {
		t.Error("two credentials have one digest")
	}
	plain := sha256.Sum256(append(c.KeyID[:], c.Secret[:]...))
	zero := hmac.New(sha256.New, make([]byte, sha256.BlockSize))
	zero.Write(append(c.KeyID[:], c.Secret[:]...))
	if got := m.digest(c); got == plain || got == digest(zero.Sum(nil)) {
		t.Error("the digest has no key")
	}
}
