package persistence_test

import (
	"context"
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
)

const (
	firstHash  = "$argon2id$v=19$m=8192,t=1,p=1$c2FsdA$Zmlyc3Q"
	secondHash = "$argon2id$v=19$m=8192,t=1,p=1$c2FsdA$c2Vjb25k"
)

// key makes a key of a team.
func (f fixture) key(team string) daap.APIKey {
	f.t.Helper()
	key := daap.APIKey{ID: newID(f.t), Name: "deploy", Team: team, Role: daap.RoleProductTeam, CreatedBy: "platform/alice"}
	made, isNew, err := f.CreateAPIKey(f.t.Context(), everyone, daap.StoredKey{APIKey: key, Hash: firstHash})
	if f.must(err); !isNew {
		f.t.Error("a new key is not new")
	}
	return made
}

func (f fixture) stored(id uuid.UUID) daap.StoredKey {
	f.t.Helper()
	key, found, err := f.StoredKey(f.t.Context(), id)
	if f.must(err); !found {
		f.t.Fatalf("key %s is not found", id)
	}
	return key
}

func (s suite) KeyIsMadeRotatedAndRevoked(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	key := f.key("shop")
	want(t, "stored", f.stored(key.ID), daap.StoredKey{APIKey: key, Hash: firstHash})

	rotated, isNew, err := f.RotateAPIKey(t.Context(), everyone, key.ID, secondHash, time.Hour)
	if f.must(err); !isNew || rotated.RotatedAt == nil || rotated.OldSecretUntil == nil {
		t.Errorf("RotateAPIKey() = %+v, %t", rotated, isNew)
	}
	if s := f.stored(key.ID); s.Hash != secondHash || s.OldHash != firstHash {
		t.Errorf("after the rotation hashes are %s and %s", s.Hash, s.OldHash)
	}
	f.pass(time.Hour)
	if s := f.stored(key.ID); s.OldHash != "" || s.OldSecretUntil != nil {
		t.Errorf("after the overlap the old hash is %q until %v, want none", s.OldHash, s.OldSecretUntil)
	}
	_, _, err = f.RotateAPIKey(t.Context(), everyone, key.ID, firstHash, 0)
	f.must(err)
	if s := f.stored(key.ID); s.Hash != firstHash || s.OldHash != "" {
		t.Errorf("after a rotation without overlap hashes are %s and %q", s.Hash, s.OldHash)
	}

	revoked, err := f.RevokeAPIKey(t.Context(), everyone, key.ID)
	f.must(err)
	again, err := f.RevokeAPIKey(t.Context(), everyone, key.ID)
	f.must(err)
	want(t, "revoked again", again, revoked)
	_, _, err = f.RotateAPIKey(t.Context(), everyone, key.ID, secondHash, 0)
	wantCode(t, err, daap.CodeKeyNotActive)

	_, _, err = f.RotateAPIKey(t.Context(), everyone, uuid.New(), secondHash, 0)
	wantCode(t, err, daap.CodeNotFound)
	_, err = f.RevokeAPIKey(t.Context(), everyone, uuid.New())
	wantCode(t, err, daap.CodeNotFound)
	if n := len(f.logged(key.ID)); n != 5 {
		t.Errorf("%d entries of the key are logged, want one for each of five changes", n)
	}
}

func (s suite) KeysAreListedNewestFirstByTeam(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	first, other, last := f.key("shop"), f.key("billing"), f.key("shop")
	all, err := f.APIKeys(t.Context(), daap.APIKeyFilter{Page: daap.Page{Limit: 2}})
	f.must(err)
	want(t, "first page", []uuid.UUID{all[0].ID, all[1].ID}, []uuid.UUID{last.ID, other.ID})
	rest, err := f.APIKeys(t.Context(), daap.APIKeyFilter{Page: daap.Page{Limit: 2, After: other.ID}})
	f.must(err)
	want(t, "second page", rest, []daap.APIKey{first})
	shop, err := f.APIKeys(t.Context(), daap.APIKeyFilter{Team: "shop", Page: daap.Page{Limit: 10}})
	f.must(err)
	want(t, "of a team", shop, []daap.APIKey{last, first})
}

func (s suite) UseOfAKeyIsRecordedOnceAMinute(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	key := f.key("shop")
	f.must(f.TouchAPIKey(t.Context(), key.ID))
	used := f.stored(key.ID).LastUsedAt
	f.must(f.TouchAPIKey(t.Context(), key.ID))
	want(t, "last use", f.stored(key.ID).LastUsedAt, used)
	f.pass(2 * time.Minute)
	f.must(f.TouchAPIKey(t.Context(), key.ID))
	if !value(f.stored(key.ID).LastUsedAt).After(value(used).Add(-time.Second)) {
		t.Error("a later use is not recorded")
	}
}

func (s suite) HashIsReplacedOnlyWhereItIsTheOneBefore(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	key := f.key("shop")
	f.must(f.RehashAPIKey(t.Context(), key.ID, secondHash, firstHash+"x"))
	want(t, "hash", f.stored(key.ID).Hash, firstHash)
	f.must(f.RehashAPIKey(t.Context(), key.ID, firstHash, secondHash))
	want(t, "hash", f.stored(key.ID).Hash, secondHash)
}

