//go:build chaos

package main

import (
	"os"

	"go.temporal.io/sdk/interceptor"

	"github.com/daap-dev/daap/activities"
	"github.com/daap-dev/daap/dev/chaos/fault"
)

// around is what stands around every activity, outermost first: in this build, which only the chaos tests use,
// a point before the fence and one after the effect, at which a test may do harm.
func around(fence *activities.Interceptor) []interceptor.WorkerInterceptor {
	url := os.Getenv("DAAP_CHAOS_URL")
	return []interceptor.WorkerInterceptor{
		&fault.Point{URL: url, Name: fault.Before}, fence, &fault.Point{URL: url, Name: fault.After},
	}
}
