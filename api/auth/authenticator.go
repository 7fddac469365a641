// Package auth authenticates API keys: fast for keys in use, and at a bounded cost for guesses.
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

// Trusted is how long a row is cached without notification: a revoked key works at most that long.
const Trusted = 10 * time.Second

const (
	// lookTimeout bounds the check of one key, on which several requests may wait. It is shorter than Trusted, so that no
	// check ends with an expired row.
	lookTimeout = 5 * time.Second
	// touchInterval is the precision of a key's last use.
	touchInterval = time.Minute
)

// store reads and writes keys. A missing key is reported by found, not by an error.
type store interface {
	// StoredKey returns the key with its hashes; OldHash is empty once the old secret has expired.
	StoredKey(ctx context.Context, id uuid.UUID) (key daap.StoredKey, found bool, err error)
	// TouchAPIKey records the use of the key.
	TouchAPIKey(ctx context.Context, id uuid.UUID) error
	// RehashAPIKey replaces one of the key's hashes if it is unchanged.
	RehashAPIKey(ctx context.Context, id uuid.UUID, before, after string) error
}

// Limits bound the requests of each key; the zero value does not.
type Limits struct {
	// PerSecond is the sustained request rate of a key, Burst the maximum at once, at least one.
	PerSecond float64
	Burst     int
}

// Authenticator authenticates API keys. Safe for concurrent use.
//
// It remembers verified credentials with the rows of their keys, under an HMAC that only this process can compute. A
// row is valid for ten seconds, and only between Trust and Distrust. After that it is read again, and the secret is
// hashed again only if the row's hash changed. While PostgreSQL is down, an expired row authenticates no request. A
// request that begins after Evict returned is never authenticated by a row that was read before.
type Authenticator struct {
	store  store
	hasher *Hasher
	report func(error)

	memory *memory
	looks  singleflight.Group
	// failedKeys and failedFrom bound failures by key and by network; rates bounds the requests of each key.
	failedKeys *buckets[uuid.UUID]
	failedFrom *buckets[netip.Addr]
	rates      *buckets[uuid.UUID]
}

// New returns an Authenticator. Errors that do not fail a request go to report.
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
	// errInvalid covers both an unknown key and a wrong secret.
	errInvalid = daap.Unauthenticated(
		"The API key is not valid; check that it is complete, or ask the platform team for a new one.")
)

// Authenticate returns the caller with the credential, who sent it from the IP address; all callers without an address
// count as one. Text that cannot be a credential costs nothing, and does not count as a failure of its address. Errors:
// CodeUnauthenticated, CodeRateLimited, CodeUnavailable, and the store's errors.
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
			v, ok, _ = a.memory.recall(of) // another check may have finished in the meantime
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

// look reads the key's row once for all concurrent requests with the same credential, and verifies the secret if it is
// not remembered. The row may have been read before the caller asked.
func (a *Authenticator) look(ctx context.Context, of digest, c daap.Credential, address string) (verified, error) {
	found := a.looks.DoChan(string(of[:]), func() (v any, err error) {
		defer func() { // it runs in its own goroutine, in which a panic would end the process
			if p := recover(); p != nil {
				err = fmt.Errorf("check API key %s: panic: %v\n%s", c.KeyID, p, debug.Stack())
			}
		}()
		// A caller that disconnects must not cancel the check for the others.
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

// confirm reads the row of a remembered credential and reports whether its hash is unchanged: then the secret is valid
// without hashing.
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

// prove hashes the secret. A wrong secret costs two hashes whether the key exists or not. A refusal counts as a
// failure, and so does a hash that did not finish; otherwise keeping all others waiting would be free.
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

// rehash replaces a hash that costs less than configured, and returns the stored one.
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

// mayTry takes a failure from the buckets of the key and the network in advance, so that concurrent attempts cannot all
// use the last one; the caller returns it on success.
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

// networkOf returns the network under which failures of an address are counted: a single IPv6 client owns a network of
// 64 bits.
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

// Trust means that evictions are received from now on: rows that are read from now on are valid.
func (a *Authenticator) Trust() { a.memory.turn(true) }

// Distrust means that evictions are no longer received: each request reads its key's row until Trust.
func (a *Authenticator) Distrust() { a.memory.turn(false) }

// Evict means that the key changed: its row must be read again.
func (a *Authenticator) Evict(id uuid.UUID) { a.memory.evict(id) }
