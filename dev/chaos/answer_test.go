//go:build chaos

package chaos

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/daap-dev/daap/dev/chaos/fault"
)

// answerLost loses what an activity answers, once, after it has had its effect; it is done again.
func answerLost(ctx context.Context, t *testing.T, c cell) {
	var loss loss
	x := begin(ctx, t, c.kind, c.place().at(loss.once))
	t.Cleanup(loss.over)
	op := x.succeeds(ctx, t)
	if loss.times == 0 {
		t.Fatal("no answer was lost: the worker did not come there")
	}
	last := len(op.Steps) - 1
	for i, step := range op.Steps {
		// The effect of the last step is the end of the operation: the fence lets nobody do it again.
		if step.Name == string(c.step) && i < last && (step.Attempts < 2 || step.LastError != lost || loss.times < 2) {
			t.Errorf("step %s was done at attempt %d with the last error %q, want a second one after %q",
				step.Name, step.Attempts, step.LastError, lost)
		}
	}
}

const lost = "the answer was lost"

// loss is one lost answer at one place. It holds harm until the activity is there again: an error that others cause
// would stand in the place of this one.
type loss struct {
	mu sync.Mutex
	// times counts how often the activity had its effect, from the lost answer on.
	times int
	held  bool
}

func (l *loss) once(fault.At) fault.Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.times > 0 {
		l.times++
		l.release()
		return fault.Verdict{}
	}
	select {
	case harm <- struct{}{}:
		l.times, l.held = 1, true
		return fault.Verdict{Fail: lost}
	case <-time.After(myTurn):
		return fault.Verdict{Fail: "somebody else does harm; try again"}
	}
}

// over gives harm back, where that was not done.
func (l *loss) over() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.release()
}

func (l *loss) release() {
	if l.held {
		<-harm
	}
	l.held = false
}
