//go:build e2e

package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/docs"
)

// repository is the root of the repository.
const repository = "../.."

// ran has the commands of the documents that tests have run, by their ID.
var ran sync.Map

// page is a document with commands. Its first block sets up what the others need.
type page struct {
	path   string
	blocks []docs.Block
}

// pageOf reads a document.
func pageOf(t *testing.T, path string) page {
	t.Helper()
	blocks, err := docs.Commands(repository, path)
	if err != nil || len(blocks) == 0 {
		t.Fatalf("%s has no commands (%v)", path, err)
	}
	return page{path, blocks}
}

// run runs a named block after the first one, as they are, and returns what they print. env are variables.
func (p page) run(ctx context.Context, t *testing.T, name string, env ...string) string {
	t.Helper()
	for _, b := range p.blocks {
		if b.Name == name {
			ran.Store(p.blocks[0].ID(), true)
			ran.Store(b.ID(), true)
			return shell(ctx, t, p.blocks[0].Text+b.Text, append(env, "SHOP_KEY_HEADER="+shopKey(ctx, t))...)
		}
	}
	t.Fatalf("%s has no commands %s", p.path, name)
	return ""
}

// runAll runs all blocks without a name, one after the other in one shell, and returns what they print.
func (p page) runAll(ctx context.Context, t *testing.T, env ...string) string {
	t.Helper()
	var script strings.Builder
	for _, b := range p.blocks {
		if b.Name == "" {
			ran.Store(b.ID(), true)
			script.WriteString(b.Text)
		}
	}
	return shell(ctx, t, script.String(), env...)
}

var shop struct {
	once   sync.Once
	id     uuid.UUID
	header string
	err    error
}

// shopKey returns the file with the header of a key of team shop, for docs/prelude.sh.
func shopKey(ctx context.Context, t *testing.T) string {
	t.Helper()
	shop.once.Do(func() {
		made, err := stack.API.CreateAPIKey(context.WithoutCancel(ctx), &oas.CreateAPIKeyRequest{
			Name: "docs", Team: "shop", Role: oas.RoleProductTeam,
		}, oas.CreateAPIKeyParams{})
		if err != nil {
			shop.err = err
			return
		}
		shop.id = made.Data.APIKey.ID
		var dir string
		if dir, shop.err = os.MkdirTemp("", "e2e-shop-"); shop.err != nil {
			return
		}
		shop.header = filepath.Join(dir, "shop.header")
		shop.err = os.WriteFile(shop.header, []byte("X-API-Key: "+made.Data.Key.Value+"\n"), 0o600)
	})
	if shop.err != nil {
		t.Fatalf("make a key for team shop: %v", shop.err)
	}
	return shop.header
}

// removeShopKey revokes the key of shopKey and removes its file.
func removeShopKey(ctx context.Context) error {
	if shop.id == uuid.Nil {
		return nil
	}
	_, err := stack.API.RevokeAPIKey(ctx, oas.RevokeAPIKeyParams{ID: shop.id})
	return errors.Join(err, os.RemoveAll(filepath.Dir(shop.header)))
}

