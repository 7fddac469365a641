package api

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"go.uber.org/zap"
	"golang.org/x/net/netutil"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// bodyLimit is the maximum size of a request's body; the contract's largest is a quarter of it.
const bodyLimit = 64 << 10

// DefaultTimeout bounds a request if Config does not.
const DefaultTimeout = 10 * time.Second

// Config configures the edge.
type Config struct {
	Databases  *daap.Databases
	Operations *daap.Operations
	Tiers      *daap.Tiers
	Extensions *daap.Extensions
	Orphans    *daap.Orphans
	APIKeys    *daap.APIKeys
	AuditLogs  *daap.AuditLogs
	// Authenticator authenticates callers.
	Authenticator authenticator
	// Audit records requests that change nothing.
	Audit auditor
	// TrustedProxies are the networks of proxies whose X-Forwarded-For is trusted.
	TrustedProxies []netip.Prefix
	// Dependencies are the checks of GET /health, named as in the contract.
	Dependencies []daap.Dependency
	// Version is the service's version in GET /health.
	Version string
	Log     *zap.Logger
	// Timeout bounds a request, in addition to its requested wait; 0 means DefaultTimeout. It also extends the write
	// deadline of an http.Server, whose WriteTimeout can therefore be short.
	Timeout time.Duration
}

// New returns the handler of all routes of the contract.
func New(cfg Config) http.Handler {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	h := &Handler{
		databases:     cfg.Databases,
		operations:    cfg.Operations,
		tiers:         cfg.Tiers,
		extensions:    cfg.Extensions,
		orphans:       cfg.Orphans,
		apiKeys:       cfg.APIKeys,
		auditLogs:     cfg.AuditLogs,
		authenticator: cfg.Authenticator,
		auditor:       cfg.Audit,
		dependencies:  cfg.Dependencies,
		version:       cfg.Version,
		contract:      newContract(daap.OpenAPI),
		log:           cfg.Log,
	}
	server, err := oas.NewServer(h, h,
		oas.WithErrorHandler(h.refuse),
		oas.WithNotFound(h.noRoute),
		oas.WithMethodNotAllowed(h.wrongMethod),
		oas.WithMiddleware(h.contract.strict, recognise))
	if err != nil {
		panic(fmt.Sprintf("api: generated server: %v", err)) // only a programming error causes it
	}
	e := edge{handler: h, server: server, timeout: cfg.Timeout, trustedProxies: cfg.TrustedProxies}
	r := chi.NewRouter()
	r.Use(middleware.RequestSize(bodyLimit), e.identify, e.logRequest, e.rescue, e.bound)
	r.Handle("/*", server)
	// The generated server also handles requests without a chi route.
	r.NotFound(server.ServeHTTP)
	r.MethodNotAllowed(server.ServeHTTP)
	return r
}

// The bounds of a connection, so that slow clients hold no resources. The handler extends the write deadline of
// requests that wait, and of exports.
const (
	maxHeaderBytes    = 16 << 10
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	// MaxConnections is the number of concurrent connections of a process, at about 20 KB each; further ones wait.
	MaxConnections = 4096
)

// NewServer returns a server of the handler with bounds for each connection.
func NewServer(handler http.Handler, log *zap.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          zap.NewStdLog(log),
	}
}

// LimitConnections returns the listener with at most limit concurrent connections.
func LimitConnections(listener net.Listener, limit int) net.Listener {
	return netutil.LimitListener(listener, limit)
}
