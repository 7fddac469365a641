// Command stack runs everything DAAP needs on one Linux machine: a Kubernetes
// node with CloudNativePG in namespaces of its own, PostgreSQL, Temporal and
// MinIO beside it, and DAAP itself on top. See README.md.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	if err := rootCommand().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "stack:", err)
		os.Exit(1)
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "stack",
		Short:         "The local stack of DAAP",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		command("build", "Build the parts into the cache and stop there", func([]string) error { return runBuild() }),
		command("cache", "Print where the parts are built to", func([]string) error { return runCache() }),
		command("up", "Start the stack, or bring a running one up to date", func([]string) error { return runUp() }),
		command("down", "Stop the stack and remove everything but the cache", func([]string) error { return runDown() }),
		command("status", "Show what is up", func([]string) error { return runStatus() }),
		command("env", "Print the environment that DAAP runs with", func([]string) error { return runEnv() }),
		logsCommand(),
		hidden(command("supervise", "Keep the parts running", func([]string) error { return runSupervise() })),
		hidden(command("node-init", "Be the first process of the node", runNodeInit)),
	)
	return root
}

func command(use, short string, run func([]string) error) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		RunE:  func(_ *cobra.Command, args []string) error { return run(args) },
	}
}

func hidden(cmd *cobra.Command) *cobra.Command {
	cmd.Hidden = true
	return cmd
}
