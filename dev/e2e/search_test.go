//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/proxy"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/converter"
	sdklog "go.temporal.io/sdk/log"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/daap-dev/daap/dev/leak"
	"github.com/daap-dev/daap/workflows"
)

// The sources that are no files of the stack.
const (
	dumpOfRows         = "the dump of DAAP's database"
	temporalHistories  = "Temporal's histories"
	temporalVisibility = "Temporal's visibility"
)

// searchPatience bounds the search at the end.
const searchPatience = 3 * time.Minute

// end stops watching and looks for every secret that was seen, in all that the stack wrote and all that was kept of what
// is gone. Its error says which secret is where, and never what it is.
func (w *watch) end(ctx context.Context) error {
	defer func() { _ = os.RemoveAll(w.dir) }()
	ctx, cancel := context.WithTimeout(ctx, searchPatience)
	defer cancel()
	began := time.Now()
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return fmt.Errorf("read Temporal's settings: %w", err)
	}
	options.Logger = sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
	temporal, err := client.DialContext(ctx, options)
	if err != nil {
		return fmt.Errorf("reach Temporal: %w", err)
	}
	defer temporal.Close()
	err = errors.Join(w.plantAll(ctx, temporal), askForMetrics(ctx))
	w.stop()
	w.over.Wait()
	w.keepLogs()
	if err != nil {
		return err
	}
	f := &finds{search: w.secrets.Search(), found: map[string][]string{}}
	// What leaves Temporal's WAL meanwhile is in its file, which is read after it.
	err = errors.Join(f.files(stateDir(), "log", "var-log", "postgres", "temporal.db-wal", "temporal.db"),
		f.files(w.dir, "."), f.dump(ctx), f.temporal(ctx, temporal))
	if err != nil {
		return err
	}
	fmt.Printf("searched %d MiB in %d places for %d secrets, in %s\n",
		f.bytes>>20, f.places, w.secrets.Len(), time.Since(began).Round(100*time.Millisecond))
	return errors.Join(append(w.missed(f.found), f.leaks()...)...)
}

// askForMetrics has the API's metrics among its answers, where it has any.
func askForMetrics(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, stack.URL+"/metrics", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return errors.Join(err, answer.Body.Close())
}

// finds are what a search found, by the place; safe for concurrent use.
type finds struct {
	search *leak.Search
	mu     sync.Mutex
	found  map[string][]string
	places int
	bytes  int64
}

// leaks are the secrets that were found, but for the canaries that must be.
func (f *finds) leaks() []error {
	var errs []error
	for source, names := range f.found {
		for _, name := range names {
			if !strings.HasPrefix(name, planted) {
				errs = append(errs, fmt.Errorf("%s: %s", source, name))
			}
		}
	}
	return errs
}

func (f *finds) note(source string, names []string, size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.places++
	f.bytes += size
	for _, name := range names {
		if !slices.Contains(f.found[source], name) {
			f.found[source] = append(f.found[source], name)
		}
	}
}

// read searches what the reader gives.
func (f *finds) read(source string, r io.Reader) error {
	counted := &counter{Reader: r}
	names, err := f.search.Read(counted)
	if err != nil {
		return fmt.Errorf("search %s: %w", source, err)
	}
	f.note(source, names, counted.n)
	return nil
}

