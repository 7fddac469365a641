package activities

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/daap-dev/daap"
)

// rows records the Interceptor's writes.
type rows struct {
	mu    sync.Mutex
	begin error
	write error
	steps []daap.Step
}

func (r *rows) BeginOperation(context.Context, uuid.UUID, bool) error { return r.begin }

func (r *rows) RecordStep(_ context.Context, _ uuid.UUID, step daap.Step) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, step)
	if step.State == daap.StepDone {
		return r.write
	}
	return nil
}

func execute(t *testing.T, r *rows, do func(context.Context, Input) error) error {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&Interceptor{Operations: r}}})
	env.RegisterActivity(do)
	_, err := env.ExecuteActivity(do, Input{Operation: uuid.New(), Database: uuid.New(), Step: daap.StepCluster})
	return err
}

func TestSupersededOperationDoesNotAct(t *testing.T) {
	t.Parallel()
	r := &rows{begin: daap.ErrSuperseded}
	acted := false
	err := execute(t, r, func(context.Context, Input) error { acted = true; return nil })
	var app *temporal.ApplicationError
	if acted || !errors.As(err, &app) || app.Type() != ErrorSuperseded || len(r.steps) != 0 {
		t.Errorf("acted %v with %v, recorded %v; want a final %s and nothing done", acted, err, r.steps, ErrorSuperseded)
	}
}

func TestAttemptIsRecordedWithItsEnd(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		do   error
		want daap.StepState
	}{
		"success": {nil, daap.StepDone},
		"failure": {errors.New(strings.Repeat("long ", 200)), daap.StepFailed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &rows{}
			if err := execute(t, r, func(context.Context, Input) error { return tt.do }); (err != nil) != (tt.do != nil) {
				t.Fatalf("activity = %v, want %v", err, tt.do)
			}
			if len(r.steps) != 2 || r.steps[0].State != daap.StepRunning || r.steps[0].Attempts != 1 || r.steps[1].State != tt.want {
				t.Fatalf("recorded %+v, want running at attempt 1, then %s", r.steps, tt.want)
			}
			if got := len([]rune(r.steps[1].LastError)); (got > 0) != (tt.do != nil) || got > maxReason+1 {
				t.Errorf("last error has %d characters, want at most %d", got, maxReason+1)
			}
		})
	}
}

func TestUnrecordedSuccessIsRetried(t *testing.T) {
	t.Parallel()
	r := &rows{write: errors.New("PostgreSQL is down")}
	err := execute(t, r, func(context.Context, Input) error { return nil })
	var app *temporal.ApplicationError
	if err == nil || (errors.As(err, &app) && app.NonRetryable()) {
		t.Errorf("activity = %v, want an error that is retried", err)
	}
}

func TestFailureIsRecordedAfterTheContextEnds(t *testing.T) {
	t.Parallel()
	r := &contextRows{}
	recorder := stepRecorder{operations: r}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	in := Input{Operation: uuid.New(), Step: daap.StepReady}
	if err := recorder.end(ctx, in, 1, context.Canceled); err == nil || r.err != nil || r.step.State != daap.StepFailed {
		t.Errorf("end = %v, recorded %+v under %v; want the failure recorded with a live context", err, r.step, r.err)
	}
}

// contextRows records the context's error when a step is recorded.
type contextRows struct {
	rows
	err  error
	step daap.Step
}

func (r *contextRows) RecordStep(ctx context.Context, _ uuid.UUID, step daap.Step) error {
	r.err, r.step = ctx.Err(), step
	return nil
}
