package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// allParts are the parts of the stack in the order in which status shows them;
// stopping goes the other way.
func (s *supervisor) allParts() []*part {
	parts := s.nodeParts()
	parts = append(parts, s.clusterSteps()...)
	parts = append(parts, s.hostParts()...)
	return append(parts, s.daapParts()...)
}

// hostParts run on the machine itself: DAAP's own database, Temporal and the
// object store.
func (s *supervisor) hostParts() []*part {
	return []*part{
		{
			name: "postgres", address: addressPostgres, prepare: s.initPostgres, stop: syscall.SIGINT,
			command: s.inRootfs("/usr/lib/postgresql/17/bin/postgres", "-D", platformData,
				"-c", "listen_addresses=127.0.0.1", "-c", "port="+port(addressPostgres),
				"-c", "unix_socket_directories=", "-c", "fsync=off", // a commit still survives the process
				"-c", "max_connections=200"),
			ready: s.postgresReady,
		},
		{
			name: "minio", address: addressMinIO, env: func() ([]string, error) { return s.secretEnv("minio.env") },
			command: []string{
				s.bin("minio"), "server", s.in("minio"), "--quiet",
				"--address", addressMinIO, "--console-address", addressConsole,
			},
			ready: httpReady("http://" + addressMinIO + "/minio/health/ready"),
		},
		{name: "bucket", needs: []string{"minio"}, prepare: s.makeBucket},
		{
			name: "temporal", address: addressTemporal,
			command: []string{
				s.bin("temporal"), "server", "start-dev", "--ip", "127.0.0.1", "--port", port(addressTemporal),
				"--ui-ip", "127.0.0.1", "--ui-port", port(addressUI), "--db-filename", s.in("temporal.db"),
				"--namespace", temporalNS, "--log-level", "warn",
			},
			ready: s.temporalReady,
		},
	}
}

// daapParts are DAAP itself. The API's start migrates first, so the worker
// waits for the API.
func (s *supervisor) daapParts() []*part {
	daap := s.in("bin", "daap")
	return []*part{
		{
			name: "api", address: addressAPI, needs: []string{"postgres", "temporal", "checks", "bucket", "accounts"},
			prepare: s.migrate, command: []string{daap, "api"}, env: s.withAccount("api"),
			ready: func(ctx context.Context) error { return dial(ctx, "tcp", addressAPI) },
		},
		{
			name: "worker", needs: []string{"api"}, prepare: s.daapPresent,
			command: []string{daap, "worker"}, env: s.withAccount("worker"),
		},
	}
}

// platformData is where the data directory is seen inside the root filesystem.
const platformData = "/var/lib/postgresql/data"

// inRootfs wraps a command so that it runs as postgres inside the root
// filesystem of the cache, in mounts of its own, which end with it.
func (s *supervisor) inRootfs(command ...string) []string {
	script := `mount --bind "$1" "$2/var/lib/postgresql"
mount --rbind /dev "$2/dev"
mount --bind /proc "$2/proc"
root=$2
shift 2
exec chroot --userspec=postgres:postgres "$root" "$@"`
	return append([]string{
		"unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", s.in("postgres"), s.rootfs(),
	}, command...)
}