type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// files searches all files under the directory's entries. One that goes away meanwhile is none.
func (f *finds) files(dir string, entries ...string) error {
	for _, entry := range entries {
		before := f.places
		err := filepath.WalkDir(filepath.Join(dir, entry), func(path string, found fs.DirEntry, err error) error {
			if err == nil && found.Type().IsRegular() {
				err = f.file(dir, path)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
		if f.places == before && entry != "temporal.db-wal" { // which is there while something is not in the other file
			return fmt.Errorf("there is nothing in %s: it is not where the stack keeps what it has", entry)
		}
	}
	return nil
}

func (f *finds) file(dir, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	return f.read(name, file)
}

// dump searches a dump of DAAP's database. It is made with the pg_dump of the server's own version.
func (f *finds) dump(ctx context.Context) error {
	kubectl, err := exec.LookPath("kubectl") // the stack's own, in its cache
	if err != nil {
		return err
	}
	address, err := url.Parse(os.Getenv("DAAP_DATABASE_URL"))
	if err != nil {
		return errors.New("DAAP_DATABASE_URL is no URL")
	}
	password, err := os.ReadFile(filepath.Join(stateDir(), "postgres.password"))
	if err != nil {
		return err
	}
	dump := exec.CommandContext(ctx, "chroot", filepath.Join(filepath.Dir(kubectl), "..", "rootfs"),
		"/usr/lib/postgresql/17/bin/pg_dump", "--host="+address.Hostname(), "--port="+address.Port(), "--username=postgres",
		"--dbname=daap")
	dump.Env = append(os.Environ(), "PGPASSWORD="+string(password))
	var says strings.Builder
	dump.Stderr = &says
	out, err := dump.StdoutPipe()
	if err != nil {
		return err
	}
	if err := dump.Start(); err != nil {
		return fmt.Errorf("start pg_dump: %w", err)
	}
	read := f.read(dumpOfRows, out)
	if err := dump.Wait(); err != nil {
		return fmt.Errorf("dump DAAP's database: %w: %s", err, says.String())
	}
	return read
}

// temporal searches what Temporal knows of every workflow that is open, or was since the tests began: its history, what it
// is at, and what lists show of it. Payloads that are encrypted are decrypted.
func (f *finds) temporal(ctx context.Context, temporal client.Client) error {
	codec, err := stackCodec()
	if err != nil {
		return err
	}
	look := looker{finds: f, service: temporal.WorkflowService(), codec: codec}
	spaces, err := look.service.ListNamespaces(ctx, &workflowservice.ListNamespacesRequest{PageSize: 100})
	if err != nil {
		return fmt.Errorf("list Temporal's namespaces: %w", err)
	}
	since := watching.began.UTC().Format(time.RFC3339)
	for _, space := range spaces.GetNamespaces() {
		for _, query := range []string{
			`StartTime >= "` + since + `"`, `CloseTime >= "` + since + `"`, `ExecutionStatus = "Running"`,
			`TemporalNamespaceDivision IS NOT NULL`,
		} {
			if err := look.at(ctx, space.GetNamespaceInfo().GetName(), query); err != nil {
				return err
			}
		}
	}
	return nil
}

// looker looks at workflows; each once.
type looker struct {
	*finds
	service workflowservice.WorkflowServiceClient
	codec   converter.PayloadCodec
	seen    map[string]bool
}

func (l *looker) at(ctx context.Context, namespace, query string) error {
	group, ctx := errgroup.WithContext(ctx)
	const atOnce = 8
	group.SetLimit(atOnce)
	request := &workflowservice.ListWorkflowExecutionsRequest{Namespace: namespace, Query: query, PageSize: 200}
	for {
		page, err := l.service.ListWorkflowExecutions(ctx, request)
		if err != nil {
			return errors.Join(fmt.Errorf("list workflows of %s: %w", namespace, err), group.Wait())
		}
		for _, found := range page.GetExecutions() {
			run := found.GetExecution()
			if l.seen[run.GetRunId()] {
				continue
			}
			if l.seen == nil {
				l.seen = map[string]bool{}
			}
			l.seen[run.GetRunId()] = true
			group.Go(func() error {
				return errors.Join(l.message(ctx, temporalVisibility, found), l.workflow(ctx, namespace, run))
			})
		}
		if request.NextPageToken = page.GetNextPageToken(); len(request.NextPageToken) == 0 {
			return group.Wait()
		}
	}
}

func (l *looker) workflow(ctx context.Context, namespace string, run *commonpb.WorkflowExecution) error {
	described, err := l.service.DescribeWorkflowExecution(ctx,
		&workflowservice.DescribeWorkflowExecutionRequest{Namespace: namespace, Execution: run})
	if err != nil {
		return fmt.Errorf("describe workflow %s: %w", run.GetWorkflowId(), err)
	}
	if err := l.message(ctx, "what Temporal says of workflows", described); err != nil {
		return err
	}
	request := &workflowservice.GetWorkflowExecutionHistoryRequest{Namespace: namespace, Execution: run}
	for {
		page, err := l.service.GetWorkflowExecutionHistory(ctx, request)
		if err != nil {
			return fmt.Errorf("read the history of workflow %s: %w", run.GetWorkflowId(), err)
		}
		if err := l.message(ctx, temporalHistories, page.GetHistory()); err != nil {
			return err
		}
		if request.NextPageToken = page.GetNextPageToken(); len(request.NextPageToken) == 0 {
			return nil
		}
	}
}

// message searches a message as it is on the wire, where a payload's data are as they were before it was encoded.
func (l *looker) message(ctx context.Context, source string, message proto.Message) error {
	if l.codec != nil {
		err := proxy.VisitPayloads(ctx, message, proxy.VisitPayloadsOptions{
			SkipSearchAttributes: true,
			Visitor: func(_ *proxy.VisitPayloadsContext, payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
				if decoded, err := l.codec.Decode(payloads); err == nil {
					return decoded, nil
				}
				return payloads, nil // another test's own keys
			},
		})
		if err != nil {
			return err
		}
	}
	raw, err := proto.Marshal(message)
	if err != nil {
		return err
	}
	l.note(source, l.search.In(raw), int64(len(raw)))
	return nil
}

// stackCodec is that of the stack's own keys; nil where it has none.
func stackCodec() (converter.PayloadCodec, error) {
	set := os.Getenv("DAAP_TEMPORAL_CODEC_KEYS")
	if set == "" {
		return nil, nil //nolint:nilnil // not to encrypt is a setting
	}
	var keys []workflows.CodecKey
	for pair := range strings.SplitSeq(set, ",") {
		id, encoded, _ := strings.Cut(strings.TrimSpace(pair), "=")
		secret, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, errors.New("DAAP_TEMPORAL_CODEC_KEYS is malformed")
		}
		keys = append(keys, workflows.CodecKey{ID: id, Secret: secret})
	}
	return workflows.NewCodec(keys)
}

// countOf asks how many runs of the workflow are terminated.
func countOf(workflowID string) *workflowservice.CountWorkflowExecutionsRequest {
	return &workflowservice.CountWorkflowExecutionsRequest{
		Query: fmt.Sprintf(`WorkflowId = %q AND ExecutionStatus = "Terminated"`, workflowID),
	}
}
