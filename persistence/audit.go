package persistence

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

// fields are the fields of a change in its audit log entry.
type fields = map[string]any

// changed returns the fields that differ, before and after. Both have the same fields.
func changed(was, is fields) (before, after fields) {
	before, after = fields{}, fields{}
	for name, value := range is {
		if !reflect.DeepEqual(was[name], value) {
			before[name], after[name] = was[name], value
		}
	}
	return before, after
}

const insertAudit = `
	INSERT INTO audit_log (id, at, actor, key_id, team, role, request_id, address, action,
	                       resource_kind, resource_id, outcome, status, before, after)
	VALUES ($1, $2, NULLIF($3, ''), $4, NULLIF($5, ''), NULLIF($6, ''), NULLIF($7, ''), NULLIF($8, ''), $9,
	        NULLIF($10, ''), $11, $12, $13, $14, $15)
	ON CONFLICT (id) DO NOTHING`

const selectAudit = `
	SELECT l.id, l.at, COALESCE(l.actor, ''), l.key_id, COALESCE(l.team, ''), COALESCE(l.role, ''),
	       COALESCE(l.request_id, ''), COALESCE(l.address, ''), l.action, COALESCE(l.resource_kind, ''),
	       l.resource_id, l.outcome, l.status, l.before, l.after
	FROM   audit_log l`

// addAudit adds an entry in the transaction of its change.
func addAudit(ctx context.Context, tx pgx.Tx, e daap.AuditEntry) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("create an audit entry ID: %w", err)
	}
	e.ID, e.At = id, time.Now()
	if _, err := tx.Exec(ctx, insertAudit, auditColumns(e)...); err != nil {
		return fmt.Errorf("add audit entry %s: %w", e.Action, err)
	}
	return nil
}

// AddAuditEntries adds all entries or none. Safe to repeat: an existing entry does not change.
func (s *Store) AddAuditEntries(ctx context.Context, entries []daap.AuditEntry) error {
	insert := &pgx.Batch{}
	for _, e := range entries {
		insert.Queue(insertAudit, auditColumns(e)...)
	}
	return because(s.pool.SendBatch(ctx, insert).Close(), "add audit entries")
}

func auditColumns(e daap.AuditEntry) []any {
	return []any{
		e.ID, e.At, storable(e.Actor), nullUUID(e.KeyID), e.Team, string(e.Role), storable(e.RequestID),
		storable(e.Address), e.Action, e.Resource.Kind, nullUUID(e.Resource.ID), string(e.Outcome), e.Status,
		nullJSON(e.Before), nullJSON(e.After),
	}
}

func nullUUID(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

// nullJSON returns null for no fields: pgx would store the text null.
func nullJSON(f fields) any {
	if len(f) == 0 {
		return nil
	}
	return f
}

func scanAudit(row pgx.CollectableRow) (daap.AuditEntry, error) {
	var e daap.AuditEntry
	var key, resource *uuid.UUID
	err := row.Scan(&e.ID, &e.At, &e.Actor, &key, &e.Team, &e.Role, &e.RequestID, &e.Address, &e.Action,
		&e.Resource.Kind, &resource, &e.Outcome, &e.Status, &e.Before, &e.After)
	if key != nil {
		e.KeyID = *key
	}
	if resource != nil {
		e.Resource.ID = *resource
	}
	return e, err
}

// AuditEntries returns the entries that the filter selects, newest first, at most one page.
func (s *Store) AuditEntries(ctx context.Context, f daap.AuditFilter) ([]daap.AuditEntry, error) {
	var w filter
	if f.Team != "" {
		w.andWith(`l.team = $`, f.Team)
	}
	if f.KeyID != nil {
		w.andWith(`l.key_id = $`, *f.KeyID)
	}
	if f.Action != "" {
		w.andWith(`l.action = $`, f.Action)
	}
	if f.Resource != nil {
		w.andWith(`l.resource_id = $`, *f.Resource)
	}
	if f.Outcome != "" {
		w.andWith(`l.outcome = $`, f.Outcome)
	}
	w.inTime(f.From, f.Until)
	if f.Page.After != uuid.Nil {
		w.andWith(`l.id < $`, f.Page.After)
	}
	sql := selectAudit + w.where() + ` ORDER BY l.id DESC LIMIT ` + w.placeholder(f.Page.Limit)
	rows, _ := s.pool.Query(ctx, sql, w.args...) // Collect returns its error
	entries, err := pgx.CollectRows(rows, scanAudit)
	if err != nil {
		return nil, because(err, "read audit entries")
	}
	return entries, nil
}

// clockSlack is the maximum difference between the time in an entry's ID and its recorded time: a process may stall in
// between.
const clockSlack = time.Minute

// inTime selects the entries in the time range. IDs are in order of time and serve as the index; the recorded time
// decides.
func (f *filter) inTime(from, until time.Time) {
	if !from.IsZero() {
		f.andWith(`l.at >= $`, from)
		f.andWith(`l.id >= $`, firstID(from.Add(-clockSlack)))
	}
	if !until.IsZero() {
		f.andWith(`l.at < $`, until)
		f.andWith(`l.id < $`, firstID(until.Add(clockSlack)))
	}
}

// firstID returns the lowest UUIDv7 of the time, in milliseconds (RFC 9562).
func firstID(at time.Time) uuid.UUID {
	var id uuid.UUID
	milliseconds := max(0, at.UnixMilli())
	for i := range 6 {
		id[i] = byte(milliseconds >> (8 * (5 - i))) //nolint:gosec // each byte in turn
	}
	return id
}

// AuditIsProtected reports whether the role of this pool can only add to the audit log and cannot change its retention.
func (s *Store) AuditIsProtected(ctx context.Context) (bool, error) {
	var protected bool
	err := s.pool.QueryRow(ctx, `
		SELECT NOT has_table_privilege('audit_log', 'UPDATE, DELETE, TRUNCATE')
		AND    NOT has_table_privilege('audit_chain', 'UPDATE, DELETE, TRUNCATE')
		AND    NOT has_table_privilege('audit_retention', 'INSERT, UPDATE, DELETE, TRUNCATE')
		AND    NOT pg_has_role((SELECT relowner FROM pg_class WHERE oid = 'audit_log'::regclass), 'MEMBER')`,
	).Scan(&protected)
	return protected, because(err, "read the privileges on the audit log")
}

// AuditHead returns the last seal, the zero Seal before the first.
func (s *Store) AuditHead(ctx context.Context) (daap.Seal, error) {
	head, err := auditHead(ctx, s.pool)
	return head, because(err, "read the head of the audit log")
}

// querier is a transaction or the pool.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func auditHead(ctx context.Context, q querier) (daap.Seal, error) {
	var head daap.Seal
	var hash []byte
	err := q.QueryRow(ctx, `
		SELECT position, entry_id, hash FROM audit_chain ORDER BY position DESC LIMIT 1`,
	).Scan(&head.Position, &head.EntryID, &hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return head, nil
	}
	copy(head.Hash[:], hash)
	return head, err
}
