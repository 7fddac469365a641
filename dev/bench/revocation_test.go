//go:build bench

package bench

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/auth"
)

const (
	revocations = 200
	// warm is how many requests a key has answered before it is revoked: it is known from memory by then.
	warm = 20
	// maxTold and maxUntold are how long a revoked key may live on, in all but one of a hundred cases where other
	// processes are told, and in any.
	maxTold   = time.Second
	maxUntold = auth.Trusted
	// patience bounds what is waited for.
	patience = time.Minute
)

// revocation is a process that revokes keys, and another in which they are used.
type revocation struct {
	t        *testing.T
	here     process
	there    process
	handler  http.Handler
	database uuid.UUID
	// line leads from there to PostgreSQL.
	line *line
}

func newRevocation(t *testing.T) revocation {
	t.Helper()
	databaseURL := databaseURL(t)
	here := newProcess(t, open(t, databaseURL))
	pool, line := openByLine(t, databaseURL)
	r := revocation{t: t, here: here, there: newProcess(t, pool), line: line}
	r.handler, r.database = r.there.handler(r.there.auth), here.database(t).ID
	return r
}

// follow has the process that uses keys told of changes, until the test ends.
func (r revocation) follow() {
	r.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	told, over := newWitness(r.there.auth), make(chan struct{})
	go func() {
		defer close(over)
		r.there.store.FollowAPIKeys(ctx, told, func(err error) { r.t.Logf("not told of changes: %v", err) })
	}()
	r.t.Cleanup(func() {
		stop()
		<-over
	})
	select {
	case <-told.trusts:
	case <-time.After(patience):
		r.t.Fatal("nobody tells of changes")
	}
}

// refusal is the first request that is refused.
type refusal struct{ began, ended time.Time }

// measure revokes a key in use, after something was done, and returns how long after that was committed the first
// request that is refused began, and ended.
func (r revocation) measure(first func()) (began, ended time.Duration) {
	r.t.Helper()
	c := r.here.key(r.t)
	inUse, refused := make(chan struct{}), make(chan refusal, 1)
	go r.use(c, inUse, refused)
	<-inUse
	first()
	if _, err := r.here.keys.Revoke(r.t.Context(), console, c.KeyID); err != nil {
		r.t.Fatal(err)
	}
	committed := time.Now()
	select {
	case at := <-refused:
		if get(r.handler, r.database, c.Reveal()) != http.StatusUnauthorized {
			r.t.Error("a key that was refused is valid again")
		}
		return max(0, at.began.Sub(committed)), max(0, at.ended.Sub(committed))
	case <-time.After(patience):
		r.t.Fatal("a revoked key is not refused")
		return 0, 0
	}
}

// use sends requests one after the other, until one is refused.
func (r revocation) use(c daap.Credential, inUse chan<- struct{}, refused chan<- refusal) {
	for n := 1; ; n++ {
		began := time.Now()
		status := get(r.handler, r.database, c.Reveal())
		switch {
		case status == http.StatusUnauthorized:
			refused <- refusal{began, time.Now()}
			return
		case status != http.StatusOK:
			r.t.Errorf("the answer is %d", status)
		}
		if n == warm {
			close(inUse)
		}
	}
}

func TestRevokedKeyIsRefusedWithinASecond(t *testing.T) {
	r := newRevocation(t)
	r.follow()
	var all []time.Duration
	for range revocations {
		_, ended := r.measure(func() {})
		all = append(all, ended)
	}
	p99 := quantile(all, 0.99)
	figures.add("from a revocation to the first refusal elsewhere, median of 200", round(quantile(all, 0.5)), "")
	figures.add("p99", round(p99), "less than "+maxTold.String())
	figures.add("longest", round(quantile(all, 1)), "at most "+maxUntold.String())
	if p99 >= maxTold {
		t.Errorf("one of a hundred takes %s, want less than %s", p99, maxTold)
	}
	if longest := quantile(all, 1); longest > maxUntold {
		t.Errorf("the longest takes %s, want at most %s", longest, maxUntold)
	}
}

func TestRevokedKeyIsRefusedWithinTenSecondsThoughNobodyTells(t *testing.T) {
	for _, cut := range []struct {
		what string
		do   func(r revocation)
	}{
		{"PostgreSQL ends the listener, and takes no other", func(r revocation) {
			r.line.refuse()
			r.endListener()
		}},
		{"the listener's packets are lost", func(r revocation) { r.line.lose() }},
		{"the notification is lost", nil},
	} {
		t.Run(cut.what, func(t *testing.T) {
			r := newRevocation(t)
			if cut.do == nil {
				r.there.auth.Trust() // and nobody ever tells of anything
				cut.do = func(revocation) {}
			} else {
				r.follow()
			}
			// A request that begins later is refused, however long it takes.
			took, _ := r.measure(func() { cut.do(r) })
			figures.add("the same where "+cut.what, round(took), "at most "+maxUntold.String())
			if took > maxUntold {
				t.Errorf("it takes %s, want at most %s", took, maxUntold)
			}
		})
	}
}

func (r revocation) endListener() {
	r.t.Helper()
	pool := open(r.t, r.line.databaseURL)
	ended, err := pool.Exec(r.t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND query LIKE 'LISTEN%'`)
	if err != nil || ended.RowsAffected() == 0 {
		r.t.Fatalf("end the listener: %d, %v", ended.RowsAffected(), err)
	}
}

func round(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }
