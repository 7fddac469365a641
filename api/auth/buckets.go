package auth

import (
	"math"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// maxBuckets bounds the buckets of one kind; the one that was used least lately makes room.
const maxBuckets = 10_000

// buckets are token buckets by name. A token can be given back, which golang.org/x/time/rate does not know.
type buckets[K comparable] struct {
	size, perSecond float64
	mu              sync.Mutex
	byName          *lru.Cache[K, bucket]
}

type bucket struct {
	tokens float64
	at     time.Time
}

// newBuckets returns buckets that hold size tokens when they are full; none at all bound nothing.
func newBuckets[K comparable](size, perSecond float64) *buckets[K] {
	b := &buckets[K]{size: size, perSecond: perSecond}
	b.byName, _ = lru.New[K, bucket](maxBuckets) // it fails for no size but 0
	return b
}

// take takes a token, or returns how long it is until there is one.
func (b *buckets[K]) take(name K, now time.Time) time.Duration {
	if b.size <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	had, known := b.byName.Get(name)
	if !known {
		had = bucket{b.size, now}
	}
	if passed := now.Sub(had.at).Seconds(); passed > 0 {
		had.tokens, had.at = math.Min(b.size, had.tokens+passed*b.perSecond), now
	}
	var wait time.Duration
	if had.tokens >= 1 {
		had.tokens--
	} else {
		wait = time.Duration((1 - had.tokens) / b.perSecond * float64(time.Second))
	}
	b.byName.Add(name, had)
	return wait
}

// giveBack puts a token back that was taken.
func (b *buckets[K]) giveBack(name K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if had, known := b.byName.Peek(name); known {
		had.tokens = math.Min(b.size, had.tokens+1)
		b.byName.Add(name, had)
	}
}
