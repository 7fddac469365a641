// Command daap is the DAAP service: its API, its workers, and what an installation needs done once.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/daap-dev/daap/cmd/internal/config"
)

// version is set by the build.
var version = "dev"

// Exit codes: 1 for what went wrong, 2 for what the person who started it can mend.
const (
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "daap:", err)
	var setting *config.Error
	var usage *usageError
	if errors.As(err, &setting) || errors.As(err, &usage) {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailure)
}

// usageError is a command line that cannot be carried out.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "daap",
		Short: "PostgreSQL databases for teams, as a service",
		Long: `DAAP is a Database-as-a-Service control plane. Its API takes requests for PostgreSQL databases,
its workers carry them out as Temporal workflows on Kubernetes with CloudNativePG.

An installation runs "daap migrate" once per version, then any number of "daap api" and "daap worker"
processes; "daap serve" is both in one process, for one machine.`,
		Example: `  export DAAP_DATABASE_URL=postgres://daap@127.0.0.1:5432/daap
  daap migrate && daap serve`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Errorf("there is no command %q; see daap --help", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	cmd.AddCommand(
		command("api", "Answer the REST API", `
Answers the REST API on DAAP_HTTP_ADDR and starts the workflows of accepted operations.
Any number of these may run. Needs PostgreSQL; while Temporal is down, requests are accepted and
carried out when it is back.`, serveAPI),
		command("worker", "Carry out operations", `
Carries out operations: Temporal workflows and their activities on Kubernetes.
Any number of these may run, and any may die at any time: another goes on where it was.`, runWorker),
		command("serve", "Be api and worker in one process", `
Is api and worker in one process, for one machine.`, serveBoth),
		command("migrate", "Bring PostgreSQL and Temporal up to date", `
Brings DAAP's PostgreSQL schema to this version, and gives the Temporal namespace the search
attributes that workflows need. Run it before the api and worker of a new version; safe to repeat.

With DAAP_MIGRATION_URL, the schema belongs to the role that it names, and that of DAAP_DATABASE_URL gets the
lesser rights that api and worker need: it cannot change what is in the audit log.`, migrate),
		keysCommand(),
		auditCommand(),
		codecCommand(),
		versionCommand(),
	)
	return cmd
}

// command is a subcommand that takes its settings from the environment and no arguments.
func command(use, short, long string, run func(context.Context, service) error) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Long:  strings.TrimSpace(long) + "\n\n" + variables,
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newService(use)
			if err != nil {
				return err
			}
			defer s.close()
			return run(cmd.Context(), s)
		},
	}
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Errorf("%s takes no arguments; see %s --help", cmd.Name(), cmd.CommandPath())}
	}
	return nil
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), version)
		},
	}
}

const variables = `Environment:
  DAAP_DATABASE_URL       DAAP's own PostgreSQL, postgres://user:password@host:port/database (required)
  DAAP_MIGRATION_URL      the same PostgreSQL as its owner, for daap migrate (DAAP_DATABASE_URL)
  DAAP_HTTP_ADDR          where the API listens (127.0.0.1:8080)
  DAAP_POSTGRES_VERSIONS  the PostgreSQL versions that tiers may have, with images: 17=image,18=image (none)
  DAAP_POOLER_IMAGE       image of PgBouncer (the CloudNativePG operator's default)
  DAAP_STORAGE_CLASS      storage class of the databases' volumes (the Kubernetes cluster's default)
  DAAP_LOG_LEVEL          debug, info, warn or error (info)
  DAAP_LOG_FORMAT         json or console (json)
  DAAP_STEP_DEADLINE      after how long a step that is not done needs a person (30m; 10s to 30m)
  DAAP_BACKLOG            how many accepted operations may wait for their start (1000)
  DAAP_RATE_LIMIT         requests a second of each API key, twice as many at once; 0 is no limit (100)
  DAAP_TRUSTED_PROXIES    networks of proxies whose X-Forwarded-For is believed, as 10.0.0.0/8,… (none)
  DAAP_ARGON2_MEMORY_KIB  what hashes of API keys cost, with DAAP_ARGON2_TIME and DAAP_ARGON2_THREADS (19456, 2, 1)
  DAAP_AUDIT_RETENTION    how long daap migrate has the audit log kept (8760h; 24h to 87600h)
  DAAP_AUDIT_HEADS        s3://bucket/prefix for heads of the audit log (none: a tail cut off does not show)
  DAAP_BACKUP_ENDPOINT    the object store that databases are backed up to, as they reach it, with
                          DAAP_BACKUP_ACCESS_KEY and DAAP_BACKUP_SECRET_KEY; without it, no backups
  DAAP_NETWORK_API_SERVERS, DAAP_NETWORK_STORE
                          what databases must reach, for their NetworkPolicies: the endpoints of the Kubernetes API
                          and of DAAP_BACKUP_ENDPOINT, as 10.0.0.10:6443 or namespace:9000,… (the worker needs them)
  DAAP_NETWORK_OPERATOR, DAAP_NETWORK_WORKER, DAAP_NETWORK_METRICS, DAAP_NETWORK_DNS
                          the pods of the operator, the worker, who reads metrics, and the cluster's DNS
                          (cnpg-system, daap, monitoring and kube-system, each with the label of its pods)
  DAAP_BACKUP_KEYS        minio has an account made for each database, which reaches its own backups alone;
                          shared gives all of them the keys above (minio)
  DAAP_S3_ENDPOINT        the platform's object store, with DAAP_S3_ACCESS_KEY and DAAP_S3_SECRET_KEY
  DAAP_S3_ALLOW           networks at which object stores are dialed although they are loopback's, the link's or a
                          cloud's for metadata, as 127.0.0.0/8,… (none)
  DAAP_SHUTDOWN_TIMEOUT   how long to finish what has begun when told to stop (20s)
  TEMPORAL_ADDRESS        Temporal's frontend (localhost:7233); also TEMPORAL_TLS…, TEMPORAL_API_KEY
  DAAP_TEMPORAL_CODEC_KEYS
                          keys that encrypt what Temporal keeps, as id=<32 bytes in base64>,…: the first encrypts, all
                          decrypt; "plain" as the first encrypts nothing (plain)
  TEMPORAL_NAMESPACE      Temporal namespace (daap)
  KUBECONFIG              access to Kubernetes (that of the pod, within Kubernetes)`
