package api_test

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// Start begins nothing: the tests say how far an operation gets.
func (m *memory) Start(context.Context, daap.Operation) error { return nil }

// Decide carries out a decision like the operation's workflow.
func (m *memory) Decide(ctx context.Context, op daap.Operation, d daap.Decision, id string) error {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return err
	}
	op = m.operations[op.ID]
	at := daap.Position{
		Kind: op.Kind, Step: op.Step, Parked: op.State == daap.OperationNeedsAttention, Cancelling: op.CancelledBy != "",
	}
	switch why := at.Refusal(d); {
	case m.taken[id]:
		return nil
	case m.lost[op.ID]:
		return daap.ErrNoWorkflow
	case why != "":
		return daap.Refused(why)
	}
	m.taken[id] = true
	m.resume(op, d)
	return nil
}

func (m *memory) CancelPending(
	ctx context.Context, _ daap.Scope, id uuid.UUID, d daap.Decision,
) (bool, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return false, err
	}
	op := m.operations[id]
	if op.State != daap.OperationPending || op.StartedAt != nil {
		return false, nil
	}
	m.add(op.WasDecided("", d))
	m.log = append(m.log, op.AuditedDecision(d))
	m.release(m.settle(id, daap.OperationCancelled), op.AfterCancel())
	m.add(op.Happened(daap.EventCancelled, "The operation had not begun."))
	return true, nil
}

func (m *memory) RestartOperation(
	ctx context.Context, _ daap.Scope, id uuid.UUID, d daap.Decision,
) (daap.Operation, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return daap.Operation{}, err
	}
	op := m.operations[id]
	if op.State != daap.OperationNeedsAttention {
		return op, daap.Refused("The operation does not need attention now.")
	}
	op = m.resume(op, d)
	op.State = daap.OperationPending
	op.Restarts++
	m.operations[id] = op
	delete(m.lost, id)
	m.add(op.Happened(daap.EventRestarted, "The workflow was gone. A new workflow starts."))
	return op, nil
}

func (m *memory) Remembered(ctx context.Context, by daap.Grant) (daap.Operation, bool, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return daap.Operation{}, false, err
	}
	return remembered[daap.Operation](m, by)
}

func (m *memory) Remember(ctx context.Context, by daap.Grant, answer daap.Operation) error {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return err
	}
	if by.Once.Key != "" {
		m.answers[nameOf(by)] = kept{by.Once.Request, answer}
	}
	return nil
}

// resume takes the operation up again as decided.
func (m *memory) resume(op daap.Operation, d daap.Decision) daap.Operation {
	m.add(op.WasDecided(op.Step, d))
	m.log = append(m.log, op.AuditedDecision(d))
	switch {
	case d.Action.Undoes():
		op = at(op, op.Step, daap.StepUndoing)
		op.CancelledBy = d.Actor
	case d.Action == daap.ActionSkip:
		op = at(op, op.Step, daap.StepSkipped)
		op = at(op, after(op), daap.StepRunning)
	default:
		op = at(op, op.Step, daap.StepRunning)
	}
	op.State, op.Cause = daap.OperationRunning, nil
	status := op.Kind.During()
	if op.CancelledBy != "" {
		op.State, status = daap.OperationCancelling, daap.DatabaseDeleting
	}
	db := m.databases[op.DatabaseID]
	db.Status, db.Cause, db.WaitingOn = status, nil, nil
	m.databases[db.ID], m.operations[op.ID] = db, op
	return op
}

// at returns op at a step that is in the given state.
func at(op daap.Operation, step daap.StepName, state daap.StepState) daap.Operation {
	op.Step, op.Steps = step, slices.Clone(op.Steps)
	for i := range op.Steps {
		if op.Steps[i].Name == step {
			op.Steps[i].State = state
		}
	}
	return op
}

// after is the step that follows the one at which the operation is.
func after(op daap.Operation) daap.StepName {
	i := slices.IndexFunc(op.Steps, func(s daap.Step) bool { return s.Name == op.Step })
	return op.Steps[i+1].Name
}

// begin brings the operation to a step, as its workflow would.
func (m *memory) begin(id uuid.UUID, step daap.StepName) {
	defer m.mu.Unlock()
	m.mu.Lock()
	now, op := time.Now(), at(m.operations[id], step, daap.StepRunning)
	op.State, op.StartedAt = daap.OperationRunning, &now
	m.operations[id] = op
	m.add(op.Happened(daap.EventStarted, "The workflow started."))
}

// keep records the cause that blocks a running operation.
func (m *memory) keep(id uuid.UUID, cause daap.Cause) {
	defer m.mu.Unlock()
	m.mu.Lock()
	op := m.operations[id]
	op.Cause = &cause
	db := m.databases[op.DatabaseID]
	db.WaitingOn = &cause
	m.databases[db.ID], m.operations[id] = db, op
}

// park leaves the operation to a person.
func (m *memory) park(id uuid.UUID, cause daap.Cause) {
	defer m.mu.Unlock()
	m.mu.Lock()
	op := m.settle(id, daap.OperationNeedsAttention)
	op.Cause, op.FinishedAt = &cause, nil
	db := m.databases[op.DatabaseID]
	db.Status, db.Cause, db.WaitingOn = daap.DatabaseError, &cause, nil
	m.databases[db.ID], m.operations[id] = db, op
	m.add(op.WasParked(op.Step, cause))
}

// succeed ends the operation as a worker would.
func (m *memory) succeed(id uuid.UUID) {
	defer m.mu.Unlock()
	m.mu.Lock()
	op := m.settle(id, daap.OperationSucceeded)
	m.release(op, op.Kind.After())
	m.add(op.Happened(daap.EventSucceeded, "The database is %s.", op.Kind.After()))
}

func (m *memory) settle(id uuid.UUID, state daap.OperationState) daap.Operation {
	now, op := time.Now(), m.operations[id]
	op.State, op.StartedAt, op.FinishedAt = state, &now, &now
	m.operations[id] = op
	return op
}

// release gives the database back with the status it has once op is over.
func (m *memory) release(op daap.Operation, status daap.DatabaseStatus) {
	db := m.databases[op.DatabaseID]
	db.Status, db.OperationID, db.Cause, db.WaitingOn = status, nil, nil, nil
	if status == daap.DatabaseDeleted {
		db.DeletedAt = op.FinishedAt
	}
	m.databases[db.ID] = db
}