// initPostgres makes the platform's database cluster, once.
func (s *supervisor) initPostgres(ctx context.Context) error {
	if _, err := os.Stat(s.in("postgres.initialised")); err == nil {
		return nil
	}
	for _, old := range []string{s.in("postgres"), s.keyFile()} { // a key is of the database that it was made in
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(s.in("postgres"), 0o700); err != nil {
		return err
	}
	password, err := s.secret("postgres")
	if err != nil {
		return err
	}
	// The user that initdb runs as must be able to read the password.
	file := s.in("postgres", "password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		return err
	}
	defer os.Remove(file)
	for _, path := range []string{s.in("postgres"), file} {
		if err := os.Chown(path, postgresUID, postgresUID); err != nil {
			return err
		}
	}
	argv := s.inRootfs("/usr/lib/postgresql/17/bin/initdb", "-D", platformData, "--username=postgres",
		"--pwfile=/var/lib/postgresql/password", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
	if err := s.run(ctx, partEnv(), argv...); err != nil {
		return err
	}
	return os.WriteFile(s.in("postgres.initialised"), nil, 0o600)
}

// postgresReady connects as DAAP will, and makes DAAP's roles and its database where they are missing.
func (s *supervisor) postgresReady(ctx context.Context) error {
	if s.psql(ctx, ownerRole, "daap", "SELECT 1") == nil && s.psql(ctx, serviceRole, "daap", "SELECT 1") == nil {
		return nil
	}
	// A statement that fails would be in the log, with the password in it.
	script := "SET log_min_error_statement = panic;\n"
	for _, role := range []string{ownerRole, serviceRole} {
		password, err := s.secret(passwordOf[role])
		if err != nil {
			return err
		}
		script += fmt.Sprintf("SELECT format('CREATE ROLE %%I LOGIN PASSWORD %%L', '%[1]s', '%[2]s')"+
			" WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '%[1]s') \\gexec\n", role, password)
	}
	script += "SELECT 'CREATE DATABASE daap OWNER " + ownerRole + "'" +
		" WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'daap') \\gexec\n"
	return s.psql(ctx, "postgres", "postgres", script)
}

// psql runs a script as the role. Both the script and the password stay out of the arguments.
func (s *supervisor) psql(ctx context.Context, role, database, script string) error {
	password, err := s.secret(passwordOf[role])
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "chroot", s.rootfs(), "/usr/lib/postgresql/17/bin/psql", "--no-psqlrc", "-qAt",
		"-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", port(addressPostgres), "-U", role, "-d", database)
	cmd.Env, cmd.Dir = partEnv("PGPASSWORD="+password), s.state
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (s *supervisor) temporalReady(ctx context.Context) error {
	return s.run(ctx, partEnv("HOME="+s.state), s.bin("temporal"), "operator", "namespace", "describe",
		"--address", addressTemporal, "--namespace", temporalNS, "--output", "none")
}

// migrate brings DAAP's schema up to date, as its owner, and makes the platform team's key; it is what the API needs
// first.
func (s *supervisor) migrate(ctx context.Context) error {
	if err := s.daapPresent(ctx); err != nil {
		return err
	}
	env, err := s.secretEnv("daap.env")
	if err != nil {
		return err
	}
	owner, err := s.databaseURL(ownerRole)
	if err != nil {
		return err
	}
	asOwner := partEnv(append(env, "DAAP_MIGRATION_URL="+owner)...)
	if err := s.run(ctx, asOwner, s.in("bin", "daap"), "migrate"); err != nil {
		return err
	}
	return s.makePlatformKey(ctx, env)
}

// makePlatformKey makes an API key of the platform team, once, and keeps it where only root reads it: alone, and as
// the header that curl takes from a file.
func (s *supervisor) makePlatformKey(ctx context.Context, env []string) error {
	if _, err := os.Stat(s.keyFile()); err == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, s.in("bin", "daap"), "keys", "create", "--role", "platform-team", "--team", "platform",
		"--name", "local")
	cmd.Env, cmd.Dir = partEnv(env...), s.state
	var said strings.Builder
	cmd.Stderr = &said
	key, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("make an API key: %w: %s", err, said.String())
	}
	if err := os.WriteFile(s.keyHeader(), append([]byte("X-API-Key: "), key...), 0o600); err != nil {
		return err
	}
	return os.WriteFile(s.keyFile(), key, 0o600)
}

func (s *supervisor) daapPresent(context.Context) error {
	if _, err := os.Stat(s.in("bin", "daap")); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cmd/daap is not there yet: %w", errAbsent)
	}
	return nil
}

// run runs a command to its end; its output is in the error.
func (s *supervisor) run(ctx context.Context, env []string, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = env, s.state
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func port(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
