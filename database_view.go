package daap

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// DatabaseView is everything known about one database at one moment.
type DatabaseView struct {
	Observed
	// Extensions are the last complete list, in order of PostgreSQL database and name.
	Extensions []Extension
}

// Describe returns the database, including a deleted one, with everything known about it. The conditions are current
// and in display order; a database that is not running has none. Errors: CodeUnauthenticated, CodeForbidden,
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
	view.Conditions = view.Reported(time.Now())
	return view, nil
}
