package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"go.uber.org/zap"

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
		databases:    cfg.Databases,
		operations:   cfg.Operations,
		dependencies: cfg.Dependencies,
		version:      cfg.Version,
		contract:     newContract(daap.OpenAPI),
		log:          cfg.Log,
	}
	server, err := oas.NewServer(h,
		oas.WithErrorHandler(h.refuse),
		oas.WithNotFound(h.noRoute),
		oas.WithMethodNotAllowed(h.wrongMethod),
		oas.WithMiddleware(h.contract.strict, recognise))
	if err != nil {
		panic(fmt.Sprintf("api: generated server: %v", err)) // as with a bad regular expression, no input causes it
	}
	e := edge{handler: h, server: server, timeout: cfg.Timeout}
	r := chi.NewRouter()
	r.Use(middleware.RequestSize(bodyLimit), e.identify, e.logRequest, e.rescue, e.bound)
	r.Handle("/*", server)
	// What chi has no route for is the generated server's to refuse, as it refuses all else.
	r.NotFound(server.ServeHTTP)
	r.MethodNotAllowed(server.ServeHTTP)
	return r
}
