// Package auth finds out who the bearer of an API key is: fast for a key that is in use, and at a bounded cost for
// whoever tries keys.
package auth

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"github.com/daap-dev/daap"
)

// Trusted is how long a row is believed after it was read: so long may a key live on that was revoked, where
// nobody tells of it.
const Trusted = 10 * time.Second

const (
	// lookTimeout bounds a look at one key, which others may wait for too. It is less than Trusted, so that no
	// look ends with a row that is not to be believed any more.
	lookTimeout = 5 * time.Second
	// touchInterval is how exact a key's last use is.
	touchInterval = time.Minute
)

// store reads and writes keys. One that does not exist is not found, which is no error.
type store interface {
	// StoredKey returns the key with its hashes; OldHash is empty once the old secret's time is over.
	StoredKey(ctx context.Context, id uuid.UUID) (key daap.StoredKey, found bool, err error)
	// TouchAPIKey records that the key was used now.
	TouchAPIKey(ctx context.Context, id uuid.UUID) error
	// RehashAPIKey replaces one of the key's hashes, if it is there still.
	RehashAPIKey(ctx context.Context, id uuid.UUID, before, after string) error
}

// Limits bound the requests of each key; the zero value does not.
type Limits struct {
	// PerSecond is how many a key may send in the long run, Burst how many at once: one at least.
	PerSecond float64
	Burst     int
}

// Authenticator finds out who the bearer of a key is. Safe for concurrent use.
//
// A credential that was verified is remembered, under an HMAC that only this process can compute, with the row of
// its key. The row is believed for ten seconds, and only between Trust and Distrust; then it is read again, and
// the secret is hashed again only where the row has another hash. While PostgreSQL is away, nobody is let in by a
// row that is not believed any more.
//
// A request that begins after an Evict has returned is never let in by a row that was read before it.
type Authenticator struct {
	store  store
	hasher *Hasher
	report func(error)

	memory *memory
	looks  singleflight.Group
	// failedKeys and failedFrom bound failures by key and by network, rates the requests of each key.
	failedKeys *buckets[uuid.UUID]
	failedFrom *buckets[netip.Addr]
	rates      *buckets[uuid.UUID]
}

// New returns an Authenticator. What goes wrong without a request having to fail for it is given to report.
func New(store store, hasher *Hasher, limits Limits, report func(error)) *Authenticator {
	return &Authenticator{
		store: store, hasher: hasher, report: report,
		memory:     newMemory(),
		failedKeys: newBuckets[uuid.UUID](10, 1.0/6),
		failedFrom: newBuckets[netip.Addr](30, 1),
		rates:      newBuckets[uuid.UUID](limits.Burst, limits.PerSecond),
	}
}

var (
	errJunk = daap.Unauthenticated(
		"This is not an API key. An API key looks like daap_<id>_<secret>_<checksum>; check that it is complete.")
	// errInvalid is told for an unknown key and for a wrong secret alike.
	errInvalid = daap.Unauthenticated(
		"The API key is not valid; check that it is complete, or ask the platform team for a new one.")
)

// Authenticate returns who the bearer of the credential is, who sent it from the IP address; those whose address
// is empty count as one. What cannot be a credential is refused at no cost, and so counts as no failure of its
// address. Errors: CodeUnauthenticated, CodeRateLimited, CodeUnavailable, and those of the store.
func (a *Authenticator) Authenticate(ctx context.Context, presented, address string) (daap.Caller, error) {
	credential, ok := daap.ParseCredential(presented)
	if !ok {
		return daap.Caller{}, errJunk
	}
	of := a.memory.digest(credential)
	v, ok, asked := a.memory.recall(of)
	for !ok {
		var err error
		if v, err = a.look(ctx, of, credential, address); err != nil {
			return daap.Caller{}, err
		}
		if ok = a.memory.current(v.seen, asked); !ok {
			v, ok, _ = a.memory.recall(of) // another look may have ended meanwhile
		}
	}
	now := time.Now()
	if why := v.refusal(now); why != "" {
		return daap.Caller{}, daap.Unauthenticated(why)
	}
	if wait := a.rates.take(v.key.ID, now); wait > 0 {
		return daap.Caller{}, daap.RateLimited("This API key exceeds its request rate; send requests more slowly.", wait)
	}
	return v.key.Caller(), nil
}

// look reads the key's row, once for all who ask for the same credential at the same time, and has the secret
// proven where it is not known from before. The row may have been read before the caller asked.
func (a *Authenticator) look(ctx context.Context, of digest, c daap.Credential, address string) (verified, error) {
	found := a.looks.DoChan(string(of[:]), func() (v any, err error) {
		defer func() { // it is a goroutine of its own, in which a panic ends the process
			if p := recover(); p != nil {
				err = fmt.Errorf("check API key %s: panic: %v\n%s", c.KeyID, p, debug.Stack())
			}
		}()
		// One who leaves must not take the others' answer with him.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
		defer cancel()
		return a.lookOnce(ctx, of, c, address)
	})
	select {
	case got := <-found:
		v, _ := got.Val.(verified) // the zero value with an error
		return v, got.Err
	case <-ctx.Done():
		return verified{}, fmt.Errorf("check API key %s: %w", c.KeyID, ctx.Err())
	}
}

