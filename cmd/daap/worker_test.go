package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoopsEndBeforeTheWorkerDoes(t *testing.T) {
	t.Parallel()
	broken := errors.New("the namespace is gone")
	for name, tt := range map[string]struct {
		fatal bool
		want  error
	}{"the worker cannot go on": {true, broken}, "the process is to end": {false, nil}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				var ended atomic.Int32
				loop := func(ctx context.Context) {
					<-ctx.Done()
					time.Sleep(time.Second) //nolint:forbidigo // a statement that is under way, by the bubble's clock
					ended.Add(1)
				}
				fatal := make(chan error, 1)
				if tt.fatal {
					fatal <- broken
				} else {
					stop()
				}
				if err := untilOver(ctx, fatal, loop, loop); !errors.Is(err, tt.want) || ended.Load() != 2 {
					t.Errorf("untilOver() = %v with %d loops ended, want %v and 2", err, ended.Load(), tt.want)
				}
			})
		})
	}
}
