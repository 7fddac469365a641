// Package fault is where the chaos tests get into a worker: a point around every step's activity at which the
// worker tells the tests where it is, and waits until they have done their harm. It is in no program but one
// built with the tag chaos.
package fault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
)

// Before is the point before the fence, After the one at which the effect is there and not yet recorded. Over is
// where an activity that was let go late has ended.
const (
	Before = "before"
	After  = "after"
	Over   = "over"
)

// At is where a worker is.
type At struct {
	Operation uuid.UUID
	Step      daap.StepName
	Undo      bool
	Point     string
	Attempt   int32
	// Error is with what an activity that was let go late ended.
	Error string `json:",omitempty"`
}

// Verdict is what the tests make of it; the zero value lets the worker go on.
type Verdict struct {
	// Fail is the error with which the activity ends here: after its effect, that is an answer that was lost.
	Fail string
	// Late lets the activity go on as one that does not see that its time is over, and has its end told.
	Late bool
}

// patience bounds how long a worker waits for the tests.
const patience = 10 * time.Minute

// Point is an interceptor that asks the tests at URL; without one it does nothing.
type Point struct {
	interceptor.WorkerInterceptorBase
	URL  string
	Name string
}

// InterceptActivity wraps one activity's run.
func (p Point) InterceptActivity(
	_ context.Context, next interceptor.ActivityInboundInterceptor,
) interceptor.ActivityInboundInterceptor {
	at := &stop{point: p}
	at.Next = next
	return at
}

type stop struct {
	interceptor.ActivityInboundInterceptorBase
	point Point
}

// ExecuteActivity stops at the point.
func (s *stop) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	at, ok := s.point.at(ctx, in.Args)
	if !ok {
		return s.Next.ExecuteActivity(ctx, in)
	}
	if at.Point == Before {
		verdict, err := s.point.ask(ctx, at)
		if err != nil {
			return nil, err
		}
		if verdict.Late {
			return s.late(context.WithoutCancel(ctx), in, at)
		}
		return s.Next.ExecuteActivity(ctx, in)
	}
	result, err := s.Next.ExecuteActivity(ctx, in)
	if err == nil {
		_, err = s.point.ask(ctx, at)
	}
	return result, err
}

// late runs an activity that was let go when nobody expects it any more, and tells the tests its end.
func (s *stop) late(ctx context.Context, in *interceptor.ExecuteActivityInput, at At) (any, error) {
	result, err := s.Next.ExecuteActivity(ctx, in)
	at.Point = Over
	if err != nil {
		at.Error = err.Error()
	}
	_, askErr := s.point.ask(ctx, at)
	return result, errors.Join(err, askErr)
}

// at is where the activity is; false where the tests do not care.
func (p Point) at(ctx context.Context, args []any) (At, bool) {
	if p.URL == "" || len(args) != 1 {
		return At{}, false
	}
	in, ok := args[0].(activities.Input)
	if !ok || in.Step == "" {
		return At{}, false
	}
	return At{
		Operation: in.Operation, Step: in.Step, Undo: in.Undo, Point: p.Name, Attempt: activity.GetInfo(ctx).Attempt,
	}, true
}

// ask tells the tests where the worker is and returns their verdict. The activity's own time does not end it: one
// that is held longer than that is what a zombie is. An error is the one with which the activity is to end.
func (p Point) ask(ctx context.Context, at At) (Verdict, error) {
	body, err := json.Marshal(at)
	if err != nil {
		return Verdict{}, fmt.Errorf("encode where the worker is: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, bytes.NewReader(body))
	if err != nil {
		return Verdict{}, fmt.Errorf("ask the chaos tests: %w", err)
	}
	var verdict Verdict
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return verdict, nil // the tests are over, and do no more harm
	}
	defer func() { _ = answer.Body.Close() }()
	if err := json.NewDecoder(answer.Body).Decode(&verdict); err != nil {
		return Verdict{}, fmt.Errorf("read what the chaos tests say: %w", err)
	}
	if verdict.Fail != "" {
		return verdict, errors.New(verdict.Fail)
	}
	return verdict, nil
}
