//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/dev/chaos/fault"
)

// visit is what a test makes of the points that the worker comes to with one operation. It runs on the listener's
// goroutine, and the worker waits for it.
type visit func(fault.At) fault.Verdict

// listener is where the worker asks, at each point of each step.
type listener struct {
	mu       sync.Mutex
	visits   map[uuid.UUID]visit
	expected int
	changed  chan struct{}
}

func newListener() *listener {
	return &listener{visits: map[uuid.UUID]visit{}, changed: make(chan struct{})}
}

// expect announces an operation whose ID is not known yet: until it is told, the worker waits with operations that
// nobody knows, as it may come to a point before the answer with the ID comes to the test.
func (l *listener) expect() (know func(operation uuid.UUID, v visit)) {
	l.change(func() { l.expected++ })
	return func(operation uuid.UUID, v visit) {
		l.change(func() {
			l.expected--
			if operation != uuid.Nil {
				l.visits[operation] = v
			}
		})
	}
}

// plan replaces what is to be done at the points of an operation.
func (l *listener) plan(operation uuid.UUID, v visit) {
	l.change(func() { l.visits[operation] = v })
}

func (l *listener) change(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	do()
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var at fault.At
	if err := json.NewDecoder(r.Body).Decode(&at); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var verdict fault.Verdict
	if v := l.visitOf(r.Context(), at.Operation); v != nil {
		verdict = v(at)
	}
	_ = json.NewEncoder(w).Encode(verdict) // the worker may be what was killed
}

// visitOf is nil for an operation for which nothing is planned.
func (l *listener) visitOf(ctx context.Context, operation uuid.UUID) visit {
	for {
		l.mu.Lock()
		v, known := l.visits[operation]
		expected, changed := l.expected, l.changed
		l.mu.Unlock()
		if known || expected == 0 {
			return v
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// place is a point of a step.
type place struct {
	step  daap.StepName
	point string
	undo  bool
}

func (p place) is(at fault.At) bool {
	return at.Step == p.step && at.Point == p.point && at.Undo == p.undo
}

// at is a visit that does something at one place, and lets the worker go on elsewhere.
func (p place) at(do visit) visit {
	return func(at fault.At) fault.Verdict {
		if !p.is(at) {
			return fault.Verdict{}
		}
		return do(at)
	}
}
