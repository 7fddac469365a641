package persistence

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// running selects running databases: ready or being changed, even if the change needs attention. The placeholders take
// daap.RunningStatuses and daap.RunningKinds.
func running(statuses, kinds string) string {
	return `(d.status = ANY (` + statuses + `) OR d.status = 'error' AND o.kind = ANY (` + kinds + `))`
}

// RunningDatabases returns at most limit running databases, in order of ID after the given one, with their last
// observations.
func (s *Store) RunningDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Observed, error) {
	return s.observed(ctx, ` WHERE d.id > $1 AND `+running("$3", "$4")+` ORDER BY d.id LIMIT $2`,
		after, limit, daap.RunningStatuses(), daap.RunningKinds())
}

// RunningAmong returns the running ones among the given databases, with their last observations.
func (s *Store) RunningAmong(ctx context.Context, ids []uuid.UUID) ([]daap.Observed, error) {
	return s.observed(ctx, ` WHERE d.id = ANY ($1) AND `+running("$2", "$3"),
		ids, daap.RunningStatuses(), daap.RunningKinds())
}

// observed runs five statements for any number of databases.
func (s *Store) observed(ctx context.Context, which string, args ...any) ([]daap.Observed, error) {
	rows, _ := s.pool.Query(ctx, selectDatabases+which, args...) // Collect returns its error
	dbs, err := pgx.CollectRows(rows, scanDatabase)
	if err != nil {
		return nil, because(err, "read databases to observe")
	}
	ids := make([]uuid.UUID, 0, len(dbs))
	for _, db := range dbs {
		ids = append(ids, db.ID)
	}
	seen, err := s.conditions(ctx, ids)
	if err != nil {
		return nil, because(err, "read conditions")
	}
	backups, err := s.backupStates(ctx, `d.id = ANY ($1)`, ids)
	if err != nil {
		return nil, because(err, "read the states of backups")
	}
	scans, err := s.scans(ctx, ids)
	if err != nil {
		return nil, because(err, "read scans")
	}
	reserved, err := s.reserved(ctx, ids)
	if err != nil {
		return nil, because(err, "read reservations")
	}
	all := make([]daap.Observed, 0, len(dbs))
	for _, db := range dbs {
		o := seen[db.ID]
		o.Database, o.Backups, o.Scan, o.Reserved = db, backups[db.ID], scans[db.ID], reserved[db.ID]
		all = append(all, o)
	}
	return all, nil
}

// conditions reads the last observation of each database.
func (s *Store) conditions(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]daap.Observed, error) {
	rows, _ := s.pool.Query(ctx, selectConditions+`d.id = ANY ($1)`, ids) // collect returns its error
	return collectConditions(rows)
}

const selectConditions = `
	SELECT h.database_id, h.conditions, h.observed_at, h.revision
	FROM   database_health h JOIN databases d ON d.id = h.database_id
	WHERE  `

func collectConditions(rows pgx.Rows) (map[uuid.UUID]daap.Observed, error) {
	all := map[uuid.UUID]daap.Observed{}
	var id uuid.UUID
	var found []conditionRow
	var at time.Time
	var revision int64
	_, err := pgx.ForEachRow(rows, []any{&id, &found, &at, &revision}, func() error {
		all[id], found = daap.Observed{Conditions: conditionsOf(found, at), Revision: revision}, nil
		return nil
	})
	return all, err
}

// SaveHealth records observations and, for changed conditions, events. Unchanged rows get only the new time. Safe to
// repeat and to run concurrently: of two observers of the same change, one records it. Databases that changed in the
// meantime are returned, to be observed again.
func (s *Store) SaveHealth(ctx context.Context, at time.Time, seen []daap.Observation) (again []uuid.UUID, err error) {
	var same []uuid.UUID
	for _, one := range seen {
		if !one.Changed() {
			same = append(same, one.ID)
			continue
		}
		saved := false
		err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
			saved, err = saveHealth(ctx, tx, at, one)
			return err
		})
		if err != nil {
			return nil, because(err, fmt.Sprintf("save the health of database %s", one.ID))
		}
		if !saved {
			again = append(again, one.ID)
		}
	}
	if len(same) == 0 {
		return again, nil
	}
	_, err = s.pool.Exec(ctx, `
		UPDATE database_health SET observed_at = $1 WHERE database_id = ANY ($2) AND observed_at < $1`, at, same)
	return again, because(err, "save unchanged observations")
}

// saveHealth reports whether it was saved.
func saveHealth(ctx context.Context, tx pgx.Tx, at time.Time, one daap.Observation) (bool, error) {
	tag, err := tx.Exec(ctx, `
		INSERT INTO database_health AS h (database_id, health, health_since, conditions, observed_at)
		VALUES ($1, $2, $4, $3, $4)
		ON CONFLICT (database_id) DO UPDATE
		SET    health = $2, health_since = CASE WHEN h.health = $2 THEN h.health_since ELSE $4 END, conditions = $3,
		       observed_at = $4, revision = h.revision + 1
		WHERE  h.revision = $5`, one.ID, one.Now.Health(), toConditionRows(one.Now), at, one.Revision)
	if err != nil || tag.RowsAffected() == 0 {
		return false, err
	}
	event, tells := one.Event()
	if !tells {
		return true, nil
	}
	return true, insertEvent(ctx, tx, event)
}
