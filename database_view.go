package daap

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// DatabaseView is all that is known of one database as of one moment.
type DatabaseView struct {
	Observed
	// Extensions are the last complete list, in order of PostgreSQL database and name.
	Extensions []Extension
}

// Describe returns the database, a deleted one too, with all that is known of it. Conditions are as of now, in the order
// in which people are shown them; a database that does not run has none. Errors: CodeUnauthenticated, CodeForbidden,
// CodeNotFound.
func (d *Databases) Describe(ctx context.Context, req Request, id uuid.UUID) (DatabaseView, error) {
	by, err := req.authorize(MayGetDatabase)
	if err != nil {
		return DatabaseView{}, err
	}
	view, err := d.store.DescribeDatabase(ctx, by.Scope, id)
	if err != nil {
		return DatabaseView{}, err
	}
	view.Conditions = view.Told(time.Now())
	return view, nil
}
