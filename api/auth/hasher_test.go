package auth

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

func newHasher(t testing.TB, params Params) *Hasher {
	t.Helper()
	h, err := NewHasher(params)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHashIsOutdatedOnlyWhereItCostsLess(t *testing.T) {
	t.Parallel()
	h := newHasher(t, Params{MemoryKiB: 9 << 10, Time: 2, Threads: 1})
	for _, tt := range []struct {
		params Params
		want   bool
	}{
		{Params{9 << 10, 2, 1}, false},
		{Params{9 << 10, 1, 1}, true},
		{Params{8 << 10, 2, 1}, true},
		{Params{8 << 10, 3, 1}, false},
		{Params{9 << 10, 2, 2}, false},
		{Params{1 << 20, 10, 1}, false},
	} {
		hash := tt.params.prefix() + "$" + strings.Repeat("A", 22) + "$" + strings.Repeat("A", 43)
		if _, _, _, err := parseHash(hash); err != nil {
			t.Fatalf("%s is not read", hash)
		}
		if got := h.Outdated(hash); got != tt.want {
			t.Errorf("Outdated(%s) = %t", hash, got)
		}
	}
}

func TestHashParsesStrictly(t *testing.T) {
	t.Parallel()
	salt, sum := strings.Repeat("A", 22), strings.Repeat("A", 43)
	for _, bad := range []string{
		"$argon2id$v=19 $m=8192,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19x$m=8192,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=8192,t=1,p=1,x=2$" + salt + "$" + sum,
		"$argon2id$v=19$m=08192,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=8192,t=+1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=8192,t=1,p=257$" + salt + "$" + sum,
		"$argon2id$v=19$m=4294975488,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=8191,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=1048577,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=8192,t=0,p=1$" + salt + "$" + sum,
		"$argon2id$v=19$m=8192,t=1,p=17$" + salt + "$" + sum,
		"$argon2id$v=19$m=8192,t=1,p=1$$" + sum,
		"$argon2id$v=19$m=8192,t=1,p=1$" + salt + "$",
		"$argon2id$v=19$m=8192,t=1,p=1$" + salt + "==$" + sum,
		"$argon2id$v=19$m=8192,t=1,p=1$" + salt + "$" + strings.Repeat("A", 86),
		"x$argon2id$v=19$m=8192,t=1,p=1$" + salt + "$" + sum,
		"$argon2id$m=8192,t=1,p=1$" + salt + "$" + sum,
	} {
		if _, _, _, err := parseHash(bad); !errors.Is(err, errHash) || strings.Contains(err.Error(), salt) {
			t.Errorf("%q is read, or shown: %v", bad, err)
		}
	}
}

func TestTwoHashesOfOneSecretDiffer(t *testing.T) {
	t.Parallel()
	h := newHasher(t, cheap)
	secret := daap.NewSecret()
	one, err := h.Hash(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	other, err := h.Hash(t.Context(), secret)
	if err != nil || one == other {
		t.Errorf("hashes are %s and %s, %v", one, other, err)
	}
}

func TestHashesOfOtherCostsAreChecked(t *testing.T) {
	t.Parallel()
	secret := daap.NewSecret()
	hash, err := newHasher(t, Params{MemoryKiB: 9 << 10, Time: 2, Threads: 2}).Hash(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	h := newHasher(t, cheap)
	if right, err := h.Verify(t.Context(), hash, secret); err != nil || !right {
		t.Errorf("Verify() = %t, %v", right, err)
	}
	if right, err := h.Verify(t.Context(), hash, daap.NewSecret()); err != nil || right {
		t.Errorf("Verify() of another secret = %t, %v", right, err)
	}
}

func TestHalfOfTheCoresHashAndThirtyTwoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(t, cheap)
		turns := max(1, runtime.GOMAXPROCS(0)/2)
		for range turns {
			if err := h.enter(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		over := make(chan error, maxWaiting)
		ctx, leave := context.WithCancel(t.Context())
		for i := range maxWaiting {
			waits := t.Context()
			if i == 0 {
				waits = ctx
			}
			go func() {
				_, err := h.Hash(waits, daap.NewSecret())
				over <- err
			}()
		}
		synctest.Wait()
		_, err := h.Verify(t.Context(), h.dummy, daap.NewSecret())
		if e := daap.AsError(err); e == nil || e.Code != daap.CodeUnavailable {
			t.Errorf("the one too many = %v", err)
		}
		leave()
		if err := <-over; !errors.Is(err, context.Canceled) {
			t.Errorf("who left = %v", err)
		}
		begun := time.Now()
		for range turns {
			h.leave()
		}
		for range maxWaiting - 1 {
			if err := <-over; err != nil {
				t.Errorf("who waited = %v", err)
			}
		}
		if !time.Now().Equal(begun) || !h.waiting.TryAcquire(int64(turns)+maxWaiting) {
			t.Error("a place is not given back")
		}
	})
}

func TestKeyWorksIfItsUseCannotBeRecorded(t *testing.T) {
	t.Parallel()
	b := newBench(t, Limits{})
	c := b.key()
	b.rack.change(c.KeyID, func(k *daap.StoredKey) { k.LastUsedAt = nil })
	var reports []string
	dearer := newHasher(t, Params{MemoryKiB: 9 << 10, Time: 1, Threads: 1})
	a := New(readOnly{b.rack}, dearer, Limits{}, func(err error) { reports = append(reports, err.Error()) })
	for range 2 {
		if _, err := a.Authenticate(t.Context(), c.Reveal(), ""); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(reports, "\n"); len(reports) != 3 || strings.Count(got, "record the use") != 2 ||
		strings.Count(got, "rehash") != 1 || strings.Contains(got, c.Reveal()) {
		t.Errorf("reported is %s", got)
	}
}

// readOnly is a rack that takes no changes.
type readOnly struct{ *rack }

func (readOnly) TouchAPIKey(context.Context, uuid.UUID) error { return errReadOnly }

func (readOnly) RehashAPIKey(context.Context, uuid.UUID, string, string) error { return errReadOnly }

var errReadOnly = errors.New("read only")

func TestTooExpensiveHashIsRefused(t *testing.T) {
	t.Parallel()
	h, err := NewHasher(cheap)
	if err != nil {
		t.Fatal(err)
	}
	secret := daap.NewSecret()
	good, err := h.Hash(t.Context(), secret)
	if err != nil || !strings.HasPrefix(good, "$argon2id$v=19$m=8192,t=1,p=1$") {
		t.Fatalf("Hash() = %s, %v", good, err)
	}
	if right, err := h.Verify(t.Context(), good, secret); err != nil || !right {
		t.Errorf("Verify() = %t, %v", right, err)
	}
	if right, err := h.Verify(t.Context(), good, daap.NewSecret()); err != nil || right {
		t.Errorf("Verify() of another secret = %t, %v", right, err)
	}
	for _, bad := range []string{
		"", "plain", strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "m=8192", "m=99999999", 1),
		strings.Replace(good, "t=1", "t=99", 1), strings.Replace(good, "v=19", "v=16", 1), good + "$x", good[:40],
	} {
		if _, err := h.Verify(t.Context(), bad, secret); err == nil {
			t.Errorf("Verify(%q) = nil, want an error", bad)
		}
	}
	for _, params := range []Params{{}, {1, 1, 1}, {8 << 10, 0, 1}, {8 << 10, 1, 0}, {2 << 20, 1, 1}, {8 << 10, 11, 1}} {
		if _, err := NewHasher(params); err == nil {
			t.Errorf("NewHasher(%+v) = nil, want an error", params)
		}
	}
}

func TestTooManyWaitersGetRetryAfter(t *testing.T) {
	t.Parallel()
	h, err := NewHasher(cheap)
	if err != nil {
		t.Fatal(err)
	}
	var away, done atomic.Int64
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			_, err := h.Hash(t.Context(), daap.NewSecret())
			switch e := daap.AsError(err); {
			case err == nil:
				done.Add(1)
			case e != nil && e.Code == daap.CodeUnavailable:
				away.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if done.Load() == 0 || away.Load() == 0 {
		t.Errorf("%d of 200 were hashed and %d told to come back", done.Load(), away.Load())
	}
}
