package workflows_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/workflows"
)

// outbox holds pending operations, and starts those that are not to fail.
type outbox struct {
	pending           []daap.Operation
	fails             map[uuid.UUID]bool
	started, recorded []uuid.UUID
}

func (o *outbox) ClaimPending(context.Context, int) ([]daap.Operation, error) { return o.pending, nil }

func (o *outbox) Dispatched(_ context.Context, id uuid.UUID) error {
	o.recorded = append(o.recorded, id)
	return nil
}

func (o *outbox) StartWorkflow(_ context.Context, op daap.Operation) error {
	o.started = append(o.started, op.ID)
	if o.fails[op.ID] {
		return errors.New("Temporal is down")
	}
	return nil
}

func TestSweepStopsAtTheFirstFailedStart(t *testing.T) {
	t.Parallel()
	ids := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	o := &outbox{fails: map[uuid.UUID]bool{ids[1]: true}}
	for _, id := range ids {
		o.pending = append(o.pending, daap.Operation{ID: id})
	}
	err := workflows.Dispatcher{Engine: o, Outbox: o, Log: zap.NewNop()}.Sweep(t.Context())
	if err == nil || !slices.Equal(o.started, ids[:2]) || !slices.Equal(o.recorded, ids[:1]) {
		t.Errorf("Sweep() = %v, started %v, recorded %v; want the second to fail and the third untouched", err, o.started, o.recorded)
	}
}

func TestDispatcherSweepsUntilItIsStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		op := daap.Operation{ID: uuid.New()}
		o := &outbox{pending: []daap.Operation{op}, fails: map[uuid.UUID]bool{op.ID: true}}
		core, logs := observer.New(zap.WarnLevel)
		workflows.Dispatcher{Engine: o, Outbox: o, Log: zap.New(core)}.Run(ctx)
		if n := logs.Len(); n < 15 || n > 30 {
			t.Errorf("%d sweeps in a minute, want one every 2 to 3 s, also after failures", n)
		}
	})
}

func TestFailedStartIsLoggedAndNotRecorded(t *testing.T) {
	t.Parallel()
	op := daap.Operation{ID: uuid.New(), DatabaseID: uuid.New()}
	o := &outbox{fails: map[uuid.UUID]bool{op.ID: true}}
	core, logs := observer.New(zap.WarnLevel)
	d := workflows.Dispatcher{Engine: o, Outbox: o, Log: zap.New(core)}
	if err := d.Start(t.Context(), op); err == nil || len(o.recorded) > 0 {
		t.Errorf("Start() = %v, recorded %v; want an error and nothing recorded", err, o.recorded)
	}
	if all := logs.All(); len(all) != 1 || all[0].ContextMap()["operation_id"] != op.ID.String() {
		t.Errorf("logged %v, want one line that names the operation", all)
	}
	o.fails = nil
	if err := d.Start(t.Context(), op); err != nil || !slices.Equal(o.recorded, []uuid.UUID{op.ID}) {
		t.Errorf("Start() = %v, recorded %v; want the start recorded", err, o.recorded)
	}
}
