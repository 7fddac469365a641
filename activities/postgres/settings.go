package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/manifest"
)

// MissingSettings compares the settings of PostgreSQL in each pod with the profile, and returns the first difference;
// empty if there is none. A PostgreSQL that does not respond counts as a difference.
func (p *Postgres) MissingSettings(ctx context.Context, db daap.Database, pods []corev1.Pod) (string, error) {
	worker, err := p.worker(ctx, db)
	if err != nil {
		return "", err
	}
	for i := range pods {
		if missing := worker.missingIn(ctx, &pods[i], db); missing != "" {
			return missing, nil
		}
	}
	return "", nil
}

// missingIn returns the first missing setting of PostgreSQL in the pod, or that it does not respond.
func (l login) missingIn(ctx context.Context, pod *corev1.Pod, db daap.Database) string {
	// Every instance presents the same certificate, which contains the names of Services but no pod addresses.
	to := route{host: daap.Host(daap.PrimaryService, db.ID), address: postgresAt(pod.Status.PodIP)}
	missing := ""
	err := l.session(ctx, to, func(ctx context.Context, conn *pgx.Conn) error {
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

// missingSettings compares PostgreSQL's settings with the profile.
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
		return fmt.Sprintf("the version changes from %s to %s", diagnosis.Safe(version), want.PGVersion), nil
	}
	if !strings.HasPrefix(standbys, manifest.StandbysPrefix(want)) || want.HAReplicas == 0 && standbys != "" {
		return fmt.Sprintf("synchronous_standby_names is %q, but commits must wait for %d standbys",
			diagnosis.Safe(standbys), want.HAReplicas), nil
	}
	if becomes := want.PGAuditText(); audited != becomes {
		return fmt.Sprintf("%s changes from %s to %s", manifest.AuditParameter, diagnosis.Safe(audited), becomes), nil
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
			return fmt.Sprintf("%s changes from %s to %s", name, diagnosis.Safe(has), parameters[name]), nil
		}
	}
	return "", nil
}
