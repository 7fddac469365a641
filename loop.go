package daap

import (
	"context"
	"math/rand/v2"
	"time"
)

// every does something again and again until ctx is done, each time after the interval and up to half as long
// again, so that processes do not do it all at the same moment. What fails is given to report.
func every(ctx context.Context, interval time.Duration, do func(context.Context) error, report func(error)) {
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
