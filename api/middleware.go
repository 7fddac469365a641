package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/daap-dev/daap/api/oas"
)

// maxWait is the longest that the contract lets a client wait for an operation.
const maxWait = time.Minute

// grace is how much longer than its context a connection lives: the time to write the answer.
const grace = 5 * time.Second

// edge is what every request passes before the generated server.
type edge struct {
	handler *Handler
	server  *oas.Server
	timeout time.Duration
}

// identify names the request and finds its route. HEAD is served as GET: net/http leaves out the body.
func (e edge) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{
			requestID: requestIDFrom(r.Header.Get("X-Request-Id")),
			method:    r.Method,
			writer:    middleware.NewWrapResponseWriter(w, r.ProtoMajor),
		}
		r = r.WithContext(withExchange(r.Context(), x))
		if r.Method == http.MethodHead {
			r.Method = http.MethodGet
		}
		x.route, _ = e.server.FindPath(r.Method, r.URL)
		w.Header().Set("X-Request-Id", x.requestID)
		next.ServeHTTP(x.writer, r)
	})
}

func (e edge) logRequest(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r.Context())
		begin := time.Now()
		defer func() {
			if entry := e.handler.log.Check(x.level(), "request"); entry != nil {
				x.note(zap.Duration("duration", time.Since(begin)))
				entry.Write(append(x.identity(r), x.fields...)...)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// level keeps the probes of load balancers, which are many and alike, out of the log.
func (x *exchange) level() zapcore.Level {
	switch {
	case x.writer.Status() >= http.StatusInternalServerError:
		return zap.WarnLevel
	case x.route.Name() == oas.GetHealthOperation:
		return zap.DebugLevel
	}
	return zap.InfoLevel
}

// identity is what says in the log which request this was and how it ended.
func (x *exchange) identity(r *http.Request) []zap.Field {
	fields := []zap.Field{
		zap.String("request_id", x.requestID),
		zap.String("method", x.method),
		zap.Int("status", x.writer.Status()),
	}
	if x.route.OperationID() == "" {
		return append(fields, zap.String("path", shorten(r.URL.Path)))
	}
	fields = append(fields, zap.String("route", x.route.OperationID()))
	for _, arg := range x.route.Args() {
		if id, err := uuid.Parse(arg); err == nil {
			fields = append(fields, zap.Stringer(nounOf(x.route.PathPattern())+"_id", id))
		}
	}
	return fields
}

// rescue answers a panic as the internal error it is, and keeps the process alive for the other requests.
func (e edge) rescue(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				e.answerPanic(w, r, p)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func (e edge) answerPanic(w http.ResponseWriter, r *http.Request, p any) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) { // net/http's way to cut an answer off
		panic(p)
	}
	e.handler.log.Error("panic", zap.String("request_id", exchangeOf(r.Context()).requestID),
		zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
	e.handler.fail(w, r, fmt.Errorf("panic: %v", p))
}

// bound ends a request that takes too long. It moves the connection's deadline along, or a server's
// WriteTimeout would cut a client off that was told it may wait.
func (e edge) bound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := e.timeout + waitOf(r)
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		deadline := time.Now().Add(limit + grace)
		_ = http.NewResponseController(w).SetWriteDeadline(deadline) // a writer without deadlines has none to move
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// waitOf is the time the request asks to wait; what the contract refuses is no time.
func waitOf(r *http.Request) time.Duration {
	if exchangeOf(r.Context()).route.Name() != oas.GetOperationOperation {
		return 0
	}
	wait, err := time.ParseDuration(r.URL.Query().Get("wait"))
	if err != nil || wait < 0 {
		return 0
	}
	return min(wait, maxWait)
}
