package activities

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// lifecycle moves an operation from one state to the next.
type lifecycle interface {
	ParkOperation(ctx context.Context, operation uuid.UUID, cause daap.Cause) error
	ResumeOperation(ctx context.Context, operation uuid.UUID) error
	FinishOperation(ctx context.Context, operation uuid.UUID) error
}

// Records are the activities on DAAP's own rows. All fail with ErrSuperseded when the operation is over.
type Records struct{ Operations lifecycle }

// ParkInput is an operation that cannot go on by itself, and why.
type ParkInput struct {
	Operation uuid.UUID
	Cause     daap.Cause
}

// Park records that the operation needs attention, and the database with it; safe to repeat.
func (r *Records) Park(ctx context.Context, in ParkInput) error {
	if err := r.Operations.ParkOperation(ctx, in.Operation, in.Cause); err != nil {
		return fmt.Errorf("park operation %s: %w", in.Operation, err)
	}
	return nil
}

// Resume records that a parked operation goes on; safe to repeat.
func (r *Records) Resume(ctx context.Context, in Input) error {
	if err := r.Operations.ResumeOperation(ctx, in.Operation); err != nil {
		return fmt.Errorf("resume operation %s: %w", in.Operation, err)
	}
	return nil
}

// Finish records that the operation has succeeded, and the database's status with it; safe to repeat.
func (r *Records) Finish(ctx context.Context, in Input) error {
	if err := r.Operations.FinishOperation(ctx, in.Operation); err != nil {
		return fmt.Errorf("finish operation %s: %w", in.Operation, err)
	}
	return nil
}
