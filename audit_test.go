package daap_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// book is an audit log in memory.
type book struct {
	mu      sync.Mutex
	entries []daap.AuditEntry
	chain   []daap.SealedEntry
	heads   []daap.Seal
	// away is what every call fails with; nil where none is to.
	away     error
	unsealed int
}

func (b *book) AddAuditEntries(_ context.Context, entries []daap.AuditEntry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.ContainsFunc(entries, func(e daap.AuditEntry) bool { return e.Action == "poison" }) {
		return errors.New("PostgreSQL refuses it")
	}
	if b.away == nil {
		b.entries = append(b.entries, entries...)
	}
	return b.away
}

func (b *book) AuditEntries(_ context.Context, f daap.AuditFilter) ([]daap.AuditEntry, error) {
	if b.away != nil {
		return nil, b.away
	}
	from := 0
	if f.Page.After != uuid.Nil {
		from = 1 + slices.IndexFunc(b.entries, func(e daap.AuditEntry) bool { return e.ID == f.Page.After })
	}
	return b.entries[from:min(from+f.Page.Limit, len(b.entries))], nil
}

// seal seals all entries.
func (b *book) seal(t *testing.T) {
	t.Helper()
	var at daap.Seal
	for i := range b.entries {
		var err error
		if at, err = at.Next(b.entries[i]); err != nil {
			t.Fatal(err)
		}
		entry := b.entries[i]
		b.chain = append(b.chain, daap.SealedEntry{Seal: at, Entry: &entry})
	}
}

func (b *book) SealedEntries(_ context.Context, after int64, limit int) ([]daap.SealedEntry, error) {
	var page []daap.SealedEntry
	for _, s := range b.chain {
		if s.Position > after && len(page) < limit {
			page = append(page, s)
		}
	}
	return page, nil
}

func (b *book) UnsealedEntry(context.Context, time.Duration) (int, uuid.UUID, error) {
	return b.unsealed, uuid.Nil, nil
}

func (b *book) Heads(context.Context) ([]daap.Seal, error) { return b.heads, nil }

// newBook returns a log of n sealed entries, with a head given away at the last.
func newBook(t *testing.T, n int) *book {
	t.Helper()
	b := &book{}
	for i := range n {
		b.entries = append(b.entries, daap.AuditEntry{
			ID: uuid.New(), At: time.Unix(int64(i), 0), Action: "createDatabase", Outcome: daap.OutcomeSucceeded,
		})
	}
	b.seal(t)
	b.heads = []daap.Seal{b.chain[n-1].Seal}
	return b
}

func TestVerifyNamesTheFirstBreak(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		tamper func(*testing.T, *book)
		at     int64
		why    string
	}{
		"untouched":             {func(*testing.T, *book) {}, 0, ""},
		"an entry is changed":   {func(_ *testing.T, b *book) { b.chain[4].Entry.Action = "getDatabase" }, 5, "changed after it was sealed"},
		"two are changed":       {func(_ *testing.T, b *book) { b.chain[6].Entry.Team, b.chain[2].Entry.Team = "x", "y" }, 3, "changed after it was sealed"},
		"an entry is gone":      {func(_ *testing.T, b *book) { b.chain[4].Entry = nil }, 5, "is missing"},
		"entry and seal gone":   {func(_ *testing.T, b *book) { b.chain = slices.Delete(b.chain, 4, 5) }, 6, "between 4 and this one"},
		"the beginning is gone": {func(_ *testing.T, b *book) { b.chain = b.chain[2:] }, 3, "begins here"},
		"the tail is cut":       {func(_ *testing.T, b *book) { b.chain = b.chain[:7] }, 10, "ends at 7, but it once reached at least 10"},
		"all is gone":           {func(_ *testing.T, b *book) { b.chain = nil }, 10, "ends at 0"},
		"rebuilt chain":         {func(t *testing.T, b *book) { b.entries[4].Team = "x"; b.chain = nil; b.seal(t) }, 10, "differs from the head"},
		"not sealed":            {func(_ *testing.T, b *book) { b.unsealed = 2 }, 0, "2 entries are not sealed"},
		"let go of":             {func(_ *testing.T, b *book) { b.chain = b.chain[2:]; b.chain[0].Entry = nil }, 0, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBook(t, 10)
			tt.tamper(t, b)
			found, err := daap.VerifyAudit(t.Context(), b, b)
			if err != nil {
				t.Fatal(err)
			}
			if tt.why == "" {
				if found.Break != nil || found.Last != 10 || found.Heads != 1 {
					t.Errorf("VerifyAudit() = %+v (%+v), want all ten, one head and no break", found, found.Break)
				}
				return
			}
			if found.Break == nil || found.Break.Position != tt.at || !strings.Contains(found.Break.Why, tt.why) {
				t.Errorf("VerifyAudit() = %+v, want a break at %d that says %q", found.Break, tt.at, tt.why)
			}
		})
	}
}

// pass lets time pass on the clock of a test's bubble, until all in it have done what was to be done by then.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestAuditWriterFlushesOnACleanStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &book{}
		w := daap.NewAuditWriter(b, func(err error) { t.Error(err) })
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() { defer close(over); w.Run(ctx) }()
		for range 1234 {
			w.Add(daap.AuditEntry{Action: "getDatabase"})
		}
		stop()
		<-over
		if len(b.entries) != 1234 || w.Dropped() != 0 {
			t.Errorf("%d entries are written and %d dropped, want 1234 and none", len(b.entries), w.Dropped())
		}
	})
}

