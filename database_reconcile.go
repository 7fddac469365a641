package daap

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Reconcile records the operation that applies all objects of the database again, and starts it like Create. It reverts
// changes by hand; if the Cluster is gone, it restores the database from its backups under the same hosts. Errors:
// CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeDatabaseBusy, CodeWrongStatus unless it is ready,
// CodeUnavailable above the backlog, and those of once.
func (d *Databases) Reconcile(ctx context.Context, req Request, id uuid.UUID) (Database, Operation, error) {
	by, err := req.authorize(MayReconcileDatabase)
	if err != nil {
		return Database{}, Operation{}, err
	}
	return d.accept(ctx, by, ReconcileDatabase, id)
}

// Next returns the next incarnation of the database, which is restored from everything in its own archive of that
// server name.
func (db Database) Next(server string) Database {
	db.Source = &Source{DatabaseID: db.ID, Name: db.Name, ServerName: server, Destination: db.Destination()}
	db.Incarnation++
	return db
}

// ServerNames returns all names under which the database has archived, the current incarnation's first.
func (db Database) ServerNames() []string {
	var all []string
	for n := db.Incarnation; n > 0; n-- {
		all = append(all, serverName(n))
	}
	return all
}

// HasBegun returns the event that the operation began the incarnation because the previous one is gone. archived is the
// time up to which the previous one is known to be archived; nil if unknown.
func (o Operation) HasBegun(is Database, archived *time.Time) Event {
	message := "Cluster %s and its volumes were gone. The database is being restored as Cluster %s from its own " +
		"archive %s"
	args := []any{serverName(is.Incarnation - 1), is.ServerName(), is.Source.ServerName}
	if archived == nil {
		return o.Happened(EventIncarnationBegun, message+", with everything that was archived.", args...)
	}
	return o.Happened(EventIncarnationBegun, message+", with everything that was archived: at least all changes until "+
		"%s.",
		append(args, archived.UTC().Format(time.RFC3339))...)
}
