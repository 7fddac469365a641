// Package auth finds out who the bearer of an API key is: fast for a key that is in use, and at a bounded cost for
// whoever tries keys.
package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"github.com/daap-dev/daap"
)

// Trusted is how long a row is believed after it was read: so long may a key live on that was revoked, where
// nobody tells of it.
const Trusted = 10 * time.Second

const (
	// maxVerified bounds the keys that are known from memory, at about 500 bytes each.
	maxVerified = 10_000
	// lookTimeout bounds a look at one key, which others may wait for too.
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
	// PerSecond is how many a key may send in the long run, Burst how many at once.
	PerSecond float64
	Burst     int
}

// Authenticator finds out who the bearer of a key is. Safe for concurrent use.
//
// A credential that was verified is remembered, under an HMAC that only this process can compute, with the row of
// its key. The row is believed for ten seconds, and only between Trust and Distrust; then it is read again, and
// the secret is hashed again only where the row has another hash. While PostgreSQL is away, nobody is let in by a
// row that is not believed any more.
type Authenticator struct {
	store   store
	hasher  *Hasher
	report  func(error)
	hmacKey [32]byte

	looks      singleflight.Group
	failedKeys *buckets[uuid.UUID]
	failedFrom *buckets[string]
	rates      *buckets[uuid.UUID]

	mu       sync.Mutex
	verified *lru.Cache[digest, verified]
	// trusting says that evictions are heard of; epoch counts the times since when they are, and are not.
	trusting bool
	epoch    uint64
	// evictions counts them, so that a row that was read meanwhile is not believed.
	evictions uint64
}

// digest is what a credential is remembered by.
type digest [sha256.Size]byte

// verified is a credential that was proven, with the row of its key.
type verified struct {
	key daap.APIKey
	// hash is the one that the secret has, and old says that it is that of the secret before.
	hash   string
	old    bool
	readAt time.Time
	epoch  uint64
}

// New returns an Authenticator. What goes wrong without a request having to fail for it is given to report.
func New(store store, hasher *Hasher, limits Limits, report func(error)) *Authenticator {
	a := &Authenticator{
		store: store, hasher: hasher, report: report,
		failedKeys: newBuckets[uuid.UUID](10, 1.0/6),
		failedFrom: newBuckets[string](30, 1),
		rates:      newBuckets[uuid.UUID](float64(limits.Burst), limits.PerSecond),
	}
	_, _ = rand.Read(a.hmacKey[:])                         // it does not fail: without randomness the program ends
	a.verified, _ = lru.New[digest, verified](maxVerified) // it fails for no size but 0
	return a
}

// errInvalid is told for an unknown key and for a wrong secret alike.
var errInvalid = daap.Unauthenticated(
	"The API key is not valid; check that it is whole, or ask the platform team for another one.")

// Authenticate returns who the bearer of the credential is, who sent it from the address. Errors:
// CodeUnauthenticated, CodeRateLimited, CodeUnavailable, and those of the store.
func (a *Authenticator) Authenticate(ctx context.Context, presented, address string) (daap.Caller, error) {
	credential, ok := daap.ParseCredential(presented)
	if !ok {
		return daap.Caller{}, daap.Unauthenticated(
			"This is no API key: one reads daap_<id>_<secret>_<checksum>; check that it is whole.")
	}
	of := a.digest(credential)
	v, trusted := a.remembered(of)
	if !trusted {
		var err error
		if v, err = a.look(ctx, of, credential, address); err != nil {
			return daap.Caller{}, err
		}
	}
	now := time.Now()
	if why := v.refusal(now); why != "" {
		return daap.Caller{}, daap.Unauthenticated(why)
	}
	if wait := a.rates.take(v.key.ID, now); wait > 0 {
		return daap.Caller{}, daap.RateLimited("This API key sends more requests than it may; send them more slowly.", wait)
	}
	return v.key.Caller(), nil
}

// refusal says for people why a credential that was proven is not valid any more; empty where it is.
func (v verified) refusal(now time.Time) string {
	if v.old && (v.key.OldSecretUntil == nil || !now.Before(*v.key.OldSecretUntil)) {
		return "The API key has another secret now, and the time of this one is over."
	}
	return v.key.Refusal(now)
}

func (a *Authenticator) digest(c daap.Credential) digest {
	mac := hmac.New(sha256.New, a.hmacKey[:])
	mac.Write(c.KeyID[:])
	mac.Write(c.Secret[:])
	var of digest
	mac.Sum(of[:0])
	return of
}

// remembered returns what is known of a credential, and whether that is believed.
func (a *Authenticator) remembered(of digest) (verified, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, known := a.verified.Get(of)
	return v, known && a.trusting && v.epoch == a.epoch && time.Since(v.readAt) < Trusted
}

