package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/argon2"
	"golang.org/x/sync/semaphore"

	"github.com/daap-dev/daap"
)

// Params are the cost of an argon2id hash. The secrets are 256 random bits, which no cost makes harder to guess;
// hashing only keeps the secrets themselves out of storage.
type Params struct {
	// MemoryKiB is from 8192 to 1048576, Time from 1 to 10, Threads from 1 to 16.
	MemoryKiB, Time uint32
	Threads         uint8
}

func (p Params) check() error {
	switch {
	case p.MemoryKiB < 8<<10 || p.MemoryKiB > 1<<20:
		return errors.New("memory must be from 8192 to 1048576 KiB")
	case p.Time < 1 || p.Time > 10:
		return errors.New("time must be from 1 to 10")
	case p.Threads < 1 || p.Threads > 16:
		return errors.New("threads must be from 1 to 16")
	}
	return nil
}

const (
	saltLength = 16
	hashLength = 32
	// maxWaiting is the number of callers that may wait to hash: about as many as are served in a second.
	maxWaiting = 32
)

// Hasher computes and verifies argon2id hashes in the PHC form. At most half of the cores hash at once, because each
// hash takes much memory and time; a bounded number of callers waits, and others must retry. Safe for concurrent use.
type Hasher struct {
	params  Params
	turns   *semaphore.Weighted
	waiting *semaphore.Weighted
	// dummy is a hash that no secret has, for keys that do not exist.
	dummy string
	// computed counts hashes.
	computed atomic.Int64
}

// NewHasher returns a Hasher with the given cost. It fails if params are out of range.
func NewHasher(params Params) (*Hasher, error) {
	if err := params.check(); err != nil {
		return nil, err
	}
	turns := int64(max(1, runtime.GOMAXPROCS(0)/2))
	h := &Hasher{
		params: params, turns: semaphore.NewWeighted(turns), waiting: semaphore.NewWeighted(turns + maxWaiting),
	}
	h.dummy = h.hash(daap.NewSecret())
	return h, nil
}

// Hash returns the hash of the secret with a random salt. Errors: CodeUnavailable when too many wait.
func (h *Hasher) Hash(ctx context.Context, secret daap.Secret) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	return h.hash(secret), nil
}

func (h *Hasher) hash(secret daap.Secret) string {
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // never fails: without randomness the program ends
	h.computed.Add(1)
	sum := argon2.IDKey(secret[:], salt, h.params.Time, h.params.MemoryKiB, h.params.Threads, hashLength)
	encode := base64.RawStdEncoding.EncodeToString
	return h.params.prefix() + "$" + encode(salt) + "$" + encode(sum)
}

func (p Params) prefix() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d", argon2.Version, p.MemoryKiB, p.Time, p.Threads)
}

// Verify reports whether the hash belongs to the secret. A hash that is malformed or exceeds the cost limits is an
// error. Errors: CodeUnavailable when too many wait.
func (h *Hasher) Verify(ctx context.Context, hash string, secret daap.Secret) (bool, error) {
	params, salt, sum, err := parseHash(hash)
	if err != nil {
		return false, err
	}
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.leave()
	h.computed.Add(1)
	got := argon2.IDKey(secret[:], salt, params.Time, params.MemoryKiB, params.Threads, hashLength)
	return subtle.ConstantTimeCompare(got, sum) == 1, nil
}

// Outdated reports whether the hash costs less than configured. A more expensive hash stays: it is not weaker, and
// processes with different settings do not undo each other's work.
func (h *Hasher) Outdated(hash string) bool {
	params, _, _, err := parseHash(hash)
	return err == nil && params.cost() < h.params.cost()
}

// cost is the memory that a hash processes, in KiB.
func (p Params) cost() uint64 { return uint64(p.MemoryKiB) * uint64(p.Time) }

// enter waits for a turn to hash.
func (h *Hasher) enter(ctx context.Context) error {
	if !h.waiting.TryAcquire(1) {
		return daap.Unavailable("Too many API keys are being checked right now; try again in a few seconds.")
	}
	if err := h.turns.Acquire(ctx, 1); err != nil {
		h.waiting.Release(1)
		return fmt.Errorf("wait to hash: %w", err)
	}
	return nil
}

func (h *Hasher) leave() {
	h.turns.Release(1)
	h.waiting.Release(1)
}

var errHash = errors.New("a stored hash is not a supported argon2id hash")

// parseHash parses exactly the output of hash.
func parseHash(hash string) (params Params, salt, sum []byte, err error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 {
		return params, nil, nil, errHash
	}
	_, err = fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &params.MemoryKiB, &params.Time, &params.Threads)
	if err != nil || params.check() != nil || strings.Join(parts[:4], "$") != params.prefix() {
		return params, nil, nil, errHash
	}
	salt, badSalt := base64.RawStdEncoding.DecodeString(parts[4])
	sum, badSum := base64.RawStdEncoding.DecodeString(parts[5])
	if badSalt != nil || badSum != nil || len(salt) != saltLength || len(sum) != hashLength {
		return params, nil, nil, errHash
	}
	return params, salt, sum, nil
}
