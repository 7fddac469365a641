package api_test

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// Start begins nothing: the tests say how far an operation gets.
func (s *store) Start(context.Context, daap.Operation) error { return nil }

// Decide does what the workflow of the operation does with a decision.
func (s *store) Decide(ctx context.Context, op daap.Operation, d daap.Decision, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	op, err := s.Operation(ctx, daap.EveryTeam, op.ID)
	if err != nil {
		return err
	}
	at := daap.Position{
		Kind: op.Kind, Step: op.Step, Parked: op.State == daap.OperationNeedsAttention, Cancelling: op.CancelledBy != "",
	}
	switch why := at.Refusal(d); {
	case s.taken[id]:
		return nil
	case s.lost[op.ID]:
		return daap.ErrNoWorkflow
	case why != "":
		return daap.Refused(why)
	}
	s.taken[id] = true
	next := daap.Step{Name: op.Step, State: daap.StepRunning, Attempts: 1}
	switch {
	case d.Action.Undoes():
		err, next.State = s.CancelOperation(ctx, op.ID, d), daap.StepUndoing
	case d.Action == daap.ActionSkip:
		err, next.Name = s.SkipStep(ctx, op.ID, op.Step, d), after(op)
	default:
		err = s.ResumeOperation(ctx, op.ID, d)
	}
	if err != nil {
		return err
	}
	return s.RecordStep(ctx, op.ID, next)
}

// after is the step that follows the one at which the operation is.
func after(op daap.Operation) daap.StepName {
	i := slices.IndexFunc(op.Steps, func(s daap.Step) bool { return s.Name == op.Step })
	return op.Steps[i+1].Name
}

// begin brings the operation to a step.
func (s *store) begin(id uuid.UUID, step daap.StepName) {
	s.t.Helper()
	s.must(s.BeginOperation(context.Background(), id, false))
	s.must(s.RecordStep(context.Background(), id, daap.Step{Name: step, State: daap.StepRunning, Attempts: 1}))
}

// keep records the cause that blocks a running operation.
func (s *store) keep(id uuid.UUID, cause daap.Cause) {
	s.t.Helper()
	op := s.operation(id)
	step := daap.Step{Name: op.Step, State: daap.StepRunning, Attempts: 1, Progress: "waits", Cause: &cause}
	if op.CancelledBy != "" {
		step.State = daap.StepUndoing
	}
	s.must(s.RecordStep(context.Background(), id, step))
}

// park leaves the operation to a person.
func (s *store) park(id uuid.UUID, cause daap.Cause) {
	s.t.Helper()
	s.must(s.BeginOperation(context.Background(), id, false))
	s.must(s.ParkOperation(context.Background(), id, s.operation(id).Step, cause))
}

// succeed ends the operation. A database that it makes takes connections from then on.
func (s *store) succeed(id uuid.UUID) {
	s.t.Helper()
	op := s.operation(id)
	s.must(s.BeginOperation(context.Background(), id, false))
	if op.Kind.Makes() {
		s.must(s.SaveCACertificate(context.Background(), id, op.DatabaseID, pem))
	}
	s.must(s.FinishOperation(context.Background(), id))
}
