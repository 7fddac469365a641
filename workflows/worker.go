package workflows

import (
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
)

// StopTimeout is how long a stopping Worker lets its activities finish. Waits end at once and continue elsewhere.
const StopTimeout = 10 * time.Second

// maxActivities bounds the activities of one worker process. Most are waits, which cost a goroutine each.
const maxActivities = 2000

// NewWorker returns a Worker that carries out every operation with the given activities, wrapped in the interceptors,
// outermost first. It calls fatal when it cannot continue.
func NewWorker(
	c client.Client, w Workflows, a Activities, around []interceptor.WorkerInterceptor, fatal func(error),
) worker.Worker {
	made := worker.New(c, TaskQueue, worker.Options{
		MaxConcurrentActivityExecutionSize: maxActivities,
		WorkerStopTimeout:                  StopTimeout,
		Interceptors:                       around,
		DisableRegistrationAliasing:        true,
		OnFatalError:                       fatal,
	})
	Register(made, w, a)
	return made
}
