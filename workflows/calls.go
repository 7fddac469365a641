package workflows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"
	"google.golang.org/grpc/codes"
)

// The bounds of a call to Temporal that a process makes before it takes work.
const (
	// callTimeout bounds one attempt.
	callTimeout = 10 * time.Second
	// callPatience bounds all attempts of one call.
	callPatience = 2 * time.Minute
	// callPause is the pause after the first attempt. It doubles after each attempt, up to maxCallPause.
	callPause, maxCallPause = 250 * time.Millisecond, 5 * time.Second
)

// persist repeats the call while Temporal is slow or unavailable, for at most callPatience, so that a process that
// starts during a short outage starts late instead of failing. Each attempt that is repeated is reported. Any other
// error ends it at once.
func persist(ctx context.Context, what string, report func(error), call func(context.Context) error) error {
	patient, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	for pause := callPause; ; pause = min(2*pause, maxCallPause) {
		err := attempt(patient, call)
		if err == nil || !isTransient(err) {
			return err
		}
		err = fmt.Errorf("%s: %w", what, err)
		if patient.Err() != nil || !waitFor(patient, pause) {
			return err
		}
		report(err)
	}
}

func attempt(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return call(ctx)
}

// waitFor returns false if ctx ends first.
func waitFor(ctx context.Context, pause time.Duration) bool {
	waiting, cancel := context.WithTimeout(ctx, pause)
	defer cancel()
	<-waiting.Done()
	return ctx.Err() == nil
}

// isTransient says whether the same call may succeed a moment later.
func isTransient(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var answer serviceerror.ServiceError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Status().Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.Internal:
		return true
	default:
		return false
	}
}
