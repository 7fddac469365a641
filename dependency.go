package daap

import (
	"context"
	"sync"
	"time"
)

// Dependency is something the service talks to.
type Dependency struct {
	Name string
	// Required says that without it no request can be accepted.
	Required bool
	// Probe returns nil when the dependency answers; it must end when its context does.
	Probe func(ctx context.Context) error
}

// HealthCheck is what one look at a dependency found.
type HealthCheck struct {
	Name     string
	Required bool
	Latency  time.Duration
	// Err is why the dependency is down; nil when it is up. It is for logs, not for people.
	Err error
}

// healthTimeout bounds a look at the dependencies: a health check that waits longer tells nothing.
const healthTimeout = 2 * time.Second

// Health looks at all dependencies at once and returns what it found, in their order.
func Health(ctx context.Context, dependencies []Dependency) []HealthCheck {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	found := make([]HealthCheck, len(dependencies))
	var wg sync.WaitGroup
	for i, dep := range dependencies {
		wg.Go(func() {
			begin := time.Now()
			err := dep.Probe(ctx)
			found[i] = HealthCheck{Name: dep.Name, Required: dep.Required, Latency: time.Since(begin), Err: err}
		})
	}
	wg.Wait()
	return found
}
