//go:build chaos

package chaos

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/daap-dev/daap/dev/chaos/fault"
)

// answerLost loses what an activity answers, once, after it has had its effect; it is done again.
func answerLost(ctx context.Context, t *testing.T, c cell) {
	const lost = "the answer was lost"
	var times atomic.Int32
	x := begin(ctx, t, c.kind, c.place().at(func(fault.At) fault.Verdict {
		if times.Add(1) == 1 {
			return fault.Verdict{Fail: lost}
		}
		return fault.Verdict{}
	}))
	op := x.succeeds(ctx, t)
	if times.Load() == 0 {
		t.Fatal("no answer was lost: the worker did not come there")
	}
	last := len(op.Steps) - 1
	for i, step := range op.Steps {
		// The effect of the last step is the end of the operation: the fence lets nobody do it again.
		if step.Name == string(c.step) && i < last && (step.Attempts < 2 || step.LastError != lost || times.Load() < 2) {
			t.Errorf("step %s was done at attempt %d with the last error %q, want a second one after %q",
				step.Name, step.Attempts, step.LastError, lost)
		}
	}
}
