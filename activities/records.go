package activities

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
)

// lifecycle moves an operation from one state to the next.
type lifecycle interface {
	ParkOperation(ctx context.Context, operation uuid.UUID, step daap.StepName, cause daap.Cause) error
	FinishOperation(ctx context.Context, operation uuid.UUID) error
	FinishCancel(ctx context.Context, operation uuid.UUID) error
}

// decided carries out what a person decided, in the rows.
type decided interface {
	ResumeOperation(ctx context.Context, operation uuid.UUID, d daap.Decision) error
	SkipStep(ctx context.Context, operation uuid.UUID, step daap.StepName, d daap.Decision) error
	// CancelOperation is Refused when the operation can no longer be given up.
	CancelOperation(ctx context.Context, operation uuid.UUID, d daap.Decision) error
}

// Records are the activities on DAAP's own rows; all are diagnosis.Safe to repeat. All fail with ErrSuperseded when the
// operation is over.
type Records struct {
	Operations lifecycle
	Decisions  decided
	// Watch is told whose status is another one; nil where nobody follows it.
	Watch *cluster.Watch
}

// ParkInput is an operation that cannot go on by itself, and why.
type ParkInput struct {
	Operation uuid.UUID
	// Step is the one at which the operation is.
	Step  daap.StepName
	Cause daap.Cause
}

// DecideInput is an operation and what a person decided about it.
type DecideInput struct {
	Operation uuid.UUID
	// Step is the one at which the operation is.
	Step     daap.StepName
	Decision daap.Decision
}

// ParkOperation records that the operation needs attention, and the database with it.
func (r *Records) ParkOperation(ctx context.Context, in ParkInput) error {
	return did("park", in.Operation, r.Operations.ParkOperation(ctx, in.Operation, in.Step, in.Cause))
}

// ResumeOperation records that a parked operation goes on with the step at which it is.
func (r *Records) ResumeOperation(ctx context.Context, in DecideInput) error {
	return did("resume", in.Operation, r.Decisions.ResumeOperation(ctx, in.Operation, in.Decision))
}

// SkipStep records that a parked operation goes on with the next step.
func (r *Records) SkipStep(ctx context.Context, in DecideInput) error {
	return did("skip a step of", in.Operation, r.Decisions.SkipStep(ctx, in.Operation, in.Step, in.Decision))
}

// CancelOperation records that the operation is given up. It is refused, and nothing changes, when it no longer can be.
func (r *Records) CancelOperation(ctx context.Context, in DecideInput) error {
	return did("cancel", in.Operation, r.Decisions.CancelOperation(ctx, in.Operation, in.Decision))
}

// FinishCancellation records that what the operation did is undone.
func (r *Records) FinishCancellation(ctx context.Context, in Input) error {
	defer r.Watch.WakeIn(daap.Namespace(in.Database))
	return did("finish the cancellation of", in.Operation, r.Operations.FinishCancel(ctx, in.Operation))
}

// FinishOperation records that the operation has succeeded, and the database's status with it.
func (r *Records) FinishOperation(ctx context.Context, in Input) error {
	defer r.Watch.WakeIn(daap.Namespace(in.Database))
	return did("finish", in.Operation, r.Operations.FinishOperation(ctx, in.Operation))
}

func did(what string, operation uuid.UUID, err error) error {
	if err != nil {
		return fmt.Errorf("%s operation %s: %w", what, operation, err)
	}
	return nil
}
