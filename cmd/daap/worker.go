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
	"github.com/daap-dev/daap/activities/cluster"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/objectstore"
	"github.com/daap-dev/daap/activities/postgres"
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
	waits := s.report("Temporal is slow or unavailable; the worker waits for it.")
	if err := workflows.Check(ctx, temporal, namespace, waits); err != nil {
		return err
	}
	backups, err := s.backups()
	if err != nil {
		return err
	}
	steps, err := s.steps(ctx, store, backups)
	if err != nil {
		return err
	}
	watch := steps.Cluster.Watch
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(cluster.GCPercent)
	}
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatching() // after the Worker has stopped: its activities read the watch to their end
	if err := within(ctx, watching, watch); err != nil {
		return err
	}
	reserved, _, _ := s.config.HeadsBucket()
	fleet := &activities.Fleet{Watch: watch, Databases: store}
	fatal := make(chan error, 1)
	worker := workflows.NewWorker(temporal, workflows.Workflows{StepDeadline: s.config.StepDeadline}, workflows.Activities{
		Steps:        steps,
		Records:      &activities.Records{Operations: store, Decisions: store, Watch: watch},
		Engine:       &activities.Engine{Client: temporal, Operations: store, Watch: watch, Holds: store},
		Destinations: &activities.Destinations{Store: backups, Reserved: reserved},
		Sweeps:       &activities.Sweeps{Steps: steps, Rows: store},
		Fleet:        fleet,
		Reaper: &activities.Reaper{
			Steps: steps, Owners: store, Orphans: store,
			Expiry: daap.NewExpiry(store, s.databases(store, temporal)),
		},
	}, around(&activities.Interceptor{Operations: store}), func(err error) { fatal <- err })
	if err := worker.Start(); err != nil {
		return fmt.Errorf("start the worker: %w", err)
	}
	defer worker.Stop()
	if err := workflows.Schedule(ctx, temporal, waits); err != nil {
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

// backups returns the object store that databases are backed up to; nil where the settings name none.
func (s service) backups() (*objectstore.Store, error) {
	if s.config.Backup.Endpoint == "" {
		return nil, nil //nolint:nilnil // not to have one is a setting
	}
	client, err := s.objectStore(s.config.Backup)
	if err != nil {
		return nil, err
	}
	return &objectstore.Store{Client: client}, nil
}

// storeKeys returns the keys by which databases reach the object store. The platform's own are among them only where
// they are to be shared.
func (s service) storeKeys(kube *cluster.Kubernetes) (*objectstore.Keys, error) {
	keys := &objectstore.Keys{Kubernetes: kube}
	if s.config.Backup.Endpoint == "" {
		return keys, nil
	}
	if s.config.BackupKeys == config.KeysShared {
		s.log.Warn("DAAP_BACKUP_KEYS is shared: everyone who can read a database's Secrets can read and delete all " +
			"backups.")
		keys.Shared = manifest.Archive(s.config.Backup)
		return keys, nil
	}
	admin, err := s.storeAdmin(s.config.Backup)
	if err != nil {
		return nil, err
	}
	keys.Issuer = &objectstore.MinIO{Admin: admin}
	return keys, nil
}

// within starts the watch, which lives as long as watching, but gives up the first reading with ctx.
func within(ctx, watching context.Context, watch *cluster.Watch) error {
	started := make(chan error, 1)
	go func() { started <- watch.Start(watching) }()
	select {
	case err := <-started:
		return err
	case <-ctx.Done():
		return fmt.Errorf("fill the watch cache: %w", ctx.Err())
	}
}

// steps returns the activities of operations' steps.
func (s service) steps(
	ctx context.Context, store *persistence.Store, backups *objectstore.Store,
) (*activities.Steps, error) {
	network, err := s.config.Peers()
	if err != nil {
		return nil, err
	}
	kube, why, err := s.kubernetes(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := s.storeKeys(kube)
	if err != nil {
		return nil, err
	}
	archives := &objectstore.Archives{}
	if backups != nil {
		archives.Store = backups
	}
	return &activities.Steps{
		Rows: store, Results: store, Backups: store,
		Cluster: kube, Postgres: &postgres.Postgres{Kubernetes: kube}, Archives: archives, Keys: keys, Diagnosis: why,
		Platform: manifest.Platform{
			PostgresImages: s.config.PostgresVersions,
			PoolerImage:    s.config.PoolerImage,
			StorageClass:   s.config.StorageClass,
			Archive:        manifest.Archive{Endpoint: s.config.Backup.Endpoint},
			Network:        network,
		},
	}, nil
}

// kubernetes returns Kubernetes with the one shared watch, and what finds out there why something takes long.
func (s service) kubernetes(ctx context.Context) (*cluster.Kubernetes, *diagnosis.Diagnosis, error) {
	access, err := config.Kubernetes()
	if err != nil {
		return nil, nil, err
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, nil, err
	}
	direct, err := client.New(access, client.Options{Scheme: scheme})
	if err != nil {
		return nil, nil, fmt.Errorf("create a Kubernetes client: %w", err)
	}
	watch, err := cluster.NewWatch(ctx, access, scheme)
	if err != nil {
		return nil, nil, err
	}
	logs, err := kubernetes.NewForConfig(access)
	if err != nil {
		return nil, nil, fmt.Errorf("create a Kubernetes client for logs: %w", err)
	}
	return &cluster.Kubernetes{Client: direct, Watch: watch},
		&diagnosis.Diagnosis{Reader: direct, Logs: diagnosis.PodLogs{Client: logs}}, nil
}

// serveBoth is api and worker in one process; the end of one is the end of both.
func serveBoth(ctx context.Context, s service) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serveAPI(ctx, s) })
	group.Go(func() error { return runWorker(ctx, s) })
	return group.Wait()
}
