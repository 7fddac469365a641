//go:build bench

package bench

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

const (
	rounds   = 7
	requests = 4000
	// slice is how many requests one way of checking answers before it is another's turn: what else the machine does
	// then falls on all of them.
	slice = 100
	// maxRatio is how much CPU a request may take, of what it takes where a key is checked by a plain SHA-256.
	maxRatio = 1.1
)

// plain knows keys by the SHA-256 of their secrets, for ever.
type plain struct {
	mu   sync.RWMutex
	keys map[uuid.UUID]plainKey
}

type plainKey struct {
	sum    [sha256.Size]byte
	caller daap.Caller
}

func newPlain(c daap.Credential, caller daap.Caller) *plain {
	return &plain{keys: map[uuid.UUID]plainKey{c.KeyID: {sha256.Sum256(c.Secret[:]), caller}}}
}

func (p *plain) Authenticate(_ context.Context, presented, _ string) (daap.Caller, error) {
	c, ok := daap.ParseCredential(presented)
	if !ok {
		return daap.Caller{}, daap.Unauthenticated("no")
	}
	p.mu.RLock()
	key := p.keys[c.KeyID]
	p.mu.RUnlock()
	sum := sha256.Sum256(c.Secret[:])
	if subtle.ConstantTimeCompare(sum[:], key.sum[:]) != 1 {
		return daap.Caller{}, daap.Unauthenticated("no")
	}
	return key.caller, nil
}

func TestRequestTakesNoMoreCPUThanWithAPlainHash(t *testing.T) {
	p := newProcess(t, open(t, databaseURL(t)))
	c, db := p.key(t), p.database(t)
	p.auth.Trust()
	caller, err := p.auth.Authenticate(t.Context(), c.Reveal(), "")
	if err != nil {
		t.Fatal(err)
	}
	arms := []http.Handler{
		p.handler(newPlain(c, caller)), p.handler(p.auth),
		p.handler(newPlain(c, caller)), // how far two of the same are apart
	}
	var taken, ratios, same []float64
	measure(t, arms, db.ID, c.Reveal()) // for caches to be warm
	for range rounds {
		cpu := measure(t, arms, db.ID, c.Reveal())
		taken = append(taken, cpu[0]/requests)
		ratios, same = append(ratios, cpu[1]/cpu[0]), append(same, cpu[2]/cpu[0])
	}
	ratio := quantile(ratios, 0.5)
	figures.add("CPU of a request with a plain SHA-256", time.Duration(quantile(taken, 0.5)).Round(100*time.Nanosecond).String(), "")
	figures.add("the same against itself", spread(same), "")
	figures.add("CPU of a request, to that with a plain SHA-256", spread(ratios), fmt.Sprintf("at most %.2f", maxRatio))
	if ratio > maxRatio {
		t.Errorf("a request takes %.2f of the CPU that it takes with a plain hash, want at most %.2f", ratio, maxRatio)
	}
}

func spread(ratios []float64) string {
	return fmt.Sprintf("%.3f (%.3f to %.3f)", quantile(ratios, 0.5), quantile(ratios, 0), quantile(ratios, 1))
}

// measure is how much CPU of this process the requests take of each handler, in nanoseconds. PostgreSQL is another
// process.
func measure(t *testing.T, arms []http.Handler, id uuid.UUID, key string) []float64 {
	t.Helper()
	cpu := make([]float64, len(arms))
	for n := range requests / slice {
		for i := range arms {
			arm := (i + n) % len(arms) // none is always first
			before := used(t)
			for range slice {
				if status := get(arms[arm], id, key); status != http.StatusOK {
					t.Fatalf("the answer is %d", status)
				}
			}
			cpu[arm] += float64(used(t) - before)
		}
	}
	return cpu
}

func used(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
