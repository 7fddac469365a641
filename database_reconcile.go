package daap

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// Reconcile records the operation that applies all that the database is made of anew, and starts that as Create does.
// What others changed of it by hand is undone; where its Cluster is gone, it is restored from its backups under the
// same hosts. Errors: CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeDatabaseBusy, CodeWrongStatus unless it is
// ready, CodeUnavailable above the backlog, and those of once.
func (d *Databases) Reconcile(ctx context.Context, req Request, id uuid.UUID) (Database, Operation, error) {
	by, err := req.authorize(MayReconcileDatabase)
	if err != nil {
		return Database{}, Operation{}, err
	}
	return d.accept(ctx, by, ReconcileDatabase, id)
}

// Next is the next incarnation of the database, which is restored from its own archive of that server name. Of all
// that was archived there, nothing is left out.
func (db Database) Next(server string) Database {
	db.Source = &Source{DatabaseID: db.ID, Name: db.Name, ServerName: server, Destination: db.Destination()}
	db.Incarnation++
	return db
}

// ServerNames are all that the database has ever archived under, that of the present incarnation first.
func (db Database) ServerNames() []string {
	var all []string
	for n := db.Incarnation; n > 0; n-- {
		all = append(all, serverName(n))
	}
	return all
}

// HasBegun is the event that the operation has begun the incarnation of the database, as the one before is gone.
// archived is up to when all that was written to that is known to be archived; nil where that is not known.
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
