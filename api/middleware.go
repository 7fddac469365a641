package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// maxWait is the longest time that a client may wait for an operation.
const maxWait = time.Minute

// grace is the time for writing the response after the request's context ends.
const grace = 5 * time.Second

// edge wraps the generated server with everything that applies to all requests.
type edge struct {
	handler *Handler
	server  *oas.Server
	timeout time.Duration
	// trustedProxies are the proxies whose X-Forwarded-For is trusted.
	trustedProxies []netip.Prefix
}

// identify gives the request an ID and finds its route. HEAD is served as GET: net/http omits the body.
func (e edge) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{
			requestID: requestIDFrom(r.Header.Get("X-Request-Id")),
			method:    r.Method,
			address:   addressOf(r, e.trustedProxies),
			manyKeys:  len(r.Header.Values("X-API-Key")) > 1 || len(r.Header.Values("Authorization")) > 1,
			writer:    middleware.NewWrapResponseWriter(w, r.ProtoMajor),
		}
		r = r.WithContext(withExchange(r.Context(), x))
		if r.Method == http.MethodHead {
			r.Method = http.MethodGet
		}
		x.route, _ = e.server.FindPath(r.Method, r.URL)
		w.Header().Set("X-Request-Id", x.requestID)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if x.route.Name() != oas.GetOpenAPIOperation {
			w.Header().Set("Cache-Control", "no-store")
		}
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
			e.audit(x)
		}()
		next.ServeHTTP(w, r)
	})
}

// audit records a request that changed nothing. A change records its own entry in its transaction.
func (e edge) audit(x *exchange) {
	operation, status := x.route.OperationID(), x.writer.Status()
	reads := x.method == http.MethodGet || x.method == http.MethodHead || x.dryRun
	succeeded := status >= http.StatusOK && status < http.StatusBadRequest
	if operation == "" || daap.Permission(operation).Access() == daap.AccessOpen || succeeded && !reads {
		return
	}
	entry := e.handler.request(x).Answered(operation, status)
	if x.cutOff || status == 0 { // the response could not be completed
		entry.Outcome = daap.OutcomeFailed
	}
	e.handler.auditor.Add(entry)
}

// level keeps frequent load balancer probes out of the log.
func (x *exchange) level() zapcore.Level {
	switch {
	case x.writer.Status() >= http.StatusInternalServerError:
		return zap.WarnLevel
	case x.route.Name() == oas.GetHealthOperation:
		return zap.DebugLevel
	}
	return zap.InfoLevel
}

// identity returns the log fields that identify the request and its outcome.
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
			fields = append(fields, zap.Stringer(kindOf(x.route.PathPattern())+"_id", id))
		}
	}
	return fields
}

// rescue turns a panic into an internal error and keeps the process alive for other requests.
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
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) { // net/http's way to cut off a response
		panic(p)
	}
	e.handler.fail(w, r, e.handler.panicked(r.Context(), p))
}

// panicked logs a panic with its stack and returns the error for the client.
func (h *Handler) panicked(ctx context.Context, p any) error {
	h.log.Error("panic", zap.String("request_id", exchangeOf(ctx).requestID),
		zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
	return fmt.Errorf("panic: %v", p)
}

// bound ends a request that takes too long. It extends the connection's deadline; otherwise a server's WriteTimeout
// would cut off clients that may wait.
func (e edge) bound(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := e.timeout + waitOf(r)
		if exchangeOf(r.Context()).route.Name() == oas.ExportAuditLogsOperation {
			limit = exportLimit // its handler cuts off a stalled client
		}
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		deadline := time.Now().Add(limit + grace)
		_ = http.NewResponseController(w).SetWriteDeadline(deadline) // a writer without deadlines has none to extend
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// waitOf returns the requested wait; 0 if the contract refuses it.
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
