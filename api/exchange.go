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

// exchange is one request and its response at the edge.
type exchange struct {
	requestID string
	method    string
	// route is the operation of the contract; zero if there is none.
	route oas.Route
	// caller is the origin of the request; unknown until it is authenticated.
	caller  daap.Caller
	address string
	// presented is the key that was checked; manyKeys means that a header contained several.
	presented string
	manyKeys  bool
	// dryRun means that the request only asks for its effect.
	dryRun bool
	// cutOff means that the response began and could not be completed.
	cutOff bool
	// once identifies the request for idempotency; zero if it need not be identified.
	once   daap.Once
	writer middleware.WrapResponseWriter
	fields []zap.Field
}

type exchangeKey struct{}

func withExchange(ctx context.Context, x *exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

// exchangeOf returns the exchange of ctx; an empty one outside of any.
func exchangeOf(ctx context.Context) *exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x
	}
	return &exchange{}
}

// note adds fields to the request's line in the access log.
func (x *exchange) note(fields ...zap.Field) { x.fields = append(x.fields, fields...) }

// answered reports whether the response has begun, so that no other can be sent.
func (x *exchange) answered() bool { return x.writer != nil && x.writer.Status() != 0 }

var validRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// requestIDFrom keeps the client's request ID if it is safe for logs and headers, else creates one.
func requestIDFrom(header string) string {
	if validRequestID.MatchString(header) {
		return header
	}
	if id, err := uuid.NewV7(); err == nil {
		return id.String()
	}
	return uuid.Nil.String() // without randomness the request is still served
}
