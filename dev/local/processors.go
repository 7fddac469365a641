package local

import (
	"fmt"
	"os"
	"strings"
	"time"
)

const (
	// evenIfBusy is how many tests run at once on a machine whose processors are busy.
	evenIfBusy = 2
	// settleFor is how long a test runs before the use of the processors shows it.
	settleFor = 8 * time.Second
	// busy is the used share of the processors above which another test would slow down those that run.
	busy = 0.85
	// busyFor is the time over which the use is averaged.
	busyFor = 6 * time.Second
)

// Pace limits how many tests of the stack run at once. Tests wait most of their time, so that more of them fit than
// there are processors; but while the processors are busy, only two run, as more would reach each other's deadlines. It
// is not safe for concurrent use.
type Pace struct {
	// Limit is how many tests run at once at most.
	Limit   int
	running int
	begun   time.Time // when the last test began
	meter   meter
}

// HasRoom reports whether another test may begin. It measures the processors: call it about once a second while a test
// waits.
func (p *Pace) HasRoom() bool { return p.hasRoom(time.Now(), p.meter.isBusy()) }

func (p *Pace) hasRoom(now time.Time, isBusy bool) bool {
	switch {
	case p.running >= p.Limit:
		return false
	case p.running < evenIfBusy:
		return true
	default:
		return now.Sub(p.begun) > settleFor && !isBusy
	}
}

// Begin counts a test that begins.
func (p *Pace) Begin() { p.running, p.begun = p.running+1, time.Now() }

// End counts a test that has ended.
func (p *Pace) End() { p.running-- }

// meter measures the use of the machine's processors.
type meter struct{ samples []sample }

// sample is a count of processor time at a time.
type sample struct {
	at time.Time
	ticks
}

// ticks are Linux's counts of processor time since the start of the machine.
type ticks struct{ used, all int64 }

// isBusy reports whether the processors had no room for another test between the calls of the last seconds. Work at a
// low priority (nice) does not count, as it makes room. The first answer, and every answer on another system than
// Linux, is false.
func (m *meter) isBusy() bool {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return false
	}
	now := sample{time.Now(), parseTicks(string(text))}
	m.samples = append(m.samples, now)
	for len(m.samples) > 2 && now.at.Sub(m.samples[1].at) > busyFor {
		m.samples = m.samples[1:]
	}
	return used(m.samples[0].ticks, now.ticks) > busy
}

// used returns the used share of the processors between two counts.
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