// look reads the key's row, once for all who ask for the same credential at the same time, and has the secret
// proven where it is not known from before.
func (a *Authenticator) look(ctx context.Context, of digest, c daap.Credential, address string) (verified, error) {
	found := a.looks.DoChan(string(of[:]), func() (any, error) {
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
		return verified{}, fmt.Errorf("look at API key %s: %w", c.KeyID, ctx.Err())
	}
}

func (a *Authenticator) lookOnce(ctx context.Context, of digest, c daap.Credential, address string) (verified, error) {
	mark := a.mark()
	known, _ := a.remembered(of)
	if known.hash == "" {
		giveBack, err := a.mayTry(c.KeyID, address)
		if err != nil {
			return verified{}, err
		}
		defer func() { giveBack() }()
		v, err := a.prove(ctx, c)
		if err == errInvalid { //nolint:errorlint // the one above, and not one like it
			giveBack = func() {} // a failure is what the buckets count
		}
		if err != nil {
			return verified{}, err
		}
		return a.remember(of, v, mark), nil
	}
	key, found, err := a.store.StoredKey(ctx, c.KeyID)
	switch {
	case err != nil:
		return verified{}, fmt.Errorf("read API key %s: %w", c.KeyID, err)
	case found && key.Hash == known.hash:
		known.old = false
	case found && key.OldHash == known.hash:
		known.old = true
	default:
		a.forget(of)
		return a.lookOnce(ctx, of, c, address) // once more at most: nothing is known of it now
	}
	known.key = key.APIKey
	a.touch(ctx, key.APIKey)
	return a.remember(of, known, mark), nil
}

// prove hashes the secret. One that is wrong costs two hashes, whether there is such a key or not.
func (a *Authenticator) prove(ctx context.Context, c daap.Credential) (verified, error) {
	key, _, err := a.store.StoredKey(ctx, c.KeyID)
	if err != nil {
		return verified{}, fmt.Errorf("read API key %s: %w", c.KeyID, err)
	}
	for i, hash := range []string{key.Hash, key.OldHash} {
		kept := hash
		if kept == "" {
			kept = a.hasher.dummy
		}
		right, err := a.hasher.Verify(ctx, kept, c.Secret)
		if err != nil {
			return verified{}, fmt.Errorf("check API key %s: %w", c.KeyID, err)
		}
		if right && hash != "" {
			a.touch(ctx, key.APIKey)
			return verified{key: key.APIKey, hash: a.rehash(ctx, c, hash), old: i == 1}, nil
		}
	}
	return verified{}, errInvalid
}

// rehash replaces a hash of another cost than is asked for now, and returns the one that is kept.
func (a *Authenticator) rehash(ctx context.Context, c daap.Credential, before string) string {
	if !a.hasher.Outdated(before) {
		return before
	}
	after, err := a.hasher.Hash(ctx, c.Secret)
	if err == nil {
		err = a.store.RehashAPIKey(ctx, c.KeyID, before, after)
	}
	if err != nil {
		a.report(fmt.Errorf("hash API key %s anew: %w", c.KeyID, err))
		return before
	}
	return after
}

func (a *Authenticator) touch(ctx context.Context, key daap.APIKey) {
	now := time.Now()
	if key.LastUsedAt != nil && now.Sub(*key.LastUsedAt) < touchInterval || key.Refusal(now) != "" {
		return
	}
	if err := a.store.TouchAPIKey(ctx, key.ID); err != nil {
		a.report(fmt.Errorf("record the use of API key %s: %w", key.ID, err))
	}
}

// mayTry takes one failure from the key's and the address's buckets before there is one, so that many at once
// cannot all fail for the last; the caller gives it back after a success.
func (a *Authenticator) mayTry(key uuid.UUID, address string) (giveBack func(), err error) {
	now := time.Now()
	const message = "Too many API keys that are not valid were sent; wait before the next one."
	if wait := a.failedFrom.take(address, now); wait > 0 {
		return nil, daap.RateLimited(message, wait)
	}
	if wait := a.failedKeys.take(key, now); wait > 0 {
		a.failedFrom.giveBack(address)
		return nil, daap.RateLimited(message, wait)
	}
	return func() {
		a.failedFrom.giveBack(address)
		a.failedKeys.giveBack(key)
	}, nil
}

// mark is the point in time since which a row that is read may be believed.
type mark struct{ epoch, evictions uint64 }

func (a *Authenticator) mark() mark {
	a.mu.Lock()
	defer a.mu.Unlock()
	return mark{a.epoch, a.evictions}
}

// remember keeps what was found out since the mark, which is believed only if nothing was evicted meanwhile.
func (a *Authenticator) remember(of digest, v verified, since mark) verified {
	a.mu.Lock()
	defer a.mu.Unlock()
	v.readAt, v.epoch = time.Now(), since.epoch
	if since.evictions != a.evictions {
		v.readAt = time.Time{}
	}
	a.verified.Add(of, v)
	return v
}

func (a *Authenticator) forget(of digest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.verified.Remove(of)
}

// Trust says that evictions are heard of from now on: rows that are read from now on are believed.
func (a *Authenticator) Trust() { a.turn(true) }

// Distrust says that evictions are not heard of any more: each request reads its key's row, until Trust.
func (a *Authenticator) Distrust() { a.turn(false) }

func (a *Authenticator) turn(trusting bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trusting = trusting
	a.epoch++
}

// Evict says that the key has changed: its row is read again before it is believed.
func (a *Authenticator) Evict(id uuid.UUID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.evictions++
	for _, of := range a.verified.Keys() {
		if v, known := a.verified.Peek(of); known && v.key.ID == id {
			v.readAt = time.Time{}
			a.verified.Add(of, v)
		}
	}
}
