//go:build chaos

// Package chaos does harm to the real local stack, at each step of each operation, and looks whether anything of
// what DAAP promises is broken by it. README.md says what harm, and what is looked at.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"

	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// patience bounds each thing that is waited for. It is many times what one takes, as what was killed comes back
// with a pause that grows.
const patience = 5 * time.Minute

// team owns all that the tests make.
const team = "chaos"

// wide is the tier that updates change to, and back from: PostgreSQL is started anew for it.
var wide = oas.CreateTierRequest{
	Name: "local-wide", CPU: "100m", Memory: "576Mi", StorageSize: "1Gi", MaxConnections: oas.NewOptInt(60),
	PoolMode: oas.NewOptPoolMode(oas.PoolModeSession),
}

// kept is the tier of what is restored.
var kept = oas.CreateTierRequest{
	Name: "local-kept", CPU: "100m", Memory: "512Mi", StorageSize: "1Gi", BackupEnabled: oas.NewOptBool(true),
	BackupFrequency: oas.NewOptString("0 2 * * *"), BackupRetentionDays: oas.NewOptInt(1),
	ObjectStorageDestination: oas.NewOptString("s3://daap-chaos"),
}

var (
	stack    *local.Stack
	rows     *pgxpool.Pool
	temporal client.Client
	points   = newListener()
)

func TestMain(m *testing.M) {
	if err := open(); err != nil {
		fmt.Fprintln(os.Stderr, "chaos needs Linux, root and the local stack that make chaos starts:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func open() error {
	address, err := url.Parse(os.Getenv("DAAP_CHAOS_URL"))
	if err != nil || address.Host == "" {
		return errors.New("DAAP_CHAOS_URL is not in the stack's environment")
	}
	if stack, err = local.Open(); err != nil {
		return err
	}
	if rows, err = pgxpool.New(context.Background(), os.Getenv("DAAP_DATABASE_URL")); err != nil {
		return fmt.Errorf("open DAAP's PostgreSQL: %w", err)
	}
	err = errors.Join(stack.MakeTier(context.Background()), stack.OfferTier(context.Background(), wide),
		stack.OfferTier(context.Background(), kept))
	if err != nil {
		return err
	}
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return fmt.Errorf("read Temporal's settings: %w", err)
	}
	options.Logger = silent{}
	if temporal, err = client.NewLazyClient(options); err != nil {
		return fmt.Errorf("create a Temporal client: %w", err)
	}
	listen, err := net.Listen("tcp", address.Host)
	if err != nil {
		return fmt.Errorf("listen where the worker asks: %w", err)
	}
	server := &http.Server{Handler: points, ReadHeaderTimeout: time.Second}
	go func() {
		if err := server.Serve(listen); err != nil {
			fmt.Fprintln(os.Stderr, "the worker can ask no more:", err)
		}
	}()
	return nil
}

// silent keeps Temporal's client from writing between the tests' lines.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}

// until looks every 200 ms and fails the test when it is not so within patience. so says what is missing.
func until(ctx context.Context, t *testing.T, what string, so func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := soon(ctx, so); err != nil {
		t.Fatalf("waiting until %s: %v", what, err)
	}
}

// soon looks every 200 ms until it is so or ctx ends; its error is then what was missing at last.
func soon(ctx context.Context, so func(context.Context) error) error {
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for {
		err := so(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return err
		}
	}
}
