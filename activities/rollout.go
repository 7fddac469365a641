package activities

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// RevertCluster makes the Cluster be again as the database's record says, and waits until every instance is. One that
// is gone has nothing to take back.
func (p *Postgres) RevertCluster(ctx context.Context, in Input) error {
	u, err := p.Kubernetes.update(ctx, in)
	if err != nil {
		return err
	}
	err = p.Kubernetes.changeCluster(ctx, u.was)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return p.waitInForce(ctx, in, u.was)
}

// WaitReconciled waits until all that the database's record says is in force.
func (p *Postgres) WaitReconciled(ctx context.Context, in Input) error {
	db, err := p.Kubernetes.record(ctx, in)
	if err != nil {
		return err
	}
	return p.waitInForce(ctx, in, db)
}

// WaitRolledOut waits until every instance runs with what of the tier can be changed back, and the pool with all of it.
func (p *Postgres) WaitRolledOut(ctx context.Context, in Input) error {
	u, err := p.Kubernetes.update(ctx, in)
	if err != nil {
		return err
	}
	return p.waitInForce(ctx, in, u.first)
}

// WaitUpdated waits until all of the tier is in force.
func (p *Postgres) WaitUpdated(ctx context.Context, in Input) error {
	u, err := p.Kubernetes.update(ctx, in)
	if err != nil {
		return err
	}
	return p.waitInForce(ctx, in, u.last)
}

func (p *Postgres) waitInForce(ctx context.Context, in Input, db daap.Database) error {
	return p.Kubernetes.wait(ctx, in, func(ctx context.Context) (bool, string, error) { return p.inForce(ctx, db) })
}

// inForce says whether all of the database's profile is in force, and if not, what is missing. That a Cluster is
// healthy does not tell: it says so also before its operator has seen a change. So pods, volumes and PostgreSQL
// itself are asked for what they have, and a client's way to it is tried.
func (p *Postgres) inForce(ctx context.Context, db daap.Database) (bool, string, error) {
	if done, progress, err := ready(ctx, p.Kubernetes.Watch, db); !done || err != nil {
		return false, progress, err
	}
	pods, err := p.Kubernetes.instances(ctx, db)
	if err != nil {
		return false, "", err
	}
	if len(pods) != db.Profile.Instances {
		return false, fmt.Sprintf("%d of %d instances exist", len(pods), db.Profile.Instances), nil
	}
	for i := range pods {
		if missing := p.missing(&pods[i], db); missing != "" {
			return false, missing, nil
		}
	}
	if missing, err := p.missingElsewhere(ctx, db); missing != "" || err != nil {
		return false, missing, err
	}
	worker, err := p.worker(ctx, db)
	if err != nil {
		return false, "", err
	}
	for i := range pods {
		if missing := worker.missingIn(ctx, &pods[i], db); missing != "" {
			return false, missing, nil
		}
	}
	owner, err := p.owner(ctx, db)
	if err != nil {
		return false, "", err
	}
	// A Service leads to a new pod a moment after that is ready.
	if err := p.selectOne(ctx, db, owner); err != nil {
		return false, err.Error(), nil
	}
	return true, "", nil
}

// instances are the pods of PostgreSQL that Kubernetes itself has: what the shared watch leaves out of them is needed.
func (k *Kubernetes) instances(ctx context.Context, db daap.Database) ([]corev1.Pod, error) {
	return k.pods(ctx, db, client.MatchingLabels{
		manifest.LabelCluster: manifest.ClusterName(db), podRoleLabel: instanceRole,
	})
}

// poolers are the pods of PgBouncer that Kubernetes itself has.
func (k *Kubernetes) poolers(ctx context.Context, db daap.Database) ([]corev1.Pod, error) {
	return k.pods(ctx, db, client.MatchingLabels{podRoleLabel: poolerRole})
}

func (k *Kubernetes) pods(ctx context.Context, db daap.Database, labels client.MatchingLabels) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := k.Client.List(ctx, &pods, client.InNamespace(daap.Namespace(db.ID)), labels); err != nil {
		return nil, fmt.Errorf("list pods of database %s: %w", db.ID, err)
	}
	return pods.Items, nil
}

// missing says what the pod of an instance does not have yet.
func (p *Postgres) missing(pod *corev1.Pod, db daap.Database) string {
	if pod.DeletionTimestamp != nil || !isReady(pod) {
		return fmt.Sprintf("Pod %s is not ready", pod.Name)
	}
	want := db.Profile
	archives := slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
		return c.Name == archiverContainer
	})
	if archives != want.BackupEnabled {
		return fmt.Sprintf("Pod %s still has the previous specification", pod.Name)
	}
	for _, c := range pod.Spec.Containers {
		if c.Name != postgresContainer {
			continue
		}
		if c.Image != p.Kubernetes.Platform.PostgresImages[want.PGVersion] ||
			c.Resources.Requests.Cpu().Cmp(want.CPU) != 0 || c.Resources.Limits.Memory().Cmp(want.Memory) != 0 {
			return fmt.Sprintf("Pod %s still has the previous specification", pod.Name)
		}
	}
	return ""
}

