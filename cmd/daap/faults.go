//go:build !chaos

package main

import (
	"go.temporal.io/sdk/interceptor"

	"github.com/daap-dev/daap/activities"
)

// around is what stands around every activity, outermost first.
func around(fence *activities.Interceptor) []interceptor.WorkerInterceptor {
	return []interceptor.WorkerInterceptor{fence}
}
