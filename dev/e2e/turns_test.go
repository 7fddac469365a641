//go:build e2e

package e2e

import (
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/daap-dev/daap/dev/local"
)

// need is a fact about a test that decides when its turn comes.
type need int

const (
	// long tests begin before all others, so that none of them is still running when the others are done.
	long need = iota
	// needsStore tests wait while another test stops the object store.
	needsStore
	// needsHealth tests want the API's health to be ok, degrades tests make it degraded for a while. Neither runs beside
	// the other.
	needsHealth
	degrades
)

// turns gives tests their turns at a pace that the machine bears. Go's own limit (-parallel) is far higher, as a test
// that waits for its turn counts there too.
type turns struct {
	mu      sync.Mutex
	opened  sync.Once
	isOpen  bool
	pace    local.Pace
	stopped bool // the object store is, or will be
	running map[need]int
	waiting []*turn
}

type turn struct {
	needs []need
	begin chan struct{}
}

var queue = &turns{pace: local.Pace{Limit: atOnce()}, running: map[need]int{}}

// atOnce is how many tests run at once: DAAP_E2E_AT_ONCE, which make e2e sets.
func atOnce() int {
	const otherwise = 4
	n, err := strconv.Atoi(os.Getenv("DAAP_E2E_AT_ONCE"))
	if err != nil || n < 1 {
		return otherwise
	}
	return n
}

// parallel runs the rest of the test beside others, when its turn comes. The turn ends with the test.
func parallel(t *testing.T, needs ...need) {
	t.Helper()
	mine := queue.join(needs...) // before any test runs beside others: the queue knows all of them when it opens
	t.Parallel()
	queue.open()
	<-mine.begin
	t.Cleanup(func() { queue.leave(mine) })
}

// join adds a turn to the queue.
func (q *turns) join(needs ...need) *turn {
	mine := &turn{needs, make(chan struct{})}
	q.change(func() { q.waiting = append(q.waiting, mine) })
	return mine
}

// open begins the first turns, and the check for turns that wait until the processors have room.
func (q *turns) open() {
	q.opened.Do(func() {
		q.change(func() { q.isOpen = true })
		go func() {
			for range time.Tick(time.Second) {
				q.change(func() {})
			}
		}()
	})
}

// leave ends a turn that has begun.
func (q *turns) leave(mine *turn) {
	q.change(func() {
		q.pace.End()
		q.count(mine, -1)
	})
}

// stopObjectStore reserves the object store for a test that stops it. It is called before the test runs beside others,
// hence before any of those that need the store has begun. They begin after giveBack, at the latest when the test ends.
func (q *turns) stopObjectStore(t *testing.T) (giveBack func()) {
	t.Helper()
	q.change(func() { q.stopped = true })
	giveBack = func() { q.change(func() { q.stopped = false }) }
	t.Cleanup(giveBack)
	return giveBack
}

// change changes the queue and begins the turns that can begin then: long ones first, else in order.
func (q *turns) change(do func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	do()
	for q.isOpen && q.pace.HasRoom() {
		next := q.next(long)
		if next < 0 {
			next = q.next()
		}
		if next < 0 {
			return
		}
		close(q.waiting[next].begin)
		q.count(q.waiting[next], 1)
		q.waiting = slices.Delete(q.waiting, next, next+1)
		q.pace.Begin()
	}
}

func (q *turns) count(w *turn, n int) {
	for _, has := range w.needs {
		q.running[has] += n
	}
}

// blocked says whether a turn with the need must wait for another test.
func (q *turns) blocked(by need) bool {
	switch by {
	case needsStore:
		return q.stopped
	case needsHealth:
		return q.running[degrades] > 0
	case degrades:
		return q.running[needsHealth] > 0
	default:
		return false
	}
}

// next returns the index of the first turn with all of these needs that can begin; -1 without one.
func (q *turns) next(with ...need) int {
	return slices.IndexFunc(q.waiting, func(w *turn) bool {
		return !slices.ContainsFunc(w.needs, q.blocked) &&
			!slices.ContainsFunc(with, func(n need) bool { return !slices.Contains(w.needs, n) })
	})
}

// isLong says whether the suite runs in its long form: waits that the short form cuts are waited out.
func isLong() bool { return os.Getenv("DAAP_E2E_LONG") != "" }
