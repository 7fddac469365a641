package local

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// busy is the used share of the processors above which another test would slow down those that run.
	busy = 0.85
	// busyFor is the time over which the use is averaged.
	busyFor = 6 * time.Second
)

// ticks are Linux's counts of processor time since the start of the machine.
type ticks struct{ used, all int64 }

var uses struct {
	sync.Mutex
	samples []ticks
	times   []time.Time
}

// IsBusy reports whether the machine's processors have no room for another test. Work at a low priority (nice) does not
// count, as it makes room. A caller that asks about once a second gets the use of the last seconds; the first answer,
// and every answer on a system other than Linux, is false.
func IsBusy() bool {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return false
	}
	now, sample := time.Now(), parseTicks(string(text))
	uses.Lock()
	defer uses.Unlock()
	uses.samples, uses.times = append(uses.samples, sample), append(uses.times, now)
	for len(uses.times) > 2 && now.Sub(uses.times[1]) > busyFor {
		uses.samples, uses.times = uses.samples[1:], uses.times[1:]
	}
	return used(uses.samples[0], sample) > busy
}

// used returns the used share of the processors between two samples.
func used(from, to ticks) float64 {
	if to.all <= from.all {
		return 0
	}
	return float64(to.used-from.used) / float64(to.all-from.all)
}

// parseTicks reads the first line of /proc/stat (proc_stat(5)).
func parseTicks(stat string) ticks {
	var user, nice, system, idle, wait, irq, softIRQ, steal int64
	line, _, _ := strings.Cut(stat, "\n")
	if _, err := fmt.Sscanf(line, "cpu %d %d %d %d %d %d %d %d",
		&user, &nice, &system, &idle, &wait, &irq, &softIRQ, &steal); err != nil {
		return ticks{}
	}
	used := user + system + irq + softIRQ + steal
	return ticks{used: used, all: used + nice + idle + wait}
}
