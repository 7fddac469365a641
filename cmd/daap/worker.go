package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/cmd/internal/config"
	"github.com/daap-dev/daap/persistence"
	"github.com/daap-dev/daap/workflows"
)

// runWorker carries out operations until ctx is done; its waits continue in another worker.
func runWorker(ctx context.Context, s service) error {
	store, pool, err := s.store(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	temporal, namespace, err := s.temporal()
	if err != nil {
		return err
	}
	defer temporal.Close()
	if err := workflows.Check(ctx, temporal, namespace); err != nil {
		return err
	}
	kube, err := s.kubernetes(store)
	if err != nil {
		return err
	}
	backups, err := s.backups(kube)
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(activities.GCPercent)
	}
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatching() // after the Worker has stopped: its activities read the watch to their end
	if err := within(ctx, watching, kube.Watch); err != nil {
		return err
	}
	reserved, _, _ := s.config.HeadsBucket()
	pg := &activities.Postgres{Kubernetes: kube, Certificates: store}
	looks := &activities.Backups{Postgres: pg, Databases: store}
	fleet := &activities.Fleet{Watch: kube.Watch, Databases: store}
	fatal := make(chan error, 1)
	worker := workflows.NewWorker(temporal, workflows.Workflows{StepDeadline: s.config.StepDeadline}, workflows.Activities{
		Kubernetes:     kube,
		Postgres:       pg,
		Records:        &activities.Records{Operations: store, Decisions: store, Watch: kube.Watch},
		Engine:         &activities.Engine{Client: temporal, Operations: store, Watch: kube.Watch, Holds: store},
		Destinations:   &activities.Destinations{Store: backups, Reserved: reserved},
		Backups:        looks,
		Reconciliation: &activities.Reconciliation{Backups: looks, Incarnations: store},
		Certificates:   &activities.Certificates{Kubernetes: kube, Databases: store},
		Fleet:          fleet,
		Scans:          &activities.Scans{Postgres: pg, Databases: store},
		Reaper: &activities.Reaper{
			Kubernetes: kube, Rows: store,
			Expiry: daap.NewExpiry(store, s.databases(store, temporal)),
		},
	}, around(&activities.Interceptor{Operations: store}), func(err error) { fatal <- err })
	if err := worker.Start(); err != nil {
		return fmt.Errorf("start the worker: %w", err)
	}
	defer worker.Stop()
	if err := workflows.Schedule(ctx, temporal); err != nil {
		return err
	}
	sealer, err := s.sealer(ctx, store)
	if err != nil {
		return err
	}
	lost := workflows.LostWorkflows{
		Engine: workflows.Engine{Client: temporal}, Operations: store,
		Report: s.report("The search for lost workflows failed; it will be retried."),
	}
	answers := daap.NewAnswerExpiry(store, s.report("Expired idempotency answers were not removed; it is tried again."))
	follow := func(ctx context.Context) {
		activities.Follow(ctx, fleet, s.report("A change was not recorded; the next check of the fleet records it."))
	}
	s.log.Info("The worker is running.", zap.String("task_queue", workflows.TaskQueue))
	err = untilOver(ctx, fatal, lost.Run, answers.Run, follow, sealer.Run)
	if err == nil {
		s.log.Info("The worker is stopping.")
	}
	return err
}

// untilOver runs the loops until ctx is done or the Worker cannot go on, which is the error then. It returns when every
// loop has ended: what they use is closed after that.
func untilOver(ctx context.Context, fatal <-chan error, loops ...func(context.Context)) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, loop := range loops {
		group.Go(func() error { loop(ctx); return nil })
	}
	group.Go(func() error {
		select {
		case err := <-fatal:
			return fmt.Errorf("run the worker: %w", err)
		case <-ctx.Done():
			return nil
		}
	})
	return group.Wait()
}

// sealer returns what seals the audit log, and warns of what keeps tampering with it from showing.
func (s service) sealer(ctx context.Context, store *persistence.Store) (*daap.Sealer, error) {
	report := s.report("The audit log could not be sealed; it will be retried.")
	if protected, err := store.AuditIsProtected(ctx); err == nil && !protected {
		s.log.Warn("The role of DAAP_DATABASE_URL may change the audit log; migrate with DAAP_MIGRATION_URL.")
	}
	heads, err := s.heads()
	if err != nil {
		return nil, err
	}
	if heads == nil {
		s.log.Warn("DAAP_AUDIT_HEADS is not set: the removal of the newest audit log entries cannot be detected.")
	}
	return daap.NewSealer(store, heads, report), nil
}

// backups is the object store that databases are backed up to, which the activities on Kubernetes get with its keys;
// nil where the settings name none.
func (s service) backups(kube *activities.Kubernetes) (*activities.ObjectStore, error) {
	if s.config.Backup.Endpoint == "" {
		return nil, nil //nolint:nilnil // not to have one is a setting
	}
	client, err := s.objectStore(s.config.Backup)
	if err != nil {
		return nil, err
	}
	backups := &activities.ObjectStore{Client: client}
	kube.Buckets = backups
	return backups, s.storeKeys(kube)
}

// storeKeys sets by which keys databases reach the object store. The platform's own are with what makes objects in
// Kubernetes only where they are to be shared.
func (s service) storeKeys(kube *activities.Kubernetes) error {
	if s.config.BackupKeys == config.KeysShared {
		s.log.Warn("DAAP_BACKUP_KEYS is shared: everyone who can read a database's Secrets can read and delete all " +
			"backups.")
		kube.Platform.Archive = manifest.Archive(s.config.Backup)
		return nil
	}
	admin, err := s.storeAdmin(s.config.Backup)
	if err != nil {
		return err
	}
	kube.Keys = &activities.MinIO{Admin: admin}
	return nil
}

// within starts the watch, which lives as long as watching, but gives up the first reading with ctx.
func within(ctx, watching context.Context, watch *activities.Watch) error {
	started := make(chan error, 1)
	go func() { started <- watch.Start(watching) }()
	select {
	case err := <-started:
		return err
	case <-ctx.Done():
		return fmt.Errorf("fill the watch cache: %w", ctx.Err())
	}
}

// kubernetes returns the activities on Kubernetes with their one shared watch.
func (s service) kubernetes(store *persistence.Store) (*activities.Kubernetes, error) {
	access, err := config.Kubernetes()
	if err != nil {
		return nil, err
	}
	network, err := s.config.Peers()
	if err != nil {
		return nil, err
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	direct, err := client.New(access, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("create a Kubernetes client: %w", err)
	}
	watch, err := activities.NewWatch(access, scheme)
	if err != nil {
		return nil, err
	}
	logs, err := kubernetes.NewForConfig(access)
	if err != nil {
		return nil, fmt.Errorf("create a Kubernetes client for logs: %w", err)
	}
	return &activities.Kubernetes{
		Client:    direct,
		Watch:     watch,
		Databases: store,
		Holds:     store,
		Receipts:  store,
		Diagnosis: &activities.Diagnosis{Reader: direct, Logs: activities.PodLogs{Client: logs}},
		Platform: manifest.Platform{
			PostgresImages: s.config.PostgresVersions,
			PoolerImage:    s.config.PoolerImage,
			StorageClass:   s.config.StorageClass,
			Archive:        manifest.Archive{Endpoint: s.config.Backup.Endpoint},
			Network:        network,
		},
	}, nil
}

// serveBoth is api and worker in one process; the end of one is the end of both.
func serveBoth(ctx context.Context, s service) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serveAPI(ctx, s) })
	group.Go(func() error { return runWorker(ctx, s) })
	return group.Wait()
}
