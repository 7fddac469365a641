//go:build bench

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	sdkclient "go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/daap-dev/daap/activities"
	"github.com/daap-dev/daap/activities/cluster"
	"github.com/daap-dev/daap/persistence"
	"github.com/daap-dev/daap/workflows"
)

// The worker is measured in a process of its own, which is this program once more: its memory is its own then.
const (
	workerVariable = "DAAP_BENCH_WORKER"
	// heapVariable names a file for a profile of the worker's heap, of the last one that was measured.
	heapVariable = "DAAP_BENCH_HEAP"
)

// workerInput is the first line that a worker reads. It has passwords, so it comes in by no argument.
type workerInput struct {
	Kubernetes            kubernetes
	DatabaseURL, Temporal string
}

// usage is what a worker tells of itself for each further line that it reads.
type usage struct {
	// Requests is how many it made to Kubernetes, Watches how many of them are watches that are open now.
	Requests, Watches int64
	// Shortest and Longest are after what time open watches end by themselves, for which the worker asks.
	Shortest, Longest time.Duration
	// Statements is how many SQL statements it made.
	Statements int64
	// Memory and Peak are its resident memory now and at most, in bytes.
	Memory, Peak int64
}

// worker is one that runs, as it is seen from outside.
type worker struct {
	t     *testing.T
	ask   io.WriteCloser
	tells *bufio.Scanner
}

// startWorker starts a worker and waits until it has read all of Kubernetes for the first time.
func startWorker(t *testing.T, in workerInput) *worker {
	t.Helper()
	//nolint:noctx // it ends with its standard input
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workerVariable+"=1")
	cmd.Stderr = os.Stderr
	ask, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	tells, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = ask.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the worker ended with %v", err)
		}
	})
	w := &worker{t, ask, bufio.NewScanner(tells)}
	w.say(in)
	return w
}

// stop ends the worker; t.Cleanup waits for it.
func (w *worker) stop() { _ = w.ask.Close() }

func (w *worker) say(what any) {
	w.t.Helper()
	if err := json.NewEncoder(w.ask).Encode(what); err != nil {
		w.t.Fatal(err)
	}
}

// usage is what the worker has used by now.
func (w *worker) usage() usage {
	w.t.Helper()
	w.say(struct{}{})
	var u usage
	if !w.tells.Scan() {
		w.t.Fatal("the worker has ended")
	}
	if err := json.Unmarshal(w.tells.Bytes(), &u); err != nil {
		w.t.Fatal(err)
	}
	return u
}

// beWorker is the whole of a worker's process.
func beWorker() error {
	lines := bufio.NewScanner(os.Stdin)
	var in workerInput
	if !lines.Scan() {
		return io.ErrUnexpectedEOF
	}
	if err := json.Unmarshal(lines.Bytes(), &in); err != nil {
		return err
	}
	ctrllog.SetLogger(logr.FromSlogHandler(quiet.Handler()))
	debug.SetGCPercent(cluster.GCPercent)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	counts := &counts{}
	stop, err := counts.work(ctx, in)
	if err != nil {
		return err
	}
	defer stop()
	for lines.Scan() {
		u, err := counts.usage()
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(u)
		}
		if err != nil {
			return err
		}
	}
	if path := os.Getenv(heapVariable); path != "" {
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		return pprof.WriteHeapProfile(file)
	}
	return nil
}

// work does of a worker's work what the fleet's health takes, with all that it needs for it.
func (c *counts) work(ctx context.Context, in workerInput) (stop func(), err error) {
	pool, err := c.open(ctx, in.DatabaseURL)
	if err != nil {
		return nil, err
	}
	known, err := newScheme()
	if err != nil {
		return nil, err
	}
	access := in.Kubernetes.access()
	access.Wrap(c.follow)
	watch, err := cluster.NewWatch(ctx, access, known)
	if err != nil {
		return nil, err
	}
	if err := watch.Start(ctx); err != nil {
		return nil, err
	}
	fleet := &activities.Fleet{Watch: watch, Databases: persistence.New(pool)}
	temporal, err := sdkclient.Dial(sdkclient.Options{HostPort: in.Temporal, Logger: log.NewStructuredLogger(quiet)})
	if err != nil {
		return nil, err
	}
	made := workflows.NewWorker(temporal, workflows.Workflows{}, workflows.Activities{
		Steps: &activities.Steps{}, Records: &activities.Records{}, Engine: &activities.Engine{},
		Destinations: &activities.Destinations{}, Sweeps: &activities.Sweeps{}, Reaper: &activities.Reaper{}, Fleet: fleet,
	}, nil, func(err error) { fmt.Fprintln(os.Stderr, "the worker fails:", err) })
	if err := made.Start(); err != nil {
		return nil, err
	}
	go activities.Follow(ctx, fleet, func(err error) { fmt.Fprintln(os.Stderr, "the worker cannot follow:", err) })
	return func() { made.Stop(); temporal.Close(); pool.Close() }, nil
}

// counts are what a worker counts of itself.
type counts struct {
	requests, watches, statements atomic.Int64

	mu                sync.Mutex
	shortest, longest int64 // seconds
}

func (c *counts) usage() (usage, error) {
	u := usage{
		Requests: c.requests.Load(), Watches: c.watches.Load(), Statements: c.statements.Load(),
	}
	c.mu.Lock()
	u.Shortest, u.Longest = time.Duration(c.shortest)*time.Second, time.Duration(c.longest)*time.Second
	c.mu.Unlock()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		for name, into := range map[string]*int64{"VmRSS:": &u.Memory, "VmHWM:": &u.Peak} {
			if fields[0] == name {
				kib, err := strconv.ParseInt(fields[1], 10, 64)
				if err != nil {
					return u, err
				}
				*into = kib << 10
			}
		}
	}
	return u, nil
}

// follow counts the requests to Kubernetes.
func (c *counts) follow(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		c.requests.Add(1)
		response, err := next.RoundTrip(r)
		if query := r.URL.Query(); err == nil && query.Get("watch") == "true" {
			c.watches.Add(1)
			if seconds, err := strconv.ParseInt(query.Get("timeoutSeconds"), 10, 64); err == nil {
				c.note(seconds)
			}
			response.Body = &watched{response.Body, &c.watches}
		}
		return response, err
	})
}

// note keeps the ends of the range of seconds.
func (c *counts) note(seconds int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shortest == 0 || seconds < c.shortest {
		c.shortest = seconds
	}
	c.longest = max(c.longest, seconds)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

// watched is the body of a watch that is open.
type watched struct {
	io.ReadCloser
	open *atomic.Int64
}

func (w *watched) Close() error {
	w.open.Add(-1)
	return w.ReadCloser.Close()
}

// open is a pool like that of a worker, whose statements are counted.
func (c *counts) open(ctx context.Context, databaseURL string) (*pgxpool.Pool, error) {
	plain, err := persistence.Open(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	cfg := plain.Config()
	cfg.ConnConfig.Tracer = c
	return pgxpool.NewWithConfig(ctx, cfg)
}

// TraceQueryStart counts a statement.
func (c *counts) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.statements.Add(1)
	return ctx
}

// TraceQueryEnd does nothing.
func (c *counts) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
