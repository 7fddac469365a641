package auth

import (
	"testing"
	"time"
)

func TestBucketReportsTheExactWait(t *testing.T) {
	t.Parallel()
	b := newBuckets[string](3, 1.0/6)
	now := time.Now()
	take := func(when string, want time.Duration) {
		t.Helper()
		if wait := b.take("key", now); wait != want {
			t.Errorf("%s: wait %s, want %s", when, wait, want)
		}
	}
	for range 3 {
		take("full", 0)
	}
	take("empty", 6*time.Second)
	take("asked in vain", 6*time.Second)
	now = now.Add(2 * time.Second)
	take("after two seconds", 4*time.Second)
	now = now.Add(4 * time.Second)
	take("after six", 0)
	take("and no second one", 6*time.Second)
	b.giveBack("key")
	take("given back", 0)
	take("once", 6*time.Second)
	now = now.Add(time.Hour)
	for range 5 {
		b.giveBack("key")
	}
	for range 3 {
		take("full again", 0)
	}
	take("and not fuller", 6*time.Second)
	now = now.Add(-time.Hour)
	if wait := b.take("key", now); wait <= 0 {
		t.Error("a clock that goes back fills it")
	}
	b.giveBack("nobody's") // may have made room meanwhile
}

func TestBucketOfNoRateBoundsNothing(t *testing.T) {
	t.Parallel()
	b := newBuckets[string](0, 0)
	for range 1000 {
		if wait := b.take("key", time.Now()); wait != 0 {
			t.Fatalf("wait %s", wait)
		}
	}
	if b.fullAt.Len() != 0 {
		t.Error("it is kept all the same")
	}
}

func TestBucketHasATokenWhateverItsSize(t *testing.T) {
	t.Parallel()
	b, now := newBuckets[string](0, 0.4), time.Now()
	if first, second := b.take("key", now), b.take("key", now); first != 0 || second != 2500*time.Millisecond {
		t.Errorf("waits are %s and %s", first, second)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	b := newBuckets[int](1, 1)
	for i := range 100_000 {
		b.take(i, time.Now())
	}
	if n := b.fullAt.Len(); n != maxBuckets {
		t.Errorf("%d buckets are kept, want %d", n, maxBuckets)
	}
}