// missingElsewhere says what volumes and the pool do not have yet.
func (p *Postgres) missingElsewhere(ctx context.Context, db daap.Database) (string, error) {
	claims, err := p.Kubernetes.claims(ctx, db)
	if err != nil {
		return "", err
	}
	for _, claim := range claims {
		if has := claim.Status.Capacity[corev1.ResourceStorage]; has.Cmp(db.Profile.StorageSize) < 0 {
			return fmt.Sprintf("Volume claim %s has grown to %s of %s",
				claim.Name, has.String(), db.Profile.StorageSize.String()), nil
		}
	}
	var pooler appsv1.Deployment
	key := client.ObjectKey{Namespace: daap.Namespace(db.ID), Name: daap.PoolerService}
	if err := p.Kubernetes.Client.Get(ctx, key, &pooler); err != nil {
		return "", fmt.Errorf("get deployment of pooler in %s: %w", key.Namespace, err)
	}
	template := pooler.Spec.Template
	if template.Annotations[manifest.AnnotationPool] != manifest.Pool(db.Profile) ||
		template.Labels[manifest.LabelTier] != db.Tier {
		return "The Pooler's pods still have the previous specification", nil
	}
	_, progress := poolerReady(&pooler)
	return progress, nil
}

// missingIn asks PostgreSQL in the pod for what it does not have yet. One that cannot be asked is not there yet.
func (l login) missingIn(ctx context.Context, pod *corev1.Pod, db daap.Database) string {
	// Every instance shows the same certificate, which knows the names of Services and no pod's address.
	w := way{host: daap.Host(daap.PrimaryService, db.ID), address: postgresAt(pod.Status.PodIP)}
	missing := ""
	err := l.session(ctx, w, func(ctx context.Context, conn *pgx.Conn) error {
		var err error
		missing, err = missingSettings(ctx, conn, db.Profile)
		return err
	})
	switch {
	case err != nil:
		return fmt.Sprintf("PostgreSQL in pod %s does not answer: %v", pod.Name, err)
	case missing != "":
		return fmt.Sprintf("PostgreSQL in pod %s: %s", pod.Name, missing)
	}
	return ""
}

// missingSettings compares what PostgreSQL has with what the profile says.
func missingSettings(ctx context.Context, conn *pgx.Conn, want daap.Profile) (string, error) {
	var version, standbys, audited string
	err := conn.QueryRow(ctx, `
		SELECT pg_catalog.left(pg_catalog.current_setting('server_version_num'), 20),
		       pg_catalog.left(pg_catalog.current_setting('synchronous_standby_names'), 1000),
		       COALESCE(pg_catalog.left(pg_catalog.current_setting($1, true), 100), '')`, manifest.AuditParameter,
	).Scan(&version, &standbys, &audited)
	if err != nil {
		return "", fmt.Errorf("read the version: %w", err)
	}
	if n, err := strconv.Atoi(version); err != nil || strconv.Itoa(n/10_000) != want.PGVersion {
		return fmt.Sprintf("the version changes from %s to %s", safe(version), want.PGVersion), nil
	}
	if !strings.HasPrefix(standbys, manifest.StandbysPrefix(want)) || want.HAReplicas == 0 && standbys != "" {
		return fmt.Sprintf("synchronous_standby_names is %q, but commits must wait for %d standbys",
			safe(standbys), want.HAReplicas), nil
	}
	if becomes := want.PGAuditText(); audited != becomes {
		return fmt.Sprintf("%s changes from %s to %s", manifest.AuditParameter, safe(audited), becomes), nil
	}
	parameters := manifest.Parameters(want)
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		var has string
		var same bool
		err := conn.QueryRow(ctx, `
			SELECT pg_catalog.left(pg_catalog.current_setting($1), 20),
			       pg_catalog.pg_size_bytes(pg_catalog.current_setting($1))
			           OPERATOR(pg_catalog.=) pg_catalog.pg_size_bytes($2)`, name, parameters[name]).Scan(&has, &same)
		if err != nil {
			return "", fmt.Errorf("read setting %s: %w", name, err)
		}
		if !same {
			return fmt.Sprintf("%s changes from %s to %s", name, safe(has), parameters[name]), nil
		}
	}
	return "", nil
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
