package daap

import (
	"context"
	"math/rand/v2"
	"time"
)

// Every calls do until ctx is done, each time after the interval plus a random delay of up to half of it, so that
// processes do not act at the same moment. Errors go to report, and the calls continue.
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
