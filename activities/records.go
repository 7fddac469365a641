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

// decided records a person's decisions in the rows.
type decided interface {
	ResumeOperation(ctx context.Context, operation uuid.UUID, d daap.Decision) error
	SkipStep(ctx context.Context, operation uuid.UUID, step daap.StepName, d daap.Decision) error
	// CancelOperation returns Refused if the operation can no longer be cancelled.
	CancelOperation(ctx context.Context, operation uuid.UUID, d daap.Decision) error
}

// Records are the activities that change DAAP's own rows. All are safe to repeat. All fail with ErrSuperseded if the
// operation is over.
type Records struct {
	Operations lifecycle
	Decisions  decided
	// Watch is notified of databases whose status changed; nil if nothing follows it.
	Watch *cluster.Watch
}

// ParkInput is an operation that cannot continue by itself, and the cause.
type ParkInput struct {
	Operation uuid.UUID
	// Step is the current step of the operation.
	Step  daap.StepName
	Cause daap.Cause
}

// DecideInput is an operation and a person's decision about it.
type DecideInput struct {
	Operation uuid.UUID
	// Step is the current step of the operation.
	Step     daap.StepName
	Decision daap.Decision
}

// ParkOperation records that the operation and its database need attention.
func (r *Records) ParkOperation(ctx context.Context, in ParkInput) error {
	return did("park", in.Operation, r.Operations.ParkOperation(ctx, in.Operation, in.Step, in.Cause))
}

// ResumeOperation records that a parked operation continues with its current step.
func (r *Records) ResumeOperation(ctx context.Context, in DecideInput) error {
	return did("resume", in.Operation, r.Decisions.ResumeOperation(ctx, in.Operation, in.Decision))
}

// SkipStep records that a parked operation continues with the next step.
func (r *Records) SkipStep(ctx context.Context, in DecideInput) error {
	return did("skip a step of", in.Operation, r.Decisions.SkipStep(ctx, in.Operation, in.Step, in.Decision))
}

// CancelOperation records that the operation is cancelled. It is refused, and changes nothing, if that is no longer
// possible.
func (r *Records) CancelOperation(ctx context.Context, in DecideInput) error {
	return did("cancel", in.Operation, r.Decisions.CancelOperation(ctx, in.Operation, in.Decision))
}

// FinishCancellation records that the operation is rolled back.
func (r *Records) FinishCancellation(ctx context.Context, in Input) error {
	defer r.Watch.WakeIn(daap.Namespace(in.Database))
	return did("finish the cancellation of", in.Operation, r.Operations.FinishCancel(ctx, in.Operation))
}

// FinishOperation records that the operation has succeeded, and the database's new status.
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
