package activities

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
	"github.com/daap-dev/daap/activities/diagnosis"
)

// holds tells a wait that its operation lost the database meanwhile.
type holds interface {
	// HoldsDatabase returns nil while the operation is open and goes in that direction, else ErrSuperseded.
	HoldsDatabase(ctx context.Context, operation uuid.UUID, undo bool) error
	RecordStep(ctx context.Context, operation uuid.UUID, step daap.Step) error
}

// alive does something that takes long and does not tell Temporal itself that it lives.
func alive(ctx context.Context, do func() error) error {
	done := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() {
		beat := time.NewTicker(heartbeatInterval)
		defer beat.Stop()
		for {
			select {
			case <-beat.C:
				activity.RecordHeartbeat(ctx)
			case <-done:
				return
			}
		}
	})
	defer beating.Wait()
	defer close(done)
	return do()
}

// look says whether what is waited for is so; if not, in one sentence, what is missing.
type look func(ctx context.Context) (done bool, progress string, err error)

// waiter waits within an activity: for events where there are any, and by looking again where not.
type waiter struct {
	watch      *cluster.Watch
	operations holds
	// diagnose finds out why it takes so long; nil where nobody can tell.
	diagnose func(ctx context.Context) (*daap.Cause, error)
}

// until looks after each change in the database's namespace, and every recheckInterval, until it is so. It
// heartbeats, keeps the step's row telling what is missing, and ends with notReady after waitAttempt, with
// ErrSuperseded when the operation lost the database, and at once when the worker stops.
func (w waiter) until(ctx context.Context, in Input, look look) error {
	changed, end := w.watch.Subscribe(daap.Namespace(in.Database))
	defer end()
	try, last := lengthOfTry(ctx)
	over := time.NewTimer(try)
	defer over.Stop()
	recheck := time.NewTicker(recheckInterval)
	defer recheck.Stop()
	report := progressReport{operations: w.operations, in: in}
	turns := newDiagnosisInTurn(w.diagnose)
	for {
		done, progress, err := look(ctx)
		if err != nil || done {
			return err
		}
		cause := turns.inTurn(ctx)
		if err := report.say(ctx, progress, cause); err != nil {
			return err
		}
		if diagnosis.Hopeless(cause) {
			return final(cause)
		}
		select {
		case <-changed:
		case <-recheck.C:
			if err := w.operations.HoldsDatabase(ctx, in.Operation, in.Undo); err != nil {
				return fmt.Errorf("wait for %s: %w", in.Step, err)
			}
		case <-over.C:
			return notReady(progress, turns.now(ctx), last)
		case <-activity.GetWorkerStopChannel(ctx):
			return errors.New("the worker is stopping; another worker continues to wait")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lengthOfTry is how long this try of a wait lasts: it ends before the step's deadline, as only then the wait
// itself says what it waited for. last says that there is no time for another one.
func lengthOfTry(ctx context.Context) (try time.Duration, last bool) {
	deadline, ok := ctx.Deadline()
	if left := time.Until(deadline) - lastWords; ok && left < waitAttempt {
		return max(left, 0), true
	}
	return waitAttempt, false
}

// diagnosisInTurn asks for the cause soon at first, then more and more seldom: it costs Kubernetes a handful of
// lists, where looking costs it nothing.
type diagnosisInTurn struct {
	diagnose func(ctx context.Context) (*daap.Cause, error)
	next     time.Time
	pause    time.Duration
	found    *daap.Cause
}

func newDiagnosisInTurn(diagnose func(ctx context.Context) (*daap.Cause, error)) diagnosisInTurn {
	return diagnosisInTurn{diagnose: diagnose, next: time.Now().Add(firstDiagnosis), pause: firstDiagnosis}
}

// inTurn returns the cause that was last found, after looking for it where that is due.
func (d *diagnosisInTurn) inTurn(ctx context.Context) *daap.Cause {
	if d.diagnose == nil || time.Now().Before(d.next) {
		return d.found
	}
	found := d.now(ctx)
	d.pause = min(2*d.pause, lastDiagnosis)
	d.next = time.Now().Add(d.pause)
	return found
}

// now looks for the cause; where that fails, why it does is the cause, or the one before stands.
func (d *diagnosisInTurn) now(ctx context.Context) *daap.Cause {
	if d.diagnose == nil {
		return nil
	}
	found, err := d.diagnose(ctx)
	if err != nil {
		activity.GetLogger(ctx).Warn("The diagnosis failed.", "error", err)
		if cause := causeOf(err); cause != nil {
			d.found = cause
		}
		return d.found
	}
	d.found = found
	return found
}

// progressReport tells Temporal that the activity lives, and people what it waits for.
type progressReport struct {
	operations holds
	in         Input
	said       string
	blamed     daap.CauseCode
	beat       time.Time
}

func (p *progressReport) say(ctx context.Context, progress string, cause *daap.Cause) error {
	var blame daap.CauseCode
	if cause != nil {
		blame = cause.Code
	}
	news := progress != p.said || blame != p.blamed
	if now := time.Now(); news || now.Sub(p.beat) >= heartbeatInterval {
		activity.RecordHeartbeat(ctx, progress)
		p.beat = now
	}
	if !news {
		return nil
	}
	p.said, p.blamed = progress, blame
	step := p.in.step(daap.StepRunning, int(activity.GetInfo(ctx).Attempt))
	step.Progress, step.Cause = clip(progress), cause
	if err := p.operations.RecordStep(ctx, p.in.Operation, step); err != nil {
		return fmt.Errorf("record progress of step %s: %w", p.in.Step, err)
	}
	return nil
}
