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

// Exit codes: 1 for a failure, 2 for an error in the command or its settings.
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
processes; "daap serve" is both in one process, for one machine.

` + config.Help(""),
		Example: `  export DAAP_DATABASE_URL=postgres://daap@127.0.0.1:5432/daap
  daap migrate && daap serve`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return &usageError{fmt.Errorf("unknown command %q; see daap --help", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	cmd.AddCommand(
		command("api", "Run the REST API", `
Serves the REST API on DAAP_HTTP_ADDR and starts the workflows of accepted operations.
Any number of processes may run. Requires PostgreSQL. While Temporal is down, requests are accepted
and carried out when it is back.`, serveAPI),
		command("worker", "Run the worker", `
Carries out operations: Temporal workflows and their activities on Kubernetes.
Any number of processes may run. If one stops at any time, another continues its work.`, runWorker),
		command("serve", "Run api and worker in one process", `
Runs api and worker in one process, for one machine.`, serveBoth),
		command("migrate", "Migrate PostgreSQL and Temporal to this version", `
Migrates DAAP's PostgreSQL schema to this version and registers the search attributes of workflows in the
Temporal namespace. Run it before the api and worker of a new version. Safe to repeat.

With DAAP_MIGRATION_URL, the role in that URL owns the schema, and the role in DAAP_DATABASE_URL gets only
the privileges that api and worker need: it cannot change audit log entries.`, migrate),
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
		Long:  strings.TrimSpace(long) + "\n\n" + config.Help(use),
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
