// Package memory stores the domain in memory, for tests that need a store but no PostgreSQL.
//
// It behaves as package persistence does; the tests of that package run on both. Calls take place one after another, so
// the only thing it lacks is contention: no request is ever in progress, and no lock times out.
package memory

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// Store is the domain in memory; safe for concurrent use. New makes one.
type Store struct {
	mu     sync.Mutex
	rows   rows
	ahead  time.Duration
	before func(ctx context.Context) error
}

// rows is the content of the store. A change works on a copy of the maps, which takes the place of the original when
// the change succeeds. Values are therefore replaced and never modified in place.
type rows struct {
	// now is the time of the call that reads or changes the rows.
	now          time.Time
	databases    map[uuid.UUID]database
	operations   map[uuid.UUID]operation
	reservations map[uuid.UUID]reservation // by operation
	tiers        map[uuid.UUID]daap.Tier
	quotas       map[uuid.UUID]daap.Quota
	keys         map[uuid.UUID]daap.StoredKey
	answers      map[requestKey]answer
	health       map[uuid.UUID]health
	backupStates map[uuid.UUID]daap.BackupState
	backups      map[uuid.UUID]daap.Backup
	scans        map[uuid.UUID]daap.Scan
	extensions   map[uuid.UUID][]daap.Extension
	orphans      map[uuid.UUID]daap.Orphan
	events       []daap.Event
	audit        []daap.AuditEntry
}

// New returns an empty store.
func New() *Store {
	return &Store{rows: rows{
		databases:    make(map[uuid.UUID]database),
		operations:   make(map[uuid.UUID]operation),
		reservations: make(map[uuid.UUID]reservation),
		tiers:        make(map[uuid.UUID]daap.Tier),
		quotas:       make(map[uuid.UUID]daap.Quota),
		keys:         make(map[uuid.UUID]daap.StoredKey),
		answers:      make(map[requestKey]answer),
		health:       make(map[uuid.UUID]health),
		backupStates: make(map[uuid.UUID]daap.BackupState),
		backups:      make(map[uuid.UUID]daap.Backup),
		scans:        make(map[uuid.UUID]daap.Scan),
		extensions:   make(map[uuid.UUID][]daap.Extension),
		orphans:      make(map[uuid.UUID]daap.Orphan),
	}}
}

func (r rows) clone() rows {
	r.databases, r.operations = maps.Clone(r.databases), maps.Clone(r.operations)
	r.reservations, r.tiers, r.quotas = maps.Clone(r.reservations), maps.Clone(r.tiers), maps.Clone(r.quotas)
	r.keys, r.answers, r.health = maps.Clone(r.keys), maps.Clone(r.answers), maps.Clone(r.health)
	r.backupStates, r.backups = maps.Clone(r.backupStates), maps.Clone(r.backups)
	r.scans, r.extensions, r.orphans = maps.Clone(r.scans), maps.Clone(r.extensions), maps.Clone(r.orphans)
	return r
}

// Before makes every later call run f first and fail with its error; nil stops that. A test injects errors, delays and
// panics with it. The Put functions do not run f.
func (s *Store) Before(f func(ctx context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// Pass advances the clock of the store by d.
func (s *Store) Pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += d
}

// read returns the result of get. It fails when ctx is done.
func read[T any](ctx context.Context, s *Store, get func(r *rows) (T, error)) (T, error) {
	if err := s.enter(ctx); err != nil {
		var none T
		return none, err
	}
	defer s.mu.Unlock()
	return get(&s.rows)
}

// change makes a change completely, or not at all where it fails.
func (s *Store) change(ctx context.Context, make func(r *rows) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	changed := s.rows.clone()
	if err := make(&changed); err != nil {
		return err
	}
	s.rows = changed
	return nil
}

// enter locks the store for a call, unless it fails.
func (s *Store) enter(ctx context.Context) error {
	s.mu.Lock()
	before := s.before
	s.mu.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("use the store: %w", err)
	}
	s.mu.Lock()
	s.tick()
	return nil
}

// tick sets the time of a call, in the precision of PostgreSQL. It is later than the time of the previous call, even
// if a test stops the clock.
func (s *Store) tick() {
	now := time.Now().Add(s.ahead).UTC().Truncate(time.Microsecond)
	if !now.After(s.rows.now) {
		now = s.rows.now.Add(time.Microsecond)
	}
	s.rows.now = now
}

// newest returns the items that match, in descending order of ID, from the place and up to the limit of the page.
func newest[T any](items map[uuid.UUID]T, page daap.Page, match func(T) bool) []T {
	return some(items, page.Limit, func(a, b uuid.UUID) int { return compare(b, a) }, func(id uuid.UUID, item T) bool {
		return (page.After == uuid.Nil || compare(id, page.After) < 0) && match(item)
	})
}

// oldest returns at most limit items that match, in ascending order of ID, from after on.
func oldest[T any](items map[uuid.UUID]T, after uuid.UUID, limit int, match func(T) bool) []T {
	return some(items, limit, compare, func(id uuid.UUID, item T) bool { return compare(id, after) > 0 && match(item) })
}

func some[T any](
	items map[uuid.UUID]T, limit int, order func(a, b uuid.UUID) int, match func(uuid.UUID, T) bool,
) []T {
	var ids []uuid.UUID
	for id, item := range items {
		if match(id, item) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, order)
	chosen := make([]T, 0, min(len(ids), limit))
	for _, id := range ids[:min(len(ids), limit)] {
		chosen = append(chosen, items[id])
	}
	return chosen
}

// byID indexes the rows of a table that is only ever added to.
func byID[T any](rows []T, id func(T) uuid.UUID) map[uuid.UUID]T {
	all := make(map[uuid.UUID]T, len(rows))
	for _, row := range rows {
		all[id(row)] = row
	}
	return all
}

func compare(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// precise is a time in the precision of PostgreSQL, in UTC.
func precise(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	return new(at.UTC().Truncate(time.Microsecond))
}

// storable returns the text that PostgreSQL stores: valid UTF-8 without NUL.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "")
}
