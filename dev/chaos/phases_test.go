//go:build chaos

package chaos

import (
	"context"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/daap-dev/daap/dev/local"
)

// phase groups the cells whose harm may come together. One phase ends before the next begins; within it, cells run
// beside each other.
type phase int

const (
	// parks are cells that need every process alive: their operation must park for their own cause and no other, or
	// the worker that they hold must not die.
	parks phase = iota
	// images are cells that hide PostgreSQL's image from the node, which stops every provision.
	images
	// kills are all others. Their harm comes one at a time (see harm).
	kills
	allPhases
)

// running counts the cells of each phase that have not ended. Each cell is counted before any of them runs beside
// others.
var running [allPhases]sync.WaitGroup

// pace limits how many cells run at once. Go's own limit (-parallel) counts those that wait for their phase, too.
var pace = struct {
	sync.Mutex
	local.Pace
}{Pace: local.Pace{Limit: atOnce()}}

// takeRoom counts a cell that begins, if there is room for it.
func takeRoom() bool {
	pace.Lock()
	defer pace.Unlock()
	if !pace.HasRoom() {
		return false
	}
	pace.Begin()
	return true
}

func giveRoom() {
	pace.Lock()
	defer pace.Unlock()
	pace.End()
}

// atOnce is DAAP_CHAOS_AT_ONCE, which make chaos sets.
func atOnce() int {
	const otherwise = 3
	n, err := strconv.Atoi(os.Getenv("DAAP_CHAOS_AT_ONCE"))
	if err != nil || n < 2 { // the cells that hide the image wait for each other
		return otherwise
	}
	return n
}

// enter waits until the cell's phase has begun and there is room for it.
func (c cell) enter(t *testing.T) {
	t.Helper()
	running[c.phase].Add(1)
	t.Cleanup(running[c.phase].Done)
	if c.phase == images {
		hidden.join(t)
	}
	t.Parallel()
	for earlier := range running[:c.phase] {
		running[earlier].Wait()
	}
	for !takeRoom() {
		select {
		case <-time.After(time.Second):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
	t.Cleanup(giveRoom)
}

// hiding has the cells that hide PostgreSQL's image do so once: it is hidden when each of them is ready, and put back
// when the operation of each is parked.
type hiding struct {
	mu            sync.Mutex
	ready, parked sync.WaitGroup
	members       map[string]member
	hide, show    sync.Once
}

// member ends the waits of the others for one cell; each twice is once.
type member struct{ ready, parked func() }

var hidden = hiding{members: map[string]member{}}

// join counts the cell. One that fails keeps the others no longer.
func (h *hiding) join(t *testing.T) {
	t.Helper()
	h.ready.Add(1)
	h.parked.Add(1)
	m := member{sync.OnceFunc(h.ready.Done), sync.OnceFunc(h.parked.Done)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.members[t.Name()] = m
	t.Cleanup(func() {
		m.ready()
		m.parked()
	})
}

// image hides the image when every cell is ready. putBack waits until every cell is parked, and puts it back.
func (h *hiding) image(ctx context.Context, t *testing.T) (image string, putBack func(context.Context)) {
	t.Helper()
	h.mu.Lock()
	m := h.members[t.Name()]
	h.mu.Unlock()
	image = postgresImage()
	m.ready()
	h.ready.Wait()
	h.hide.Do(func() { hideImage(ctx, t, image) })
	putBack = func(ctx context.Context) {
		m.parked()
		h.parked.Wait()
		h.show.Do(func() { showImage(ctx, t, image) })
	}
	t.Cleanup(func() { putBack(context.WithoutCancel(ctx)) })
	return image, putBack
}
