package auth

import (
	"math"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxBuckets bounds the buckets of one kind; the least recently used one is dropped, and is full when it is used again.
const maxBuckets = 10_000

// buckets are token buckets by name. Tokens can be returned, which golang.org/x/time/rate supports only for
// reservations.
type buckets[K comparable] struct {
	// interval is the time to refill a token, capacity the time to refill all of them.
	interval, capacity time.Duration
	mu                 sync.Mutex
	// fullAt is when a bucket is full: storing a time makes waits exact.
	fullAt *simplelru.LRU[K, *time.Time]
}

// newBuckets returns buckets with the given number of tokens, at least one, that refill at the given rate; 0 means no
// bound.
func newBuckets[K comparable](size int, perSecond float64) *buckets[K] {
	b := &buckets[K]{}
	if perSecond > 0 {
		b.interval = time.Duration(math.Round(float64(time.Second) / perSecond))
		b.capacity = time.Duration(max(1, size)) * b.interval
	}
	b.fullAt, _ = simplelru.NewLRU[K, *time.Time](maxBuckets, nil) // fails only for size 0
	return b
}

// take takes a token, or returns the time until there is one.
func (b *buckets[K]) take(name K, now time.Time) time.Duration {
	if b.interval <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	fullAt, known := b.fullAt.Get(name)
	if !known {
		fullAt = &time.Time{}
		b.fullAt.Add(name, fullAt)
	}
	if fullAt.Before(now) {
		*fullAt = now
	}
	if wait := fullAt.Add(b.interval).Sub(now) - b.capacity; wait > 0 {
		return wait
	}
	*fullAt = fullAt.Add(b.interval)
	return 0
}

// giveBack returns a token.
func (b *buckets[K]) giveBack(name K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if fullAt, known := b.fullAt.Peek(name); known {
		*fullAt = fullAt.Add(-b.interval)
	}
}
