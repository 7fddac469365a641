package main

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api"
	"github.com/daap-dev/daap/api/auth"
	"github.com/daap-dev/daap/cmd/internal/config"
	"github.com/daap-dev/daap/persistence"
	"github.com/daap-dev/daap/workflows"
)

// serveAPI answers requests and dispatches operations until ctx is done, then drains.
func serveAPI(ctx context.Context, s service) error {
	store, pool, err := s.store(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	temporal, _, err := s.temporal()
	if err != nil {
		return err
	}
	defer temporal.Close()
	quotas := daap.NewQuotaCheck(store, s.report("Quotas do not match the databases, or could not be checked."))
	dependencies, err := dependencies(store, temporal)
	if err != nil {
		return err
	}
	engine := workflows.Engine{Client: temporal}
	orphans := daap.NewOrphans(store, engine)
	dependencies = append(dependencies, daap.Dependency{Name: "quotas", Probe: quotas.Probe},
		daap.Dependency{Name: "orphans", Probe: orphans.Probe})
	dispatcher := s.dispatcher(store, temporal)
	hasher, err := s.hasher()
	if err != nil {
		return err
	}
	keys := auth.New(store, hasher, auth.Limits{PerSecond: s.config.RateLimit, Burst: int(2 * s.config.RateLimit)},
		s.report("The use of an API key could not be recorded."))
	audit := daap.NewAuditWriter(store, s.report("Audit log entries could not be written; they will be retried."))
	handler := api.New(api.Config{
		Databases:      s.databases(store, temporal),
		Operations:     daap.NewOperations(store, store, engine, dispatcher),
		Extensions:     daap.NewExtensions(store),
		Orphans:        orphans,
		Tiers:          daap.NewTiers(store, s.config.PostgresVersions, engine),
		APIKeys:        daap.NewAPIKeys(store, hasher),
		AuditLogs:      daap.NewAuditLogs(store),
		Authenticator:  keys,
		Audit:          audit,
		TrustedProxies: s.config.TrustedProxies,
		Dependencies:   dependencies,
		Version:        version,
		Log:            s.log,
	})
	defer background(ctx, audit.Run)() // after the last request has ended
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { dispatcher.Run(ctx); return nil })
	group.Go(func() error { quotas.Run(ctx); return nil })
	group.Go(func() error {
		store.FollowAPIKeys(ctx, keys, s.report("Changes of API keys are not received; each request reads its key."))
		return nil
	})
	group.Go(func() error {
		return listener{
			what: "The API", variable: "DAAP_HTTP_ADDR", address: s.config.HTTPAddr, drain: s.config.ShutdownTimeout, log: s.log,
		}.serve(ctx, handler)
	})
	return group.Wait()
}

// background runs something, beyond the end of ctx, and returns what ends it and waits for that.
func background(ctx context.Context, run func(context.Context)) func() {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	over := make(chan struct{})
	go func() {
		defer close(over)
		run(ctx)
	}()
	return func() {
		stop()
		<-over
	}
}

// dependencies returns the checks of GET /health.
func dependencies(store *persistence.Store, temporal client.Client) ([]daap.Dependency, error) {
	access, err := config.Kubernetes()
	if err != nil {
		return nil, err
	}
	kube, err := kubernetes.NewForConfig(access)
	if err != nil {
		return nil, fmt.Errorf("create a Kubernetes client: %w", err)
	}
	return []daap.Dependency{
		{Name: "postgresql", Required: true, Probe: store.Ping},
		{Name: "temporal", Probe: temporalProbe(temporal)},
		{Name: "kubernetes", Probe: func(ctx context.Context) error {
			return kube.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
		}},
	}, nil
}

func temporalProbe(temporal client.Client) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
		return err
	}
}
