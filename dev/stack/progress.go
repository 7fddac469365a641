package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// progress prints one line when something begins that takes its time, and one
// when it is done. Lines, not spinners: they also read well in a CI log.
type progress struct {
	mu    sync.Mutex
	began time.Time
	color bool
}

func newProgress() *progress {
	return &progress{began: time.Now(), color: isTerminal(os.Stdout)}
}

// start announces a piece of work; the function it returns reports its end.
// Long work is reminded of every half minute.
func (p *progress) start(name string) func(error) {
	began := time.Now()
	p.line("…", name, "")
	ticker := time.NewTicker(30 * time.Second)
	finished := make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
				p.line("…", name, "still at it after "+round(time.Since(began)))
			case <-finished:
				ticker.Stop()
				return
			}
		}
	}()
	return func(err error) {
		close(finished)
		if err != nil {
			p.line("✗", name, "after "+round(time.Since(began)))
			return
		}
		p.line("✓", name, round(time.Since(began)))
	}
}

func (p *progress) line(mark, name, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Printf("%6s  %s %s  %s\n", round(time.Since(p.began)), p.paint(mark), name, detail)
}

func (p *progress) paint(mark string) string {
	colors := map[string]string{"✓": "32", "✗": "31", "…": "2", "●": "32", "○": "33"}
	if !p.color || colors[mark] == "" {
		return mark
	}
	return "\x1b[" + colors[mark] + "m" + mark + "\x1b[0m"
}

func round(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == ""
}
