package daap

import (
	"context"
	"math/rand/v2"
	"time"
)

// Every calls do until ctx is done, each time after the interval plus a random part of up to half of it, so that
// processes do not all do it at the same moment. Errors go to report; the next call comes all the same.
func Every(ctx context.Context, interval time.Duration, do func(context.Context) error, report func(error)) {
	for {
		jitter := rand.N(interval / 2) //nolint:gosec // spreads processes in time, keeps nothing secret
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval + jitter):
		}
		if err := do(ctx); err != nil && ctx.Err() == nil {
			report(err)
		}
	}
}
