package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"github.com/daap-dev/daap"
)

// holds tells a wait that its operation lost the database meanwhile.
type holds interface {
	// HoldsDatabase returns nil while the operation is open, ErrSuperseded afterwards.
	HoldsDatabase(ctx context.Context, operation uuid.UUID) error
	RecordStep(ctx context.Context, operation uuid.UUID, step daap.Step) error
}

// look says whether what is waited for is so; if not, in one sentence, what is missing.
type look func(ctx context.Context) (done bool, progress string, err error)

// waiter waits within an activity: for events where there are any, and by looking again where not.
type waiter struct {
	watch      *Watch
	operations holds
}

// until looks after each change in the database's namespace, and every recheckInterval, until it is so. It
// heartbeats, keeps the step's row telling what is missing, and ends with notReady after waitAttempt, with
// ErrSuperseded when the operation lost the database, and at once when the worker stops.
func (w waiter) until(ctx context.Context, in Input, look look) error {
	changed, end := w.watch.subscribe(daap.Namespace(in.Database))
	defer end()
	over := time.NewTimer(waitAttempt)
	defer over.Stop()
	recheck := time.NewTicker(recheckInterval)
	defer recheck.Stop()
	report := progressReport{operations: w.operations, in: in}
	for {
		done, progress, err := look(ctx)
		if err != nil || done {
			return err
		}
		if err := report.say(ctx, progress); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-recheck.C:
			if err := w.operations.HoldsDatabase(ctx, in.Operation); err != nil {
				return fmt.Errorf("wait for %s: %w", in.Step, err)
			}
		case <-over.C:
			return notReady(progress)
		case <-activity.GetWorkerStopChannel(ctx):
			return errors.New("the worker stops; another one goes on waiting")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// progressReport tells Temporal that the activity lives, and people what it waits for.
type progressReport struct {
	operations holds
	in         Input
	said       string
	beat       time.Time
}

func (p *progressReport) say(ctx context.Context, progress string) error {
	if now := time.Now(); progress != p.said || now.Sub(p.beat) >= heartbeatInterval {
		activity.RecordHeartbeat(ctx, progress)
		p.beat = now
	}
	if progress == p.said {
		return nil
	}
	p.said = progress
	step := daap.Step{
		Name: p.in.Step, State: daap.StepRunning, Progress: clip(progress),
		Attempts: int(activity.GetInfo(ctx).Attempt),
	}
	if err := p.operations.RecordStep(ctx, p.in.Operation, step); err != nil {
		return fmt.Errorf("record progress of step %s: %w", p.in.Step, err)
	}
	return nil
}
