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

// bodyLimit is how large a request's body may be; the contract's largest is a quarter of it.
const bodyLimit = 64 << 10

// DefaultTimeout is how long a request may take where Config says nothing.
const DefaultTimeout = 10 * time.Second

// Config is what the edge needs.
type Config struct {
	Databases  *daap.Databases
	Operations *daap.Operations
	Tiers      *daap.Tiers
	Extensions *daap.Extensions
	Orphans    *daap.Orphans
	APIKeys    *daap.APIKeys
	AuditLogs  *daap.AuditLogs
	// Authenticator finds out who asks.
	Authenticator authenticator
	// Audit takes the entries of requests that change nothing.
	Audit auditor
	// TrustedProxies are the networks of proxies whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// Dependencies are what GET /health looks at; their names are the contract's.
	Dependencies []daap.Dependency
	// Version is what GET /health answers as the service's version.
	Version string
	Log     *zap.Logger
	// Timeout bounds a request, beyond the time it asks to wait; 0 is DefaultTimeout. It also moves the
	// write deadline that an http.Server sets, so that its WriteTimeout may be short.
	Timeout time.Duration
}

// New returns the handler of all routes of the contract, and of no other.
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
		panic(fmt.Sprintf("api: generated server: %v", err)) // as with a bad regular expression, no input causes it
	}
	e := edge{handler: h, server: server, timeout: cfg.Timeout, trustedProxies: cfg.TrustedProxies}
	r := chi.NewRouter()
	r.Use(middleware.RequestSize(bodyLimit), e.identify, e.logRequest, e.rescue, e.bound)
	r.Handle("/*", server)
	// What chi has no route for is the generated server's to refuse, as it refuses all else.
	r.NotFound(server.ServeHTTP)
	r.MethodNotAllowed(server.ServeHTTP)
	return r
}

// Bounds of a connection, so that slow clients hold nothing that others need. The handler moves the write deadline
// for requests that ask to wait, and for exports.
const (
	maxHeaderBytes    = 16 << 10
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	// MaxConnections is how many connections a process serves at once, each some 20 KB; others wait for one to end.
	MaxConnections = 4096
)

// NewServer returns a server of the handler with bounds on what each connection may take.
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

// LimitConnections returns the listener with at most limit connections at once.
func LimitConnections(listener net.Listener, limit int) net.Listener {
	return netutil.LimitListener(listener, limit)
}
