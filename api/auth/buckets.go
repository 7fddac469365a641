package auth

import (
	"math"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxBuckets bounds the buckets of one kind; the one that was used least lately makes room, and is full if it is
// asked for again.
const maxBuckets = 10_000

// buckets are token buckets by name. Tokens can be given back, which golang.org/x/time/rate does only to those who
// wait for theirs.
type buckets[K comparable] struct {
	// interval is how long a token takes to grow, capacity how long all of them.
	interval, capacity time.Duration
	mu                 sync.Mutex
	// fullAt is when a bucket is full: what is kept is a time, so that waits are exact.
	fullAt *simplelru.LRU[K, *time.Time]
}

// newBuckets returns buckets of so many tokens, one at least, which grow at the given rate; 0 bounds nothing.
func newBuckets[K comparable](size int, perSecond float64) *buckets[K] {
	b := &buckets[K]{}
	if perSecond > 0 {
		b.interval = time.Duration(math.Round(float64(time.Second) / perSecond))
		b.capacity = time.Duration(max(1, size)) * b.interval
	}
	b.fullAt, _ = simplelru.NewLRU[K, *time.Time](maxBuckets, nil) // it fails for no size but 0
	return b
}

// take takes a token, or returns how long it is until there is one.
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

// giveBack puts a token back that was taken.
func (b *buckets[K]) giveBack(name K) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if fullAt, known := b.fullAt.Peek(name); known {
		*fullAt = fullAt.Add(-b.interval)
	}
}
