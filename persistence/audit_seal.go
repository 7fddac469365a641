package persistence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// sealLock is the advisory lock for changes of the chain; audit_forget takes it too.
const sealLock = 1684107380

// SealAudit appends at most limit entries to the chain, oldest first, and returns their number; 0 while another process
// does so. An entry and its place in the chain share one transaction.
func (s *Store) SealAudit(ctx context.Context, limit int) (int, error) {
	var sealed int
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var alone bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, sealLock).Scan(&alone); err != nil || !alone {
			return err
		}
		entries, err := takeUnsealed(ctx, tx, limit)
		if err != nil || len(entries) == 0 {
			return err
		}
		sealed = len(entries)
		return chain(ctx, tx, entries)
	})
	return sealed, because(err, "seal audit entries")
}

// takeUnsealed returns the oldest entries that are not in the chain, and deletes their markers.
func takeUnsealed(ctx context.Context, tx pgx.Tx, limit int) ([]daap.AuditEntry, error) {
	rows, _ := tx.Query(ctx, `
		WITH taken AS (
			DELETE FROM audit_unsealed WHERE entry_id IN (
				SELECT entry_id FROM audit_unsealed ORDER BY entry_id LIMIT $1)
			RETURNING entry_id
		)`+selectAudit+`
		JOIN   taken ON taken.entry_id = l.id
		ORDER  BY l.id`, limit) // Collect returns its error
	entries, err := pgx.CollectRows(rows, scanAudit)
	if err != nil {
		return nil, fmt.Errorf("take unsealed entries: %w", err)
	}
	return entries, nil
}

// chain appends the entries to the chain.
func chain(ctx context.Context, tx pgx.Tx, entries []daap.AuditEntry) error {
	at, err := auditHead(ctx, tx)
	if err != nil {
		return fmt.Errorf("read the head: %w", err)
	}
	insert := pgx.CopyFromSlice(len(entries), func(i int) ([]any, error) {
		if at, err = at.Next(entries[i]); err != nil {
			return nil, err
		}
		return []any{at.Position, at.EntryID, at.Hash[:]}, nil
	})
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"audit_chain"}, []string{"position", "entry_id", "hash"}, insert)
	if err != nil {
		return fmt.Errorf("add to the chain: %w", err)
	}
	return nil
}

// forgetBatch bounds the removals of one call of ForgetAudit, which keeps transactions short.
const forgetBatch = 1000

// ForgetAudit removes some expired entries and returns their number.
func (s *Store) ForgetAudit(ctx context.Context) (int, error) {
	var gone int
	err := s.pool.QueryRow(ctx, `SELECT audit_forget($1)`, forgetBatch).Scan(&gone)
	return gone, because(err, "remove expired audit entries")
}

// SealedEntries returns at most limit seals after the position, in order, with their entries.
func (s *Store) SealedEntries(ctx context.Context, after int64, limit int) ([]daap.SealedEntry, error) {
	var sealed []daap.SealedEntry
	entries := make(map[uuid.UUID]*daap.AuditEntry)
	read := &pgx.Batch{}
	read.Queue(`
		SELECT position, entry_id, hash FROM audit_chain WHERE position > $1 ORDER BY position LIMIT $2`,
		after, limit).Query(func(rows pgx.Rows) error {
		var err error
		sealed, err = pgx.CollectRows(rows, scanSeal)
		return err
	})
	read.Queue(selectAudit+`
		JOIN   (SELECT entry_id FROM audit_chain WHERE position > $1 ORDER BY position LIMIT $2) c
		ON     c.entry_id = l.id`, after, limit).Query(func(rows pgx.Rows) error {
		found, err := pgx.CollectRows(rows, scanAudit)
		for i := range found {
			entries[found[i].ID] = &found[i]
		}
		return err
	})
	if err := s.pool.SendBatch(ctx, read).Close(); err != nil {
		return nil, because(err, "read the chain")
	}
	for i := range sealed {
		sealed[i].Entry = entries[sealed[i].EntryID]
	}
	return sealed, nil
}

func scanSeal(row pgx.CollectableRow) (daap.SealedEntry, error) {
	var sealed daap.SealedEntry
	var hash []byte
	err := row.Scan(&sealed.Position, &sealed.EntryID, &hash)
	copy(sealed.Hash[:], hash)
	return sealed, err
}

// compareTimeout bounds the comparison of the whole audit log with the whole chain.
const compareTimeout = 10 * time.Minute

// UnsealedEntry returns the number of entries older than age that are not sealed, and the oldest of them. It reads all
// entries: the markers of unsealed entries could be tampered with.
func (s *Store) UnsealedEntry(ctx context.Context, age time.Duration) (int, uuid.UUID, error) {
	var count int
	var oldest uuid.UUID
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', $1, true)`, milliseconds(compareTimeout))
		if err != nil {
			return fmt.Errorf("raise the statement timeout: %w", err)
		}
		return tx.QueryRow(ctx, `
			SELECT count(*) OVER (), l.id FROM audit_log l
			WHERE  l.at < now() - $1::interval
			AND    NOT EXISTS (SELECT FROM audit_chain c WHERE c.entry_id = l.id)
			ORDER  BY l.id LIMIT 1`, age).Scan(&count, &oldest)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, uuid.Nil, nil
	}
	return count, oldest, because(err, "read unsealed entries")
}
