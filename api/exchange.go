package api

import (
	"context"
	"regexp"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// exchange is one request and its answer, as the edge sees them.
type exchange struct {
	requestID string
	method    string
	// route is the operation of the contract; zero where there is none.
	route oas.Route
	// caller is who asks, from where; nobody until that is known.
	caller  daap.Caller
	address string
	// presented is the key that was looked at; manyKeys says that a header gave several.
	presented string
	manyKeys  bool
	// dryRun says that the request only asks what it would change.
	dryRun bool
	// cutOff says that the answer had begun and could not be given to its end.
	cutOff bool
	// once is by what the request is known again; zero where it need not be.
	once   daap.Once
	writer middleware.WrapResponseWriter
	fields []zap.Field
}

type exchangeKey struct{}

func withExchange(ctx context.Context, x *exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

// exchangeOf returns the exchange that ctx belongs to; one that knows nothing outside of any.
func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{}
}

// note adds fields to the request's line in the access log.
func (x *exchange) note(fields ...zap.Field) { x.fields = append(x.fields, fields...) }

// answered says whether the answer has begun, so that no other can be given.
func (x *exchange) answered() bool { return x.writer != nil && x.writer.Status() != 0 }

var validRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// requestIDFrom keeps the client's own request ID where it may stand in logs and headers, else makes one.
func requestIDFrom(header string) string {
	if validRequestID.MatchString(header) {
		return header
	}
	if id, err := uuid.NewV7(); err == nil {
		return id.String()
	}
	return uuid.Nil.String() // without randomness the request is still served
}
