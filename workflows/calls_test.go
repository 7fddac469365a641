package workflows_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/grpc"

	"github.com/daap-dev/daap/workflows"
)

// weakTemporal fails the first calls of each kind.
type weakTemporal struct {
	client.Client

	// fail returns the error of a call that fails. fails is how many calls of each kind do.
	fail  func(context.Context) error
	fails int
	// there says that the schedules exist already.
	there bool
	calls map[string]int
}

func (w *weakTemporal) called(ctx context.Context, kind string) error {
	if w.calls == nil {
		w.calls = map[string]int{}
	}
	if w.calls[kind]++; w.calls[kind] > w.fails {
		return nil
	}
	return w.fail(ctx)
}

func (w *weakTemporal) ScheduleClient() client.ScheduleClient { return weakSchedules{w: w} }

func (w *weakTemporal) OperatorService() operatorservice.OperatorServiceClient {
	return weakOperator{w: w}
}

func (w *weakTemporal) WorkflowService() workflowservice.WorkflowServiceClient {
	return weakService{w: w}
}

func (w *weakTemporal) CheckHealth(ctx context.Context, _ *client.CheckHealthRequest) (*client.CheckHealthResponse, error) {
	return &client.CheckHealthResponse{}, w.called(ctx, "health")
}

type weakSchedules struct {
	client.ScheduleClient
	w *weakTemporal
}

func (s weakSchedules) GetHandle(context.Context, string) client.ScheduleHandle {
	return weakSchedule{w: s.w}
}

func (s weakSchedules) Create(ctx context.Context, _ client.ScheduleOptions) (client.ScheduleHandle, error) {
	err := s.w.called(ctx, "create")
	if err == nil && s.w.there {
		err = temporal.ErrScheduleAlreadyRunning
	}
	return weakSchedule{w: s.w}, err
}

type weakSchedule struct {
	client.ScheduleHandle
	w *weakTemporal
}

func (s weakSchedule) Update(ctx context.Context, _ client.ScheduleUpdateOptions) error {
	return s.w.called(ctx, "update")
}

type weakService struct {
	workflowservice.WorkflowServiceClient
	w *weakTemporal
}

func (s weakService) RegisterNamespace(
	ctx context.Context, _ *workflowservice.RegisterNamespaceRequest, _ ...grpc.CallOption,
) (*workflowservice.RegisterNamespaceResponse, error) {
	return nil, s.w.called(ctx, "register")
}

type weakOperator struct {
	operatorservice.OperatorServiceClient
	w *weakTemporal
}

func (s weakOperator) ListSearchAttributes(
	ctx context.Context, _ *operatorservice.ListSearchAttributesRequest, _ ...grpc.CallOption,
) (*operatorservice.ListSearchAttributesResponse, error) {
	has := workflows.SearchAttributes()
	if s.w.calls["register"] > 0 {
		has = nil // a namespace that was just registered
	}
	return &operatorservice.ListSearchAttributesResponse{CustomAttributes: has}, s.w.called(ctx, "list")
}

func (s weakOperator) AddSearchAttributes(
	ctx context.Context, _ *operatorservice.AddSearchAttributesRequest, _ ...grpc.CallOption,
) (*operatorservice.AddSearchAttributesResponse, error) {
	return nil, s.w.called(ctx, "add")
}

// startups are the calls that a process makes before it takes work.
var startups = map[string]func(context.Context, *weakTemporal, func(error)) error{
	"check": func(ctx context.Context, w *weakTemporal, report func(error)) error {
		return workflows.Check(ctx, w, "daap", report)
	},
	"prepare": func(ctx context.Context, w *weakTemporal, report func(error)) error {
		return workflows.Prepare(ctx, w, "daap", report)
	},
	"create schedules": func(ctx context.Context, w *weakTemporal, report func(error)) error {
		return workflows.Schedule(ctx, w, report)
	},
	"update schedules": func(ctx context.Context, w *weakTemporal, report func(error)) error {
		w.there = true
		return workflows.Schedule(ctx, w, report)
	},
}

func TestStartSurvivesATemporalThatFailsTwice(t *testing.T) {
	t.Parallel()
	for how, fail := range map[string]func(context.Context) error{
		"slow":        func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"unavailable": func(context.Context) error { return serviceerror.NewUnavailable("shard is moving") },
		"busy": func(context.Context) error {
			return serviceerror.NewResourceExhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT, "too many")
		},
	} {
		for what, start := range startups {
			t.Run(how+"/"+what, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w, reported := &weakTemporal{fail: fail, fails: 2}, 0
					if err := start(t.Context(), w, func(error) { reported++ }); err != nil {
						t.Errorf("it fails with %v", err)
					}
					if reported != 2*len(w.calls) {
						t.Errorf("%d attempts were reported, want 2 of each of %v", reported, w.calls)
					}
				})
			})
		}
	}
}

func TestStartGivesUpOnATemporalThatStaysAway(t *testing.T) {
	t.Parallel()
	for what, start := range startups {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				away := serviceerror.NewUnavailable("no route to host")
				w := &weakTemporal{fail: func(context.Context) error { return away }, fails: 1e6}
				began := time.Now()
				err := start(t.Context(), w, func(error) {})
				if took := time.Since(began); took != 2*time.Minute {
					t.Errorf("it gave up after %s, want 2 minutes", took)
				}
				if !errors.Is(err, away) {
					t.Errorf("the error is %v, want the last answer of Temporal", err)
				}
			})
		})
	}
}

func TestStartRepeatsNothingThatTemporalRefuses(t *testing.T) {
	t.Parallel()
	for what, start := range startups {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := &weakTemporal{fails: 1, fail: func(context.Context) error {
				return serviceerror.NewPermissionDenied("no right to the namespace", "")
			}}
			err := start(t.Context(), w, func(err error) { t.Errorf("it is repeated after %v", err) })
			if err == nil || !strings.Contains(err.Error(), "no right") {
				t.Errorf("the error is %v, want the refusal", err)
			}
		})
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w := &weakTemporal{fails: 1e6, fail: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		began := time.Now()
		if err := workflows.Schedule(ctx, w, func(error) {}); err == nil || time.Since(began) != time.Second {
			t.Errorf("it ended after %s with %v, want an error after a second", time.Since(began), err)
		}
	})
}
