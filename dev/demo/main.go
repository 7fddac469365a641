// Command demo provisions a database on the local stack and shows each step as it happens.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// patience is how long the demo watches before it gives up; a provision takes well under a minute.
const patience = 10 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	ctx, cancel := context.WithTimeout(ctx, patience)
	err := run(ctx)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	stack, err := local.Open()
	if err != nil {
		return err
	}
	if err := stack.MakeTier(ctx); err != nil {
		return err
	}
	name := "demo-" + strings.ToLower(time.Now().UTC().Format("0102-150405"))
	say("POST %s/databases  {\"name\": %q, \"owner_team\": \"demo\", \"tier\": %q}", stack.URL, name, local.Tier)
	accepted, err := local.Accepted(stack.API.CreateDatabase(ctx,
		&oas.CreateDatabaseRequest{Name: name, Tier: local.Tier, OwnerTeam: oas.NewOptTeamName("demo")},
		oas.CreateDatabaseParams{}))
	if err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	db, operation := accepted.Response.Data, accepted.Response.Meta.OperationID
	say("202 Accepted: database %s, operation %s\n", db.ID, operation)

	steps := stepPrinter{begun: time.Now(), shown: map[string]bool{}}
	over, err := stack.Follow(ctx, operation, steps.show)
	if err != nil {
		return err
	}
	if over.State != oas.OperationStateSucceeded {
		return fmt.Errorf("the operation is %s: %s", over.State, over.Error.Value.Message)
	}
	say("\nThe database is ready after %.1f s.\n", time.Since(steps.begun).Seconds())
	return session(ctx, stack, db)
}

// stepPrinter prints each step once it is done, and what is waited for meanwhile.
type stepPrinter struct {
	begun    time.Time
	shown    map[string]bool
	progress string
}

func (p *stepPrinter) show(op oas.Operation) {
	for _, step := range op.Steps {
		if step.State == oas.StepStateDone && !p.shown[step.Name] {
			p.shown[step.Name] = true
			say("  %6.1f s  ✓ %s", time.Since(p.begun).Seconds(), step.Title)
		}
		if step.State == oas.StepStateRunning && step.Progress != "" && step.Progress != p.progress {
			p.progress = step.Progress
			say("  %6.1f s    … %s", time.Since(p.begun).Seconds(), step.Progress)
		}
	}
}

// session writes to the database and reads from it, over verified TLS.
func session(ctx context.Context, stack *local.Stack, db oas.Database) error {
	found, err := stack.API.GetDatabaseConnection(ctx, oas.GetDatabaseConnectionParams{ID: db.ID})
	if err != nil {
		return fmt.Errorf("get the connection: %w", err)
	}
	conn := found.Data
	dir := filepath.Join(os.TempDir(), "daap-"+db.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	psql, err := stack.Psql(ctx, conn, conn.Pooled, dir)
	if err != nil {
		return err
	}
	say("$ psql \"%s\"", psql.Conninfo())
	transcript, err := psql.Session(ctx,
		"CREATE TABLE greetings (id bigint GENERATED ALWAYS AS IDENTITY, words text, at timestamptz DEFAULT now());",
		"INSERT INTO greetings (words) VALUES ('hello from DAAP') RETURNING id;",
		"SELECT words, at FROM greetings;",
		"SELECT split_part(version(), ' (', 1) AS server, current_user, inet_server_port() AS port;",
	)
	if err != nil {
		return err
	}
	say("%s\n", transcript)
	say(`Go on:
  # a session of your own
  eval "$(go run ./dev/stack env)"
  export PGPASSWORD="$(kubectl -n %s get secret %s -o jsonpath='{.data.%s}' | base64 -d)"
  psql "%s"

  # what the API says
  curl -s -H @"$DAAP_API_KEY_HEADER" %s/databases/%s
  curl -s -H @"$DAAP_API_KEY_HEADER" %s/operations?database_id=%s
  curl -s -H @"$DAAP_API_KEY_HEADER" %s/audit-logs?resource_id=%s

  # the workflow: http://127.0.0.1:8233/namespaces/daap/workflows

  # delete it, and everything made for it
  curl -s -X DELETE -H @"$DAAP_API_KEY_HEADER" %s/databases/%s`,
		conn.Secret.Namespace, conn.Secret.Name, conn.Secret.PasswordKey, psql.Conninfo(),
		stack.URL, db.ID, stack.URL, db.ID, stack.URL, db.ID, stack.URL, db.ID)
	return nil
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }
