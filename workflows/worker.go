package workflows

import (
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"github.com/daap-dev/daap/activities"
)

// StopTimeout is how long a Worker that stops lets its activities end by themselves. Waits end at once and
// go on elsewhere.
const StopTimeout = 10 * time.Second

// maxActivities bounds the activities of one worker process. Most are waits, which cost a goroutine each.
const maxActivities = 2000

// NewWorker returns a Worker that carries out every operation with the given activities.
func NewWorker(c client.Client, a Activities, around *activities.Interceptor, fatal func(error)) worker.Worker {
	w := worker.New(c, TaskQueue, worker.Options{
		MaxConcurrentActivityExecutionSize: maxActivities,
		WorkerStopTimeout:                  StopTimeout,
		Interceptors:                       []interceptor.WorkerInterceptor{around},
		DisableRegistrationAliasing:        true,
		OnFatalError:                       fatal,
	})
	Register(w, a)
	return w
}