func (s suite) KeyThatHasExpiredMeanwhileIsNotMade(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	past := time.Now().Add(-time.Minute)
	key := daap.APIKey{ID: newID(t), Name: "deploy", Team: "shop", Role: daap.RoleProductTeam, CreatedBy: "x", ExpiresAt: &past}
	_, _, err := f.CreateAPIKey(t.Context(), everyone, daap.StoredKey{APIKey: key, Hash: firstHash})
	wantCode(t, err, daap.CodeValidationFailed)
	soon := f.now().Add(time.Hour)
	key.ExpiresAt = &soon
	_, _, err = f.CreateAPIKey(t.Context(), everyone, daap.StoredKey{APIKey: key, Hash: firstHash})
	f.must(err)
	f.pass(2 * time.Hour)
	_, _, err = f.RotateAPIKey(t.Context(), everyone, key.ID, secondHash, 0)
	wantCode(t, err, daap.CodeKeyNotActive)
}

func TestNoRowHoldsASecret(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	keys := daap.NewAPIKeys(f.Store, fixedHash{})
	named := once("a", 1).Request
	issued, err := keys.Create(t.Context(), named, daap.APIKeySpec{Name: "deploy", Team: "shop", Role: daap.RoleProductTeam})
	f.must(err)
	again, err := keys.Create(t.Context(), named, daap.APIKeySpec{Name: "deploy", Team: "shop", Role: daap.RoleProductTeam})
	if f.must(err); again.Credential != nil || again.ID != issued.ID {
		t.Errorf("the request sent again = %+v, want the same key without its secret", again)
	}
	rotated, err := keys.Rotate(t.Context(), once("b", 1).Request, issued.ID, time.Hour)
	f.must(err)
	f.seal()
	for _, c := range []*daap.Credential{issued.Credential, rotated.Credential} {
		text := strings.Split(c.Reveal(), "_")[2]
		for _, form := range []string{text, hex.EncodeToString(c.Secret[:])} {
			if table := f.holds(form); table != "" {
				t.Errorf("table %s holds the secret", table)
			}
		}
	}
	if f.holds(issued.ID.String()) == "" {
		t.Error("the search finds nothing that is there")
	}
}

// holds returns a table that has the text in one of its rows; empty where none has.
func (f postgres) holds(text string) string {
	f.t.Helper()
	rows, _ := f.pool.Query(f.t.Context(), `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'`)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	f.must(err)
	for _, table := range tables {
		var found bool
		sql := `SELECT EXISTS (SELECT FROM ` + pgx.Identifier{table}.Sanitize() + ` t WHERE position($1 IN t::text) > 0)`
		f.must(f.pool.QueryRow(f.t.Context(), sql, text).Scan(&found))
		if found {
			return table
		}
	}
	return ""
}

// fixedHash stands for argon2, whose hashes are of no use here.
type fixedHash struct{}

func (fixedHash) Hash(context.Context, daap.Secret) (string, error) { return firstHash, nil }

// follower receives notifications.
type follower struct {
	mu      sync.Mutex
	trusted bool
	lost    int // number of Distrust calls
	evicted map[uuid.UUID]bool
	changed chan struct{}
}

func (f *follower) note(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

func (f *follower) Trust()             { f.note(func() { f.trusted = true }) }
func (f *follower) Distrust()          { f.note(func() { f.trusted, f.lost = false, f.lost+1 }) }
func (f *follower) Evict(id uuid.UUID) { f.note(func() { f.evicted[id] = true }) }

// until waits for notifications.
func (f *follower) until(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		f.mu.Lock()
		is := so()
		f.mu.Unlock()
		if is {
			return
		}
		select {
		case <-f.changed:
		case <-deadline:
			t.Fatalf("it is not so that %s", what)
		}
	}
}

func TestChangesOfKeysAreToldAndSoIsNotHearingOfThem(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rotated, revoked := f.key("shop"), f.key("shop")
	cache := &follower{evicted: map[uuid.UUID]bool{}, changed: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(t.Context())
	reports := make(chan error, 100)
	over := make(chan struct{})
	go func() {
		defer close(over)
		f.FollowAPIKeys(ctx, cache, func(err error) { reports <- err })
	}()
	cache.until(t, "changes are heard of", func() bool { return cache.trusted })
	_, _, err := f.RotateAPIKey(t.Context(), everyone, rotated.ID, secondHash, time.Hour)
	f.must(err)
	_, err = f.RevokeAPIKey(t.Context(), everyone, revoked.ID)
	f.must(err)
	cache.until(t, "both changes arrive", func() bool { return cache.evicted[rotated.ID] && cache.evicted[revoked.ID] })

	f.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND query LIKE 'LISTEN%' AND pid <> pg_backend_pid()`)
	if err := <-reports; err == nil {
		t.Error("the loss is not reported")
	}
	cache.until(t, "the loss is reported", func() bool { return cache.lost == 1 })
	cache.until(t, "changes are heard of again", func() bool { return cache.trusted })
	stop()
	<-over
	if cache.trusted {
		t.Error("what is not followed any more is trusted")
	}
}

func TestAQuietConnectionIsNotLost(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	cache := &follower{evicted: map[uuid.UUID]bool{}, changed: make(chan struct{}, 1)}
	ctx, stop := context.WithTimeout(t.Context(), 8*time.Second) // over two looks
	defer stop()
	f.FollowAPIKeys(ctx, cache, func(err error) { t.Errorf("lost: %v", err) })
	if ctx.Err() == nil {
		t.Error("it ended by itself")
	}
}
