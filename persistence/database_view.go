package persistence

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// DescribeDatabase returns everything known about the database, including a deleted one, in one snapshot: five
// statements, sent at once. Errors: CodeNotFound, also for one out of scope.
func (s *Store) DescribeDatabase(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.DatabaseView, error) {
	var view daap.DatabaseView
	read, one, args := &pgx.Batch{}, `d.id = $1`+ofTeam, []any{id, owner(scope)}
	read.Queue(selectConditions+one, args...).Query(func(rows pgx.Rows) error {
		all, err := collectConditions(rows)
		view.Observed = all[id]
		return err
	})
	read.Queue(selectDatabases+` WHERE `+one, args...).Query(func(rows pgx.Rows) (err error) {
		view.Database, err = pgx.CollectExactlyOneRow(rows, scanDatabase)
		return err
	})
	read.Queue(selectBackupStates+one, args...).Query(func(rows pgx.Rows) error {
		all, err := collectBackupStates(rows)
		view.Backups = all[id]
		return err
	})
	read.Queue(selectScans+one, args...).Query(func(rows pgx.Rows) error {
		all, err := collectScans(rows)
		view.Scan = all[id]
		return err
	})
	read.Queue(selectExtensions, args...).Query(func(rows pgx.Rows) (err error) {
		view.Extensions, err = pgx.CollectRows(rows, scanExtension)
		return err
	})
	if err := s.snapshot(ctx, read); err != nil {
		return daap.DatabaseView{}, missing(err, "describe database", "database")
	}
	return view, nil
}

// snapshot runs the queued reads in one snapshot, on one connection.
func (s *Store) snapshot(ctx context.Context, read *pgx.Batch) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly},
		func(tx pgx.Tx) error { return tx.SendBatch(ctx, read).Close() })
}
