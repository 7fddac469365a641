package local

import (
	"testing"
	"time"
)

func TestLowPriorityIsNoUse(t *testing.T) {
	t.Parallel()
	from := parseTicks("cpu  100 50 100 1000 5 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
	for stat, want := range map[string]float64{
		"cpu  190 50 100 1010 5 0 0 0 0 0\n":  0.9,
		"cpu  110 140 100 1000 5 0 0 0 0 0\n": 0.1,
		"cpu  100 50 100 1000 5 0 0 0 0 0\n":  0,
		"no counts":                           0,
	} {
		if got := used(from, parseTicks(stat)); got != want {
			t.Errorf("after %q the use is %v, want %v", stat, got, want)
		}
	}
}

func TestBusyProcessorsHoldAllButTwoTests(t *testing.T) {
	t.Parallel()
	p := Pace{Limit: 3}
	settled := time.Now().Add(time.Hour)
	for running, busy := range []bool{true, true, false} {
		if !p.hasRoom(settled, busy) {
			t.Fatalf("beside %d tests there is no room, on a machine that is busy: %t", running, busy)
		}
		p.Begin()
		if running == 1 && (p.hasRoom(settled, true) || p.hasRoom(time.Now(), false)) {
			t.Error("a third test begins on a busy machine, or before the second shows")
		}
	}
	if p.hasRoom(settled, false) {
		t.Error("a test begins beyond the limit")
	}
	p.End()
	if !p.hasRoom(settled, false) {
		t.Error("no test begins after one has ended")
	}
}
