package daap

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/google/uuid"
)

// Once makes a request take effect once, however often it is sent: the first answer is stored with the change in one
// transaction, and returned again for a day. The zero value is a request without a key: each takes effect.
type Once struct {
	// Key is the client's key for the request, from the header Idempotency-Key. Each team has its own keys.
	Key string
	// Request is the hash of the whole request: the same key with another hash is refused.
	Request [sha256.Size]byte
}

// decisionID identifies a decision to the engine: the same request of the same team gives the same decision.
func (g Grant) decisionID() string {
	if g.Once.Key == "" {
		return uuid.NewString()
	}
	of := uuid.NewSHA1(uuid.NewSHA1(uuid.Nil, []byte(g.Caller.Team)), []byte(g.Once.Key))
	return uuid.NewSHA1(of, g.Once.Request[:]).String()
}

// KeyReused is the error for a key that was already used for a different request.
func KeyReused() *Error {
	return &Error{
		Code:    CodeIdempotencyKeyReused,
		Message: "A different request was already sent with this Idempotency-Key; use a new key for this request.",
		Details: []Detail{{Field: "Idempotency-Key", Message: "was already used for a different request"}},
	}
}

// InProgress is the error for a request whose first copy is still in progress.
func InProgress() *Error {
	return &Error{
		Code: CodeRequestInProgress,
		Message: "A request with this Idempotency-Key is still in progress; send it again in a moment to get its " +
			"response.",
	}
}

// AnswerExpiry removes the stored answers of idempotent requests after their retention. Every worker process runs one.
type AnswerExpiry struct {
	store  expiredAnswers
	report func(error)
}

type expiredAnswers interface {
	// ForgetAnswers removes a bounded number of expired answers; safe to repeat.
	ForgetAnswers(ctx context.Context) error
}

const (
	answerExpiryInterval = 30 * time.Second
	answerExpiryTimeout  = 30 * time.Second
)

// NewAnswerExpiry returns an AnswerExpiry on the store; errors go to report.
func NewAnswerExpiry(store expiredAnswers, report func(error)) *AnswerExpiry {
	return &AnswerExpiry{store: store, report: report}
}

// Run removes expired answers until ctx is done.
func (e *AnswerExpiry) Run(ctx context.Context) { Every(ctx, answerExpiryInterval, e.remove, e.report) }

func (e *AnswerExpiry) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerExpiryTimeout)
	defer cancel()
	return e.store.ForgetAnswers(ctx)
}
