// Package activities is the doing: everything a workflow may do to the world. Every activity may run twice
// and takes IDs only. An Interceptor around them all fences them, writes their progress to the operation's
// row and says which of their errors are final.
package activities

import (
	"context"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// Input is what every step's activity takes. It goes into the workflow's history, so it holds IDs only.
type Input struct {
	Operation uuid.UUID
	Database  uuid.UUID
	Step      daap.StepName
	// Undo says that the activity takes back what the step did.
	Undo bool `json:",omitempty"`
}

// databases reads the records of the database that an activity works on, and of the operation.
type databases interface {
	Database(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.Database, error)
	Operation(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.Operation, error)
}
