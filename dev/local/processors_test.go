package local

import "testing"

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