func (a *Authenticator) lookOnce(ctx context.Context, of digest, c daap.Credential, address string) (verified, error) {
	known, seen := a.memory.begin(of)
	v, is, err := a.confirm(ctx, known, seen)
	if err == nil && !is {
		a.memory.forget(of)
		v, err = a.prove(ctx, c, address, seen)
	}
	if err != nil {
		return verified{}, err
	}
	a.memory.remember(of, v)
	return v, nil
}

// confirm reads the row of a credential that was verified before, and says whether it has the same hash still:
// then the secret is right without being hashed.
func (a *Authenticator) confirm(ctx context.Context, known verified, seen sight) (v verified, is bool, err error) {
	if known.hash == "" {
		return verified{}, false, nil
	}
	key, found, err := a.store.StoredKey(ctx, known.key.ID)
	if err != nil {
		return verified{}, false, fmt.Errorf("read API key %s: %w", known.key.ID, err)
	}
	v = verified{key: key.APIKey, hash: known.hash, old: key.Hash != known.hash, seen: seen}
	if !found || v.old && key.OldHash != known.hash {
		return verified{}, false, nil
	}
	a.touch(ctx, v)
	return v, true, nil
}

// prove hashes the secret. One that is wrong costs two hashes, whether there is such a key or not. What is refused
// is a failure, and so is what was hashed and came to no end: or whoever keeps all others waiting does so for free.
func (a *Authenticator) prove(
	ctx context.Context, c daap.Credential, address string, seen sight,
) (v verified, err error) {
	giveBack, err := a.mayTry(c.KeyID, address)
	if err != nil {
		return verified{}, err
	}
	failed := false
	defer func() {
		if !failed {
			giveBack()
		}
	}()
	key, _, err := a.store.StoredKey(ctx, c.KeyID)
	if err != nil {
		return verified{}, fmt.Errorf("read API key %s: %w", c.KeyID, err)
	}
	for i, hash := range []string{key.Hash, key.OldHash} {
		right, err := a.hasher.Verify(ctx, cmp.Or(hash, a.hasher.dummy), c.Secret)
		if err != nil {
			return verified{}, fmt.Errorf("check API key %s: %w", c.KeyID, err)
		}
		if failed = !right || hash == ""; failed {
			continue
		}
		v := verified{key: key.APIKey, hash: hash, old: i == 1, seen: seen}
		if failed = v.refusal(time.Now()) != ""; !failed {
			a.touch(ctx, v)
			v.hash = a.rehash(ctx, c, hash)
		}
		return v, nil
	}
	return verified{}, errInvalid
}

// rehash replaces a hash that costs less than is asked for now, and returns the one that is kept.
func (a *Authenticator) rehash(ctx context.Context, c daap.Credential, before string) string {
	if !a.hasher.Outdated(before) {
		return before
	}
	after, err := a.hasher.Hash(ctx, c.Secret)
	if err == nil {
		err = a.store.RehashAPIKey(ctx, c.KeyID, before, after)
	}
	if err != nil {
		a.report(fmt.Errorf("rehash API key %s: %w", c.KeyID, err))
		return before
	}
	return after
}

func (a *Authenticator) touch(ctx context.Context, v verified) {
	now, last := time.Now(), v.key.LastUsedAt
	if last != nil && now.Sub(*last) < touchInterval || v.refusal(now) != "" {
		return
	}
	if err := a.store.TouchAPIKey(ctx, v.key.ID); err != nil {
		a.report(fmt.Errorf("record the use of API key %s: %w", v.key.ID, err))
	}
}

// mayTry takes one failure from the key's and the network's buckets before there is one, so that many at once
// cannot all fail for the last; the caller gives it back where there was none.
func (a *Authenticator) mayTry(key uuid.UUID, address string) (giveBack func(), err error) {
	now, from := time.Now(), networkOf(address)
	const message = "Too many failed authentications; wait before you try again."
	if wait := a.failedFrom.take(from, now); wait > 0 {
		return nil, daap.RateLimited(message, wait)
	}
	if wait := a.failedKeys.take(key, now); wait > 0 {
		a.failedFrom.giveBack(from)
		return nil, daap.RateLimited(message, wait)
	}
	return func() {
		a.failedFrom.giveBack(from)
		a.failedKeys.giveBack(key)
	}, nil
}

// networkOf is what failures from an address are counted under: IPv6 is given out in networks of 64 bits, of which
// one client has every address.
func networkOf(address string) netip.Addr {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Addr{}
	}
	if addr = addr.Unmap().WithZone(""); addr.Is4() {
		return addr
	}
	return netip.PrefixFrom(addr, 64).Masked().Addr()
}

// Trust says that evictions are heard of from now on: rows that are read from now on are believed.
func (a *Authenticator) Trust() { a.memory.turn(true) }

// Distrust says that evictions are not heard of any more: each request reads its key's row, until Trust.
func (a *Authenticator) Distrust() { a.memory.turn(false) }

// Evict says that the key has changed: its row is read again before it is believed.
func (a *Authenticator) Evict(id uuid.UUID) { a.memory.evict(id) }