func TestAuditWriterRetriesEntriesAndCountsDroppedOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &book{away: daap.Unavailable("PostgreSQL is down")}
		reports := 0
		w := daap.NewAuditWriter(b, func(error) { reports++ })
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go w.Run(ctx)
		for range 25_000 {
			w.Add(daap.AuditEntry{Action: "getDatabase"})
		}
		pass(10 * time.Second)
		if w.Dropped() == 0 || reports == 0 || len(b.entries) > 0 {
			t.Fatalf("%d dropped, %d reports, %d written while PostgreSQL is down", w.Dropped(), reports, len(b.entries))
		}
		b.mu.Lock()
		b.away = nil
		b.mu.Unlock()
		pass(10 * time.Second)
		b.mu.Lock()
		defer b.mu.Unlock()
		told, dropped := 0, 0
		for _, e := range b.entries {
			if e.Action == "audit.dropped" {
				told++
				dropped, _ = e.After["entries"].(int)
			}
		}
		if told != 1 || len(b.entries)-told+dropped != 25_000 || w.Dropped() != 0 {
			t.Errorf("%d written, %d told as dropped in %d entries; want 25000 in all", len(b.entries)-told, dropped, told)
		}
		synctest.Wait()
	})
}

func TestRefusedEntryBlocksNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, reports := &book{}, 0
		w := daap.NewAuditWriter(b, func(error) { reports++ })
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		for _, action := range []string{"getDatabase", "poison", "listDatabases"} {
			w.Add(daap.AuditEntry{Action: action})
		}
		go w.Run(ctx)
		pass(5 * time.Second)
		var got []string
		for _, e := range b.entries {
			got = append(got, e.Action)
		}
		if want := "[getDatabase listDatabases audit.dropped]"; fmt.Sprint(got) != want || reports != 1 || w.Dropped() != 0 {
			t.Errorf("%v are written with %d reports, want %s and one", got, reports, want)
		}
	})
}

func TestExportIsOrderedAndEndsWithItsReader(t *testing.T) {
	t.Parallel()
	b := newBook(t, 1234)
	export, err := daap.NewAuditLogs(b).Export(platform, daap.AuditFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var got []daap.AuditEntry
	if err := export(t.Context(), func(e []daap.AuditEntry) error { got = append(got, e...); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1234 || got[0].ID != b.entries[0].ID || got[1233].ID != b.entries[1233].ID {
		t.Errorf("the export has %d entries, want all 1234 in order", len(got))
	}
	gone, pages := errors.New("the reader is gone"), 0
	err = export(t.Context(), func([]daap.AuditEntry) error { pages++; return gone })
	if !errors.Is(err, gone) || pages != 1 {
		t.Errorf("export = %v after %d pages, want it to end with its reader", err, pages)
	}
}

// mill is where a Sealer works.
type mill struct {
	mu      sync.Mutex
	waiting int
	head    daap.Seal
	given   []int64
	old     int
}

func (m *mill) SealAudit(_ context.Context, limit int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	n := min(limit, m.waiting)
	m.waiting -= n
	m.head.Position += int64(n)
	return n, nil
}

func (m *mill) AuditHead(context.Context) (daap.Seal, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.head, nil
}

func (m *mill) ForgetAudit(context.Context) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	n := min(m.old, 1000)
	m.old -= n
	return n, nil
}

func (m *mill) PutHead(_ context.Context, head daap.Seal) error {
	m.mu.Lock()
	defer m.mu.Unlock()

	m.given = append(m.given, head.Position)
	return nil
}

func TestSealerSealsAllAndExportsEachHeadOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mill{waiting: 2500, old: 1500}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		over := make(chan struct{})
		go func() {
			defer close(over)
			daap.NewSealer(m, m, func(err error) { t.Error(err) }).Run(ctx)
		}()
		pass(2 * time.Second)
		if m.waiting != 0 || m.old != 0 || fmt.Sprint(m.given) != "[2500]" {
			t.Errorf("after 2 s %d entries wait, %d old ones are left, heads %v are given", m.waiting, m.old, m.given)
		}
		m.mu.Lock()
		m.waiting = 1
		m.mu.Unlock()
		pass(20 * time.Second)
		if fmt.Sprint(m.given) != "[2500 2501]" {
			t.Errorf("heads %v are given, want each once", m.given)
		}
		<-over
	})
}

func TestHashIsOverTheSameTextInEveryVersion(t *testing.T) {
	t.Parallel()
	id := uuid.UUID{15: 1}
	raw, err := daap.AuditEntry{
		ID: id, At: time.Unix(1, 2000).UTC(), Action: "updateTier", Outcome: daap.OutcomeSucceeded, Status: 200,
		Origin: daap.Origin{
			Actor: "platform/alice", KeyID: id, Team: "platform", Role: daap.RolePlatformTeam, RequestID: "request-1",
			Address: "192.0.2.1", Success: 202,
		},
		Resource: daap.Resource{Kind: daap.ResourceTier, ID: id},
		Before:   map[string]any{"cpu": "1"}, After: map[string]any{"cpu": "2"},
	}.Canonical()
	const want = `{"id":"00000000-0000-0000-0000-000000000001","at":"1970-01-01T00:00:01.000002Z",` +
		`"origin":{"actor":"platform/alice","key_id":"00000000-0000-0000-0000-000000000001","team":"platform",` +
		`"role":"platform-team","request_id":"request-1","address":"192.0.2.1","success":202},"action":"updateTier",` +
		`"resource":{"Kind":"tier","ID":"00000000-0000-0000-0000-000000000001"},"outcome":"succeeded","status":200,` +
		`"before":{"cpu":"1"},"after":{"cpu":"2"}}`
	if err != nil || string(raw) != want {
		t.Errorf("Canonical() = %s, %v; want %s: entries that are sealed would not agree with their seals", raw, err, want)
	}
}
