package daap

import (
	"context"
	"sync"
	"time"
)

// Dependency is another system that the service needs.
type Dependency struct {
	Name string
	// Required means that no request can be accepted without it.
	Required bool
	// Probe returns nil if the dependency answers; it must stop when its context ends.
	Probe func(ctx context.Context) error
}

// HealthCheck is the result of one check of a dependency.
type HealthCheck struct {
	Name     string
	Required bool
	Latency  time.Duration
	// Err explains why the dependency is down; nil if it is up. It is for logs, not for people.
	Err error
}

// healthTimeout bounds the checks: a health check that takes longer is useless.
const healthTimeout = 2 * time.Second

// Health checks all dependencies concurrently and returns the results in their order.
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
