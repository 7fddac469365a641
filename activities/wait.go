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

// holds reports to a wait that its operation has lost the database.
type holds interface {
	// HoldsDatabase returns nil while the operation is open and has that direction, otherwise ErrSuperseded.
	HoldsDatabase(ctx context.Context, operation uuid.UUID, undo bool) error
	RecordStep(ctx context.Context, operation uuid.UUID, step daap.Step) error
}

// alive runs a long function that does not heartbeat, and heartbeats meanwhile.
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

// check reports whether the condition of a wait is met; if not, progress says in one sentence what is missing.
type check func(ctx context.Context) (done bool, progress string, err error)

// waiter waits within an activity: for events, and by checking periodically.
type waiter struct {
	watch      *cluster.Watch
	operations holds
	// diagnose finds the cause of a long wait; nil turns diagnosis off.
	diagnose func(ctx context.Context) (*daap.Cause, error)
}

// until checks after each change in the database's namespace, and every recheckInterval, until the condition is met. It
// heartbeats and records the progress in the step's row. It ends with notReady after waitAttempt, with ErrSuperseded if
// the operation lost the database, and at once when the worker stops.
func (w waiter) until(ctx context.Context, in Input, check check) error {
	changed, end := w.watch.Subscribe(daap.Namespace(in.Database))
	defer end()
	try, last := lengthOfTry(ctx)
	over := time.NewTimer(try)
	defer over.Stop()
	recheck := time.NewTicker(recheckInterval)
	defer recheck.Stop()
	report := progressReport{operations: w.operations, in: in}
	diagnoses := newDiagnosisSchedule(w.diagnose)
	for {
		done, progress, err := check(ctx)
		if err != nil || done {
			return err
		}
		cause := diagnoses.ifDue(ctx)
		if err := report.record(ctx, progress, cause); err != nil {
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
			return notReady(progress, diagnoses.now(ctx), last)
		case <-activity.GetWorkerStopChannel(ctx):
			return errors.New("the worker is stopping; another worker continues to wait")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lengthOfTry returns the length of this attempt of a wait. An attempt ends before the step's deadline, because only
// then can it report the progress itself. last means that there is no time for another attempt.
func lengthOfTry(ctx context.Context) (try time.Duration, last bool) {
	deadline, ok := ctx.Deadline()
	if left := time.Until(deadline) - finalReport; ok && left < waitAttempt {
		return max(left, 0), true
	}
	return waitAttempt, false
}

// diagnosisSchedule asks for the cause soon at first, then less and less often: a diagnosis costs several lists in
// Kubernetes, while a check costs nothing.
type diagnosisSchedule struct {
	diagnose func(ctx context.Context) (*daap.Cause, error)
	next     time.Time
	pause    time.Duration
	found    *daap.Cause
}

func newDiagnosisSchedule(diagnose func(ctx context.Context) (*daap.Cause, error)) diagnosisSchedule {
	return diagnosisSchedule{diagnose: diagnose, next: time.Now().Add(firstDiagnosis), pause: firstDiagnosis}
}

// ifDue returns the last known cause, after a new diagnosis if one is due.
func (d *diagnosisSchedule) ifDue(ctx context.Context) *daap.Cause {
	if d.diagnose == nil || time.Now().Before(d.next) {
		return d.found
	}
	found := d.now(ctx)
	d.pause = min(2*d.pause, lastDiagnosis)
	d.next = time.Now().Add(d.pause)
	return found
}

// now diagnoses. If the diagnosis fails, the cause of its failure is the result, or otherwise the last known cause.
func (d *diagnosisSchedule) now(ctx context.Context) *daap.Cause {
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

// progressReport heartbeats, and records the progress for people.
type progressReport struct {
	operations holds
	in         Input
	progress   string
	cause      daap.CauseCode
	beat       time.Time
}

func (p *progressReport) record(ctx context.Context, progress string, cause *daap.Cause) error {
	var code daap.CauseCode
	if cause != nil {
		code = cause.Code
	}
	changed := progress != p.progress || code != p.cause
	if now := time.Now(); changed || now.Sub(p.beat) >= heartbeatInterval {
		activity.RecordHeartbeat(ctx, progress)
		p.beat = now
	}
	if !changed {
		return nil
	}
	p.progress, p.cause = progress, code
	step := p.in.step(daap.StepRunning, int(activity.GetInfo(ctx).Attempt))
	step.Progress, step.Cause = clip(progress), cause
	if err := p.operations.RecordStep(ctx, p.in.Operation, step); err != nil {
		return fmt.Errorf("record progress of step %s: %w", p.in.Step, err)
	}
	return nil
}