// unrunCommands returns an error that names the commands of the documents that no test has run. It is nil where only
// some of the tests were asked for.
func unrunCommands() error {
	for _, filter := range []string{"test.run", "test.skip"} {
		if f := flag.Lookup(filter); f != nil && f.Value.String() != "" {
			return nil
		}
	}
	pages, err := docs.Pages(repository)
	if err != nil {
		return err
	}
	var missing []string
	for _, path := range pages {
		commands, err := docs.Commands(repository, path)
		if err != nil {
			return err
		}
		for _, b := range commands {
			if _, done := ran.Load(b.ID()); !done {
				missing = append(missing, b.ID())
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("no test ran the commands %s", strings.Join(missing, ", "))
	}
	return nil
}

// TestTourOfTheReadmeWorks runs the tour in a shell that has nothing set, as a reader does.
func TestTourOfTheReadmeWorks(t *testing.T) {
	parallel(t, long, needsStore, needsHealth)
	keys := t.TempDir()
	out := pageOf(t, "README.md").runAll(t.Context(), t, "DAAP_API_KEY_HEADER=", "SHOP_KEY_HEADER=", "TMPDIR="+keys)
	watching.keysIn(t, keys)
	listed(t, out, "ok\n", `"high_availability"`, "succeeded\n  done  ", "hello", `"field": "name"`, `"field": "size"`, "\taccepted\t",
		`"strategy": "hard_delete"`, `"kind": "delete_database"`, `"state": "succeeded"`, `"kubernetes_objects"`, "shop/docs\tdeleteDatabase\tsucceeded")
}

// TestPagesForTeamsWork runs the pages for product teams, and the conventions of the API, on one database in the order
// of its life.
func TestPagesForTeamsWork(t *testing.T) {
	parallel(t, long, needsStore)
	ctx := t.Context()
	keepingTier(ctx, t, "e2e-docs")
	makeTier(ctx, t, oas.CreateTierRequest{
		Name: "e2e-docs-larger", CPU: "100m", Memory: "640Mi", StorageSize: "1Gi", BackupEnabled: oas.NewOptBool(true),
		BackupFrequency: oas.NewOptString(nightly), BackupRetentionDays: oas.NewOptInt(7),
		ObjectStorageDestination: oas.NewOptString(destination),
	})
	t.Cleanup(func() {
		for _, name := range []string{"docs-orders", "docs-restored"} {
			if id := ofShop(context.WithoutCancel(ctx), t, name); id != uuid.Nil {
				cleanUp(context.WithoutCancel(ctx), t, id)
			}
		}
	})
	env := []string{
		"SHOP_KEY_HEADER=" + shopKey(ctx, t), "TMPDIR=" + t.TempDir(),
		"tier=e2e-docs", "larger=e2e-docs-larger", "name=docs-orders", "restored=docs-restored",
	}
	listed(t, pageOf(t, "docs/users/databases.md").runAll(ctx, t, env...),
		`"status": "provisioning"`, `"state": "succeeded"`, `"cost-centre": "42"`, `"restarts": true`, `"tier": "e2e-docs-larger"`,
		`"name": "docs-orders"`, `"status": "ready"`, "\tsucceeded\t")
	id := ofShop(ctx, t, "docs-orders")
	env = append(env, "database="+id.String())
	listed(t, pageOf(t, "docs/api.md").runAll(ctx, t, env...),
		`"code":"unauthenticated"`, `"data": "array"`, `"code": "validation_failed"`, "one tier, two equal responses",
		"idempotency_key_reused", "e2e-docs\n", `"provision_database"`)
	listed(t, pageOf(t, "docs/users/connecting.md").runAll(ctx, t, env...), `"sslmode": "verify-full"`, " pooled ", " direct ", "TLSv1.3", `"health": "ok"`)
	backupsKnown(ctx, t, id)
	listed(t, pageOf(t, "docs/users/backups-and-restores.md").runAll(ctx, t, env...),
		`"first_recoverable_at": "2`, `"kind": "back_up_database"`, `"kind": "restore_database"`, `"name": "docs-restored"`, "\ndeleted\n")
	listed(t, pageOf(t, "docs/users/freeze-and-delete.md").runAll(ctx, t, env...),
		`"strategy": "hard_delete"`, `"status": "frozen"`, "\nready\n", `"deletion_protected"`, `"receipt"`, `"status": "deleted"`)
}

// ofShop returns the database of team shop with the name; uuid.Nil when it has none, or only a deleted one.
func ofShop(ctx context.Context, t *testing.T, name string) uuid.UUID {
	t.Helper()
	page, err := stack.API.ListDatabases(ctx, oas.ListDatabasesParams{Team: oas.NewOptTeamName("shop"), Limit: oas.NewOptInt(100)})
	if err != nil {
		t.Fatalf("list the databases of team shop: %v", err)
	}
	for _, db := range page.Data {
		if db.Name == name {
			return db.ID
		}
	}
	return uuid.Nil
}

// TestPagesForOperatorsWork runs the commands that need no particular database.
func TestPagesForOperatorsWork(t *testing.T) {
	parallel(t, needsStore, needsHealth)
	ctx := t.Context()
	key := "SHOP_KEY_HEADER=" + shopKey(ctx, t)
	for path, want := range map[string][]string{
		"docs/operators/archives.md":         nil,
		"docs/operators/certificates.md":     nil,
		"docs/operators/fleet.md":            {`"sweep"`, `"health": "healthy"`},
		"docs/operators/install.md":          {`"name": "kubernetes"`, "no\n", "cnpg-controller-manager"},
		"docs/operators/keys-and-audit.md":   {`"actor":"platform/local"`},
		"docs/operators/temporal.md":         {`"name": "temporal"`, "SERVING"},
		"docs/operators/tiers-and-quotas.md": {`"high_availability"`, `"memory": "2Gi"`, `"over_committed": false`},
		"docs/operators/upgrade.md":          {"Total: "},
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			listed(t, pageOf(t, path).runAll(ctx, t, key), want...)
		})
	}
}
